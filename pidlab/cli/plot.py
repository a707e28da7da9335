"""`pidlab plot`: a figure of results, for a paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pidlab.cli.chosen import At, Folders, Objectives, Readout, Terms, read_together, values_of
from pidlab.errors import InvalidRequest, nearest

if TYPE_CHECKING:
    import pandas as pd

    from pidlab.plots.kinds import Kind

FORMATS = ("pdf", "svg", "png")


def plot(
    directories: Folders,
    kind: Annotated[
        str,
        typer.Option(
            help="capture, profile, leakage, tradeoff, learning, decomposition; from tables of their own "
            "estimators, known-answers."
        ),
    ] = "capture",
    venue: Annotated[
        str, typer.Option(help="Whose page it is for: neurips, iclr, icml, icml-column.")
    ] = "neurips",
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="pdf, svg or png; repeatable. Default: pdf.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to. Default: the first folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="STEM", help="Name of the files. Default: the kind.")
    ] = None,
    readout: Readout = None,
    objective: Objectives = None,
    term: Terms = None,
    at: At = None,
    rows: Annotated[
        str | None, typer.Option(help="Of a leakage figure: objective, readout or a parameter.")
    ] = None,
) -> None:
    """Draw results of one sweep, or of several together, and write the numbers that are shown.

    Files: STEM.pdf (or .svg, .png), STEM.csv with every number in it, STEM.txt with a caption.
    """
    formats = list(dict.fromkeys(format_ or ["pdf"]))
    for form in formats:
        if form not in FORMATS:
            raise InvalidRequest(f"unknown format {form!r}: {nearest(form, FORMATS)}")
    stem = name or kind
    if Path(stem).name != stem:
        raise InvalidRequest(f"--name {stem!r}: expected a plain name; --out says where it goes")
    points = values_of(at)
    from pidlab.plots.kinds import KINDS, caption, draw
    from pidlab.plots.save import save
    from pidlab.registry import look_up

    chosen = look_up("kind of figure", kind, KINDS)
    options: dict[str, Any] = {"readout": readout, "rows": rows}
    table, directions, more = _tables(chosen, directories)
    figure, shown = draw(
        kind,
        table,
        directions,
        venue=venue,
        objectives=objective or (),
        terms=term or (),
        at=points,
        **{key: value for key, value in options.items() if value is not None},
        **more,
    )
    where = out or directories[0]
    try:
        where.mkdir(parents=True, exist_ok=True)
        for form in formats:
            save(figure, where / f"{stem}.{form}")
        (where / f"{stem}.csv").write_text(shown.to_csv(index=False), encoding="utf-8")
        (where / f"{stem}.txt").write_text(caption(kind, shown) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot write to {where} ({error.strerror}): choose another --out") from None
    for suffix in (*formats, "csv", "txt"):
        typer.echo(where / f"{stem}.{suffix}")


def _tables(
    kind: "Kind", directories: list[Path]
) -> tuple["pd.DataFrame", list[list[str]], dict[str, "pd.DataFrame"]]:
    """The table that a kind is drawn from, its directions, and its further tables by name."""
    if not kind.files:
        return *read_together(directories), {}
    import pandas as pd

    if len(directories) > 1:
        raise InvalidRequest(f"this kind is drawn from one folder with {', '.join(kind.files)}: name one")
    found = {}
    for file in kind.files:
        path = directories[0] / file
        try:
            found[path.stem] = pd.read_csv(path)
        except FileNotFoundError:
            raise InvalidRequest(f"no {file} in {directories[0]}: this kind is drawn from it") from None
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"cannot read {path} as a table ({error})") from None
    first, *rest = found
    return found[first], [], {stem: found[stem] for stem in rest}
