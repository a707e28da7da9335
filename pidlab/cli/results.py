"""`pidlab export`: the rows of a sweep, finished or not, in other programs' formats."""

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from pidlab.cli.options import (
    AsJson,
    At,
    Folder,
    Folders,
    Objectives,
    Readout,
    Terms,
    read_together,
    reading,
    values_of,
)
from pidlab.errors import InvalidRequest, nearest
from pidlab.io import atomic_write

if TYPE_CHECKING:
    import pandas as pd

    from pidlab.plots.kinds import Kind
    from pidlab.sweeps.store import Store


FORMATS = ("pdf", "svg", "png")


def plot(
    directories: Folders,
    kind: Annotated[
        str,
        typer.Option(
            help="capture, profile, leakage, tradeoff, learning, decomposition; from tables of their own "
            "known-answers."
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
    from pidlab.plots.style import save
    from pidlab.registry import look_up

    chosen = look_up("kind of figure", kind, KINDS)
    options: dict[str, Any] = {"readout": readout, "rows": rows}
    table, axis_groups, more = _tables(chosen, directories)
    figure, shown = draw(
        kind,
        table,
        axis_groups,
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
    from pidlab.results.tables import FORMATS, captured_table, format_table

    look_up("format", format_, FORMATS)
    rows, axis_groups = read_together(directories)
    found = captured_table(
        rows,
        axis_groups,
        readout=readout or "z12",
        objectives=objective or (),
        terms=term or (),
        at=points,
    )
    text = format_table(found, format_)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    typer.echo(out)


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
    from pidlab.results.folder import read_results

    if out is None and len(directories) > 1:
        raise InvalidRequest(
            f"{len(directories)} folders: say with --out DIR where their page is to be written"
        )
    found = [read_results(directory) for directory in directories]
    place = out or directories[0]
    try:
        place.mkdir(parents=True, exist_ok=True)
        page = write_report(found[0] if len(found) == 1 else found, place, title=title)
    except OSError as error:
        raise InvalidRequest(f"cannot write to {place} ({error.strerror}): choose another --out") from None
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))


MOST_REASONS = 20


def status(directory: Folder, as_json: AsJson = False) -> None:
    """Count what is planned, done and failed in a sweep, with reasons and seconds; also while it runs."""
    from pidlab.sweeps.store import total_seconds

    with reading(directory) as store:
        counts, reasons, cohorts = store.counts(), store.reasons(), store.seconds()
    seconds = total_seconds(cohorts)
    if as_json:
        document = {
            "directory": str(directory),
            "runs": sum(counts.values()),
            **counts,
            "cohorts": len(cohorts),
            "seconds": seconds,
            "failures": reasons,
        }
        typer.echo(json.dumps(document))
        return
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    typer.echo(f"{sum(counts.values())} runs: {states}; {len(cohorts)} cohorts")
    if seconds:
        typer.echo("seconds: " + ", ".join(f"{activity} {spent:.1f}" for activity, spent in seconds.items()))
    for failure in reasons[:MOST_REASONS]:
        runs = (
            f"run {failure['run']}"
            if failure["runs"] == 1
            else f"{failure['runs']} runs, one {failure['run']}"
        )
        typer.echo(f"failed: {failure['objective']} ({runs}): {failure['reason']}")
    if len(reasons) > MOST_REASONS:
        typer.echo(f"and {len(reasons) - MOST_REASONS} more reasons: --json has all")


WORDS = ("run", "objective", "readout", "term", "quantity", "probe")
PARQUET_ROWS = 100_000


class Format(StrEnum):
    """What can be written."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


def export(
    directory: Folder,
    format_: Annotated[Format, typer.Option("--format", help="Of the rows.")] = Format.csv,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; otherwise stdout.", show_default=False)
    ] = None,
) -> None:
    """Write every row that a sweep has so far, with the columns of results.csv."""
    from pidlab.sweeps.run import csv_header
    from pidlab.sweeps.store import ROW_COLUMNS

    if format_ is Format.parquet:
        _check_parquet(out)
    if out is not None and out.exists():
        raise InvalidRequest(f"--out {out}: the file exists; choose another name or remove it")
    with reading(directory) as store:
        columns = ROW_COLUMNS if store.tracked() else [name for name in ROW_COLUMNS if name != "step"]
        parameters = store.parameters()
        names = csv_header(columns, parameters)
        if lacking := store.lacking_truth():
            typer.echo(
                f"{lacking} runs were stored without their four terms by an older pidlab; the sweep's "
                "command, run again, adds them and trains nothing",
                err=True,
            )
        write = {Format.csv: _csv, Format.json: _json, Format.parquet: _parquet}[format_]
        try:
            with nullcontext(sys.stdout.buffer) if out is None else atomic_write(out, "wb") as file:
                write(file, names, store, columns, parameters)
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None


def _csv(
    file: IO[bytes], names: Sequence[str], store: "Store", columns: Sequence[str], parameters: Sequence[str]
) -> None:
    from pidlab.sweeps.run import sql_expression, write_rows

    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        keys = (run[0] for run in store.runs(()))
        write_rows(text, names, store.runs(parameters), store.rows(keys, [*map(sql_expression, columns)]))
    finally:
        text.detach()  # stdout stays open


def _rows(store: "Store", columns: Sequence[str], parameters: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Every row as in results.csv: what it is about, `columns`, terms, `parameters`."""
    from pidlab.results.means import RUN
    from pidlab.sweeps.store import FLAGS

    flags = [columns.index(name) for name in FLAGS]
    keys = (run[0] for run in store.runs(()))
    for run, rows in zip(store.runs(parameters), store.rows(keys, columns), strict=True):
        before, after = run[: len(RUN)], run[len(RUN) :]
        for found in rows:
            row = list(found)
            for i in flags:  # which SQLite keeps as 1 or 0
                row[i] = None if row[i] is None else bool(row[i])
            yield (*before, *row, *after)


def _json(
    file: IO[bytes], names: Sequence[str], store: "Store", columns: Sequence[str], parameters: Sequence[str]
) -> None:
    between = b"[\n"
    for row in _rows(store, columns, parameters):
        file.write(between + json.dumps(dict(zip(names, row, strict=True))).encode())
        between = b",\n"
    file.write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _check_parquet(out: Path | None) -> None:
    try:
        import pyarrow.parquet  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError:
        raise InvalidRequest("--format parquet needs pyarrow: pip install pyarrow, or use csv") from None
    if out is None:
        raise InvalidRequest("--format parquet is no text: name a file with --out FILE")


def _parquet(
    file: IO[bytes], names: Sequence[str], store: "Store", columns: Sequence[str], parameters: Sequence[str]
) -> None:
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    from pidlab.sweeps.store import FLAGS

    rows = _rows(store, columns, parameters)
    some = list(islice(rows, PARQUET_ROWS))
    # A parameter is a number or a word throughout; the first rows tell which.
    kinds = {name: pa.string() for name in WORDS} | {"seed": pa.int64(), "step": pa.int64()}
    kinds |= {name: pa.bool_() for name in FLAGS}
    for name, column in zip(names, zip(*some, strict=True), strict=True) if some else ():
        if any(isinstance(value, str) for value in column):
            kinds[name] = pa.string()
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    with pq.ParquetWriter(file, schema) as writer:
        while some:
            columns = [pa.array(c, k) for c, k in zip(zip(*some, strict=True), schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            some = list(islice(rows, PARQUET_ROWS))
