"""Choosing what is shown of results: objectives, terms, a point."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.tables.means import parameters


def select(
    table: pd.DataFrame,
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The rows that are asked for, in the order asked for.

    Args:
        table: rows as in results.csv.
        objectives: subset and order; all where none is named.
        terms: subset and order; all where none is named.
        at: values of parameters; text stands for what it spells.

    Raises:
        InvalidRequest: an objective, a term or a value that no row has; the nearest is named.
    """
    if table.empty:
        raise InvalidRequest("nothing to draw: the table has no rows")
    for name, value in (at or {}).items():
        table = table[_equal(table, name, value)]
    # Objectives are the outer order, terms the inner one.
    for column, names in (("term", terms), ("objective", objectives)):
        table = _ordered(table, column, names)
    return table.reset_index(drop=True)


def _equal(table: pd.DataFrame, name: str, value: Any) -> np.ndarray:
    known = parameters(table)
    if name not in known:
        raise InvalidRequest(f"no parameter {name!r} in these results: {nearest(name, known)}")
    column = table[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        try:
            here = np.isclose(column.to_numpy(dtype=float), float(value), rtol=1e-9, atol=1e-12)
        except (TypeError, ValueError):
            raise InvalidRequest(f"{name} = {value!r}: expected a number") from None
    else:
        here = (column.astype(str) == str(value)).to_numpy()
    if not here.any():
        held = [f"{v:g}" if isinstance(v, float) else str(v) for v in sorted(column.dropna().unique())]
        raise InvalidRequest(f"nothing to draw at {name} = {value}: there are {', '.join(held) or 'none'}")
    return here


def _ordered(table: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    if not names:
        return table
    known = list(dict.fromkeys(table[column].astype(str))) if column in table else []
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else f"the table has no column {column!r}"
            raise InvalidRequest(f"nothing to draw of {column} {name!r}: {hint}")
    place = table[column].astype(str).map({name: i for i, name in reversed(list(enumerate(names)))})
    return table[place.notna()].iloc[np.argsort(place.dropna().to_numpy(), kind="stable")]


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Checks that a table has rows and the columns that a figure is drawn from.

    Raises:
        InvalidRequest: what is missing, named.
    """
    missing = [name for name in columns if name not in table]
    if missing:
        raise InvalidRequest(
            f"{what} is drawn from {', '.join(columns)}: the table lacks {', '.join(missing)}"
        )
    if table.empty:
        raise InvalidRequest(f"nothing to draw: {what} of a table without rows")
