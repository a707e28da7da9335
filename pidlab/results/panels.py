"""Which captured bits a sweep shows: the terms of one readout, or the readouts of one target."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.results.means import parameters

SYMBOLS = {
    "redundant": "$R$",
    "unique1": "$U_1$",
    "unique2": "$U_2$",
    "synergy": "$S$",
    "nuisance:1": "$N_1$",
    "nuisance:2": "$N_2$",
    "nuisance:shared": "$N_{12}$",
    "total:y": "$Y$",
}


def symbol_of(term: str) -> str | None:
    """How a term is written, that of more than two modalities too: `synergy13` is S_13; None for others."""
    parts = re.fullmatch(r"(redundant|unique|synergy)(\d*)", term)
    if term in SYMBOLS or parts is None:
        return SYMBOLS.get(term)
    return f"${parts[1][0].upper()}_{{{parts[2]}}}$"


# Symbols that an oracle tells; what a warm start begins with.
REPRESENTATIONS = ("S", "R", "R+U", "R+U+S", "R+U+S+nuisance")
WHOLE = "R+U+S"
OWN_FUSION, SCRATCH, WARM, TRAINED = f"{WHOLE}, own fusion", "scratch", "warm", "warm, trained"
# Those whose networks were fitted.
FITTED = (SCRATCH, WARM, TRAINED)


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
        at: values of parameters, `unique` for both unique terms; text stands for what it spells.

    Raises:
        InvalidRequest: an objective, a term or a value that no row has; the nearest is named.
    """
    if table.empty:
        raise InvalidRequest("nothing to show: the table has no rows")
    for name, value in (at or {}).items():
        table = table[_equal(table, name, value)]
    # Objectives are the outer order, terms the inner one.
    for column, names in (("term", terms), ("objective", objectives)):
        table = _ordered(table, column, names)
    return table.reset_index(drop=True)


def _equal(table: pd.DataFrame, name: str, value: Any) -> np.ndarray:
    known = parameters(table)
    if name == "unique" and name not in known and {"unique1", "unique2"} <= set(known):
        return _equal(table, "unique1", value) & _equal(table, "unique2", value)
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
        raise InvalidRequest(f"nothing to show at {name} = {value}: there are {', '.join(held) or 'none'}")
    return here


def _ordered(table: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    if not names:
        return table
    known = list(dict.fromkeys(table[column].astype(str))) if column in table else []
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else f"the table has no column {column!r}"
            raise InvalidRequest(f"nothing to show of {column} {name!r}: {hint}")
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
        raise InvalidRequest(f"nothing to show: {what} of a table without rows")


# Readouts of the first modality, of the second and of both.
READOUTS = ("z1", "z2", "z12")


@dataclass(frozen=True)
class Panel:
    """Bits about one target that one readout holds."""

    readout: str
    term: str
    title: str
    symbol: str

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows that it shows."""
        return rows[(rows["readout"] == self.readout) & (rows["term"] == self.term)]


def headlines(table: pd.DataFrame, quantity: str = "mi") -> pd.DataFrame:
    """The rows of the probe that speaks for a (run, readout, target)."""
    return table[table["headline"].astype(bool) & (table["quantity"] == quantity)]


def is_auxiliary(table: pd.DataFrame) -> pd.Series:
    """Which rows are about something beside the targets, such as `nuisance:1`: a colon marks it."""
    return table["term"].astype(str).str.contains(":")


def panels(
    table: pd.DataFrame, readout: str = "z12", terms: Sequence[str] = (), quantity: str = "mi"
) -> tuple[pd.DataFrame, list[Panel]]:
    """The headlines to show of results, and how they are divided.

    A generator with a target per term, or per factor planted in more modalities, shows what `readout`
    holds of each. One with targets of other
    names shows I(z1;T), I(z2;T) and I(z12;T), for what a single modality tells is a part of the story.

    Args:
        table: rows as in results.csv.
        readout: of which headlines are shown.
        terms: asked for by name; others that stand beside the targets (`nuisance:1`) are not shown.
        quantity: `mi`, or `tracked` for bits along training.

    Raises:
        InvalidRequest: nothing in the table is a headline of that readout.
    """
    rows = headlines(table, quantity)
    rows = rows[~is_auxiliary(rows) | rows["term"].isin(list(terms))]
    own = rows[rows["readout"] == readout]
    if own.empty:
        held = ", ".join(dict.fromkeys(rows["readout"].astype(str)))
        there = f"there are {held}" if held else f"and of no other, among rows of quantity {quantity!r}"
        raise InvalidRequest(f"nothing to show: no headline of readout {readout!r} in these results; {there}")
    symbols = {str(name): symbol_of(str(name)) for name in dict.fromkeys(own["term"])}
    if all(symbols.values()):
        return own, [Panel(readout, name, f"{name} {s}", str(s)) for name, s in symbols.items()]
    held = [name for name in READOUTS if name in set(rows["readout"])]
    found = []
    for term in dict.fromkeys(rows["term"]):
        for name in held:
            symbol = f"$I(z_{{{name[1:]}}};{str(term).upper()})$"
            found.append(Panel(name, str(term), symbol, symbol))
    return rows[rows["readout"].isin(held)], found
