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

from pidlab.cli.folder import Folder, reading
from pidlab.errors import InvalidRequest
from pidlab.files import whole

if TYPE_CHECKING:
    from pidlab.sweeps.store import Store

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
    from pidlab.sweeps.lines import header
    from pidlab.sweeps.schema import ROW_COLUMNS

    if format_ is Format.parquet:
        _check_parquet(out)
    if out is not None and out.exists():
        raise InvalidRequest(f"--out {out}: the file exists; choose another name or remove it")
    with reading(directory) as store:
        columns = ROW_COLUMNS if store.tracked() else [name for name in ROW_COLUMNS if name != "step"]
        parameters = store.parameters()
        names = header(columns, parameters)
        if lacking := store.lacking_truth():
            typer.echo(
                f"{lacking} runs were stored without their four terms by an older pidlab; the sweep's "
                "command, run again, adds them and trains nothing",
                err=True,
            )
        write = {Format.csv: _csv, Format.json: _json, Format.parquet: _parquet}[format_]
        try:
            with nullcontext(sys.stdout.buffer) if out is None else whole(out, "wb") as file:
                write(file, names, store, columns, parameters)
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None


def _csv(
    file: IO[bytes], names: Sequence[str], store: "Store", columns: Sequence[str], parameters: Sequence[str]
) -> None:
    from pidlab.sweeps.lines import worded, write_rows

    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        keys = (run[0] for run in store.runs(()))
        write_rows(text, names, store.runs(parameters), store.rows(keys, [*map(worded, columns)]))
    finally:
        text.detach()  # stdout stays open


def _rows(store: "Store", columns: Sequence[str], parameters: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Every row as in results.csv: what it is about, `columns`, terms, `parameters`."""
    from pidlab.sweeps.schema import FLAGS
    from pidlab.tables.columns import RUN

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

    from pidlab.sweeps.schema import FLAGS

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
