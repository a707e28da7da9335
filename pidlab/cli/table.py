"""`pidlab table`: results as a table for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from pidlab.cli.chosen import At, Folders, Objectives, Readout, Terms, read_together, values_of
from pidlab.errors import InvalidRequest


def table(
    directories: Folders,
    format_: Annotated[str, typer.Option("--format", help="latex, markdown or csv.")] = "markdown",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; otherwise stdout.", show_default=False)
    ] = None,
    readout: Readout = None,
    objective: Objectives = None,
    term: Terms = None,
    at: At = None,
) -> None:
    """Write captured bits, mean ± half of the 95 % t-interval over seeds, truth first, the best in bold.

    Best is what captured most, floor and ceiling apart, and above the untrained floor where one is shown.
    The LaTeX needs the package booktabs.
    """
    points = values_of(at)
    from pidlab.registry import look_up
    from pidlab.tables.captured import captured_table
    from pidlab.tables.written import FORMATS, written

    look_up("format", format_, FORMATS)
    rows, directions = read_together(directories)
    found = captured_table(
        rows,
        directions,
        readout=readout or "z12",
        objectives=objective or (),
        terms=term or (),
        at=points,
    )
    text = written(found, format_)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    typer.echo(out)
