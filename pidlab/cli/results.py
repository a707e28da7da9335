"""Commands that read results: `plot`, `table`, `report`, `status` and `export`."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from pidlab.cli.options import (
    AsJson,
    At,
    Folder,
    Folders,
    Objectives,
    Probes,
    Readout,
    Terms,
    read_together,
    reading,
    values_of,
)
from pidlab.errors import InvalidRequest, nearest
from pidlab.io import atomic_write, refuse_special, write_csv, write_independently

if TYPE_CHECKING:
    import pandas as pd

    from pidlab.plots.kinds import Kind
    from pidlab.report import Picture
    from pidlab.results.folder import Results
    from pidlab.sweeps.store import Store


FORMATS = ("pdf", "svg", "png")


Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="REF=NAME", help="Name of an objective; repeat the option for several."),
]
Order = Annotated[
    list[str] | None,
    typer.Option("--order", metavar="O", help="Objective that comes first; repeat it for the next ones."),
]


def labels_of(pairs: list[str] | None) -> dict[str, str]:
    """Return the names of objectives by reference; a reference may contain equal signs."""
    labels: dict[str, str] = {}
    for pair in pairs or []:
        reference, sign, name = pair.rpartition("=")
        if not (sign and reference.strip() and name.strip()):
            raise InvalidRequest(f"--label {pair}: expected REF=NAME, such as comm=Ours")
        labels[reference.strip()] = name.strip()
    return labels


def plot(
    directories: Folders,
    kind: Annotated[
        str,
        typer.Option(
            help="Kind of figure: capture, profile, leakage, tradeoff, learning, loss, decomposition; "
            "readability, oracle, known-answers and estimation are drawn from the files of these experiments."
        ),
    ] = "capture",
    venue: Annotated[str, typer.Option(help="Page format: neurips, iclr, icml or icml-column.")] = "neurips",
    format_: Annotated[
        list[str] | None,
        typer.Option("--format", help="pdf, svg or png, or several: pdf,png. Default: pdf."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Output folder. Default: the first folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="STEM", help="Name of the files without suffix. Default: the kind.")
    ] = None,
    readout: Readout = None,
    probe: Probes = None,
    objective: Objectives = None,
    term: Terms = None,
    at: At = None,
    label: Labels = None,
    order: Order = None,
    width: Annotated[
        float | None, typer.Option(metavar="INCHES", help="Width of the figure. Default: that of the venue.")
    ] = None,
    font: Annotated[str, typer.Option(help="Font: serif, as in papers, or sans.")] = "serif",
    rows: Annotated[
        str | None, typer.Option(help="Rows of a leakage figure: objective, readout or a parameter.")
    ] = None,
) -> None:
    """Draw a figure from the results of one or several sweeps.

    Writes STEM.pdf (or .svg, .png), STEM.csv with all numbers of the figure, and STEM.txt with a caption.
    """
    formats = list(dict.fromkeys(name for given in format_ or ["pdf"] for name in given.split(",")))
    for form in formats:
        if form not in FORMATS:
            raise InvalidRequest(f"--format {form}: unknown format {form!r}; {nearest(form, FORMATS)}")
    stem = name or kind
    if Path(stem).name != stem:
        raise InvalidRequest(f"--name {stem}: expected a name without a folder; set the folder with --out")
    points, labels = values_of(at), labels_of(label)
    from pidlab.plots.kinds import KINDS, caption, draw
    from pidlab.plots.style import Page, save
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
        order=order or (),
        probes=probe or (),
        page=Page(width, font, labels),
        **{key: value for key, value in options.items() if value is not None},
        **more,
    )
    folder = out or directories[0]
    outputs: dict[Path, Callable[[Path], None]] = {
        folder / f"{stem}.{form}": partial(save, figure) for form in formats
    }
    outputs[folder / f"{stem}.csv"] = partial(write_csv, shown)
    outputs[folder / f"{stem}.txt"] = partial(_write_text, caption(kind, shown) + "\n")
    _write_outputs(outputs)


def _write_text(text: str, path: Path) -> None:
    with atomic_write(path) as file:
        file.write(text)


def _write_outputs(outputs: dict[Path, Callable[[Path], None]]) -> None:
    """Write files independently of each other, print the names of those written and report the others.

    Raises:
        InvalidRequest: If no file can be written.
        typer.Exit: If some files cannot be written.
    """
    try:
        for folder in {path.parent for path in outputs}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"{error.filename}: cannot be written ({error.strerror}); choose another --out"
        ) from None
    failures = write_independently(outputs)
    if len(failures) == len(outputs):
        path, why = next(iter(failures.items()))
        raise InvalidRequest(f"{path.parent}: cannot be written ({why}); choose another --out")
    for path in outputs:
        if path not in failures:
            typer.echo(path)
    for path, why in failures.items():
        typer.echo(f"error: {path}: not written ({why})", err=True)
    if failures:
        raise typer.Exit(1)


def _tables(
    kind: "Kind", directories: list[Path]
) -> tuple["pd.DataFrame", list[list[str]], dict[str, "pd.DataFrame"]]:
    """Return the table that a kind is drawn from, its axis groups, and further tables by name."""
    from pidlab.plots.kinds import KINDS

    if kind is KINDS["loss"]:
        return *_losses(directories), {}
    if not kind.files:
        return *read_together(directories), {}
    import pandas as pd

    if len(directories) > 1:
        raise InvalidRequest(
            f"DIR: this kind of figure is drawn from one folder with {', '.join(kind.files)}; name one folder"
        )
    from pidlab.results.folder import check_files

    check_files(directories[0])
    tables = {}
    for file in kind.files:
        path = directories[0] / file
        try:
            refuse_special(path)
            tables[path.stem] = pd.read_csv(path)
        except FileNotFoundError:
            raise InvalidRequest(f"{path}: not found; this kind of figure is drawn from it") from None
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{path}: not a readable CSV file ({error}); write it again") from None
    first, *others = tables
    return tables[first], [], {stem: tables[stem] for stem in others}


def _losses(directories: list[Path]) -> tuple["pd.DataFrame", list[list[str]]]:
    """Return the loss curves of sweeps, which may still run, and no axis groups, which the columns give."""
    import pandas as pd

    from pidlab.sweeps.run import read_losses

    parts: list[pd.DataFrame] = []
    for directory in directories:
        with reading(directory) as store:
            parts.append(read_losses(store))
    return pd.concat(parts, ignore_index=True).drop_duplicates(["run", "step"], ignore_index=True), []


def table(
    directories: Folders,
    format_: Annotated[str, typer.Option("--format", help="Format: latex, markdown or csv.")] = "markdown",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output file. Default: standard output.", show_default=False),
    ] = None,
    readout: Readout = None,
    objective: Objectives = None,
    term: Terms = None,
    at: At = None,
    label: Labels = None,
    order: Order = None,
    probe: Probes = None,
    quantity: Annotated[
        str, typer.Option(help="Quantity to show: bits, accuracy or balanced_accuracy of the probe.")
    ] = "bits",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Show the floor and the ceiling of each objective, which sweeps with --baselines measure.",
        ),
    ] = False,
) -> None:
    """Write a table of captured bits: mean ± half the 95 % t-interval over seeds.

    The largest value of each column is bold if it lies above its floor: one-sided t-test paired by
    seed, 5 % level, Holm's correction over the objectives of the column. Floor and ceiling do not
    compete. LaTeX tables need the package booktabs.
    """
    points, labels = values_of(at), labels_of(label)
    from pidlab.registry import look_up
    from pidlab.results.tables import FORMATS, captured_table, format_table

    look_up("format", format_, FORMATS)
    rows, axis_groups = read_together(directories)
    captured = captured_table(
        rows,
        axis_groups,
        readout=readout or "z12",
        objectives=objective or (),
        terms=term or (),
        at=points,
        order=order or (),
        labels=labels,
        probes=probe or (),
        quantity=quantity,
        baselines=baselines,
    )
    text = format_table(captured, format_)
    if out is None:
        typer.echo(text, nl=False)
        return
    _write_outputs({out: partial(_write_text, text)})


def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of sweeps.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for report.html. Default: the folder of the sweep.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the page.", show_default=False)] = "",
    label: Labels = None,
    order: Order = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html, a self-contained page about one or several finished sweeps."""
    from pidlab.report import write_report
    from pidlab.results.folder import read_sweep
    from pidlab.results.panels import find_labels, objectives_of, select

    if out is None and len(directories) > 1:
        raise InvalidRequest(
            f"DIR: {len(directories)} folders have no common place for the page; choose one with --out DIR"
        )
    results = [read_sweep(directory) for directory in directories]
    known = [objective for sweep in results for objective in objectives_of(sweep.table)]
    labels = find_labels(labels_of(label), list(dict.fromkeys(known)))
    if order:
        results = [replace(sweep, table=select(sweep.table, order=order)) for sweep in results]
    folder = out or directories[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            # The figures in the folders have other names and another order, and so have those of losses.
            captured = losses = None
            if labels or order:
                captured, losses = _draw_again(results, Path(scratch), labels)
            page = write_report(
                results[0] if len(results) == 1 else results,
                folder,
                title=title,
                labels=labels,
                pictures=captured,
                losses=losses,
            )
    except OSError as error:
        raise InvalidRequest(
            f"{folder}: cannot be written ({error.strerror}); choose another --out"
        ) from None
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))


def _draw_again(
    results: Sequence["Results"], directory: Path, labels: Mapping[str, str]
) -> tuple[list["Picture"], list["Picture"]]:
    """Draw the figures of sweeps and of their losses with the names and the order of a user."""
    from pidlab.plots.kinds import caption
    from pidlab.report import Picture
    from pidlab.report.page import LOSS_CAPTION, with_views
    from pidlab.results.panels import objectives_of

    captured: list[Picture] = []
    losses: list[Picture] = []
    for i, sweep in enumerate(results):
        if not len(sweep.table):
            continue
        name, path = sweep.directory.resolve().name, directory / f"{i}.svg"
        if (sweep.directory / "captured.svg").is_file():
            numbers = _draw_with_names("capture", sweep.table, sweep.axis_groups, labels, path)
            about = with_views(caption("capture", numbers), sweep)
            captured.append(
                Picture(path, about, f"Captured against true information of {name}", linked=False)
            )
        if (sweep.directory / "loss.svg").is_file() and (sweep.directory / "results.sqlite").is_file():
            curves, groups = _losses([sweep.directory])
            trained = set(curves["objective"])
            order = [objective for objective in objectives_of(sweep.table) if objective in trained]
            path = path.with_stem(f"{i}-loss")
            _draw_with_names("loss", curves, groups, labels, path, order)
            losses.append(Picture(path, LOSS_CAPTION, f"Training loss of {name}", linked=False))
    return captured, losses


def _draw_with_names(
    kind: str,
    table: "pd.DataFrame",
    axis_groups: Sequence[Sequence[str]],
    labels: Mapping[str, str],
    path: Path,
    order: Sequence[str] = (),
) -> "pd.DataFrame":
    """Draw a figure with those of a user's names that its table has, and return its numbers."""
    from pidlab.plots.kinds import draw
    from pidlab.plots.style import Page, save
    from pidlab.results.panels import objectives_of

    known = objectives_of(table)
    page = Page(labels={name: label for name, label in labels.items() if name in known})
    figure, numbers = draw(kind, table, axis_groups, order=order, page=page)
    save(figure, path)
    return numbers


MOST_REASONS = 20


def status(directory: Folder, as_json: AsJson = False) -> None:
    """Show how many runs of a sweep are planned, done and failed, and the time spent; also while it runs."""
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
            else f"{failure['runs']} runs, for example {failure['run']}"
        )
        typer.echo(f"failed: {failure['objective']} ({runs}): {failure['reason']}")
    if len(reasons) > MOST_REASONS:
        typer.echo(f"and {len(reasons) - MOST_REASONS} further reasons; use --json to list all")


TEXT_COLUMNS = ("run", "objective", "readout", "term", "quantity", "probe")
PARQUET_ROWS = 100_000


class Format(StrEnum):
    """A format of exported rows."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


def export(
    directory: Folder,
    format_: Annotated[Format, typer.Option("--format", help="Format of the rows.")] = Format.csv,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output file. Default: standard output.", show_default=False),
    ] = None,
    losses: Annotated[
        bool,
        typer.Option("--losses", help="Write the training losses instead of the rows, as CSV."),
    ] = False,
) -> None:
    """Write all rows that a sweep has so far, with the columns of results.csv."""
    from pidlab.sweeps.run import csv_header
    from pidlab.sweeps.store import ROW_COLUMNS

    if format_ is Format.parquet:
        _check_parquet(out)
    if out is not None and out.exists():
        raise InvalidRequest(f"--out {out}: the file exists; choose another name or remove the file")
    if losses:
        if format_ is not Format.csv:
            raise InvalidRequest(f"--format {format_}: losses are written as csv; remove --format")
        curves, _ = _losses([directory])
        text = curves.to_csv(index=False)
        typer.echo(text, nl=False) if out is None else _write_text(text, out)
        return
    with reading(directory) as store:
        store.check_rows()
        columns = ROW_COLUMNS if store.tracked() else [name for name in ROW_COLUMNS if name != "step"]
        parameters = store.parameters()
        names = csv_header(columns, parameters)
        if lacking := store.lacking_truth():
            typer.echo(
                f"{lacking} runs were stored by an older pidlab without the four terms; rerun the command of "
                "the sweep to add them without training",
                err=True,
            )
        write = {Format.csv: _csv, Format.json: _json, Format.parquet: _parquet}[format_]
        try:
            with nullcontext(sys.stdout.buffer) if out is None else atomic_write(out, "wb") as file:
                write(file, names, store, columns, parameters)
        except BrokenPipeError:  # a reader such as `head` has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            raise InvalidRequest(
                f"{out}: cannot be written ({error.strerror}); choose another --out"
            ) from None


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
    """Yield the rows of results.csv: run columns, `columns`, terms, `parameters`."""
    from pidlab.results.means import RUN
    from pidlab.sweeps.store import FLAGS, as_flag

    flags = [columns.index(name) for name in FLAGS]
    keys = (run[0] for run in store.runs(()))
    for run, rows in zip(store.runs(parameters), store.rows(keys, columns), strict=True):
        before, after = run[: len(RUN)], run[len(RUN) :]
        for values in rows:
            row = list(values)
            for i in flags:
                row[i] = as_flag(row[i])
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
        raise InvalidRequest("--format parquet: pyarrow is not installed; install it or use csv") from None
    if out is None:
        raise InvalidRequest("--format parquet: cannot be written to standard output; set --out FILE")


def _parquet(
    file: IO[bytes], names: Sequence[str], store: "Store", columns: Sequence[str], parameters: Sequence[str]
) -> None:
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    from pidlab.results.means import TRAINED
    from pidlab.sweeps.store import FLAGS

    rows = _rows(store, columns, parameters)
    batch = list(islice(rows, PARQUET_ROWS))
    # The first rows determine whether a parameter is text or a number.
    types = {name: pa.string() for name in TEXT_COLUMNS} | {"seed": pa.int64(), "step": pa.int64()}
    types |= {name: pa.bool_() for name in (*FLAGS, TRAINED)}
    for name, column in zip(names, zip(*batch, strict=True), strict=True) if batch else ():
        if any(isinstance(value, str) for value in column):
            types[name] = pa.string()
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in names])
    with pq.ParquetWriter(file, schema) as writer:
        while batch:
            columns = [pa.array(c, k) for c, k in zip(zip(*batch, strict=True), schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            batch = list(islice(rows, PARQUET_ROWS))
