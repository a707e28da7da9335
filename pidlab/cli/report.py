"""`pidlab report`: the page of a finished sweep, written anew, or of several together."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pidlab.cli.options import AsJson
from pidlab.errors import InvalidRequest


def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of sweeps.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where report.html is written. Default: the folder, where there is one.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """Write report.html of a finished sweep, or one page of several: no browser needs anything else."""
    from pidlab.report import write_report
    from pidlab.results import read

    if out is None and len(directories) > 1:
        raise InvalidRequest(
            f"{len(directories)} folders: say with --out DIR where their page is to be written"
        )
    found = [read(directory) for directory in directories]
    place = out or directories[0]
    try:
        place.mkdir(parents=True, exist_ok=True)
        page = write_report(found[0] if len(found) == 1 else found, place, title=title)
    except OSError as error:
        raise InvalidRequest(f"cannot write to {place} ({error.strerror}): choose another --out") from None
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))
