"""Rows as lines of CSV, run by run, so that a big sweep's table never stands in memory."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import IO, Any

from pidlab.decomposition import TERMS
from pidlab.sweeps.schema import FLAGS
from pidlab.tables.columns import RUN


def header(columns: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """Names of all columns.

    Args:
        columns: of a run's rows.
        parameters: that vary.
    """
    return (*RUN, *columns, *TERMS, *parameters)


def worded(column: str) -> str:
    """An expression of SQL for a column, of a flag (which SQLite keeps as 1 or 0) True or False."""
    return f"CASE {column} WHEN 1 THEN 'True' WHEN 0 THEN 'False' END" if column in FLAGS else column


def write_rows(
    text: IO[str],
    names: Sequence[str],
    runs: Iterable[tuple[Any, ...]],
    rows: Iterable[Sequence[tuple[Any, ...]]],
) -> None:
    """Writes names and rows as CSV.

    Args:
        text: where to.
        names: of the columns.
        runs: of every run what all of its rows say: `RUN`, then terms and parameters.
        rows: what they say beyond, which stands in between.
    """
    text.write(_line(names) + "\n")
    for run, found in zip(runs, rows, strict=True):
        if not found:
            continue
        # What a run's rows have in common is formatted once.
        before, after = _line(run[: len(RUN)]), _line(run[len(RUN) :])
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\0").writerows(found)
        between = f",{after}\n{before},"
        text.write(f"{before},{buffer.getvalue().replace(chr(0), between)[: -len(before) - 1]}")


def _line(values: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue()
