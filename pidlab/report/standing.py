"""A table that is no sweep's, such as that of an examination, row by row as it stands."""

import pandas as pd

from pidlab.report.grid import Column, Grid, plain
from pidlab.report.numbers import MOST_ROWS
from pidlab.results import Results
from pidlab.tables.columns import READING, RUN

FILTERS = ("objective", "readout", "term")


def is_sweep(found: Results) -> bool:
    """Whether the rows are those of a sweep."""
    return {*RUN, *READING} <= set(found.table)


def standing_grid(found: Results, id_: str) -> Grid:
    """The rows as they stand."""
    table = found.table.dropna(axis="columns", how="all")
    note = (
        f"The first {MOST_ROWS} of {len(table)} rows; the file has them all."
        if len(table) > MOST_ROWS
        else ""
    )
    table = table[:MOST_ROWS]
    columns = [
        Column(
            str(name),
            "number" if _is_number(table[name]) else "text",
            filter=str(name) if name in FILTERS else "",
            names=(str(name),) if _is_number(table[name]) else (),
        )
        for name in table
    ]
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Grid(id_, "Every row, bits where not said otherwise", columns, cells, note)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _cell(value: object) -> str:
    if value is None or value is pd.NA:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and value == value else plain(value)
