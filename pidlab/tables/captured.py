"""Captured bits of objectives at points, with the best of every column: what a table of a paper holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pidlab.tables.means import above_floor, columns_of, directions_of, means, places
from pidlab.tables.panels import Panel, panels
from pidlab.tables.references import is_reference
from pidlab.tables.select import select

TRUTH = "truth"
NAN = float("nan")


@dataclass(frozen=True)
class Cell:
    """A mean with its interval, in bits.

    Args:
        mean: over seeds, or the truth; NaN where nothing was measured.
        half: half of the 95 % t-interval; NaN of one seed and of a truth.
        best: whether it is the most that an objective captured, floor and ceiling apart, and above the floor.
    """

    mean: float
    half: float = NAN
    best: bool = False

    def text(self, plus_minus: str) -> str:
        """Two decimals; empty where nothing was measured."""
        if self.mean != self.mean:
            return ""
        half = "" if self.half != self.half else f"{plus_minus}{self.half:.2f}"
        return f"{rounded(self.mean)}{half}"


@dataclass(frozen=True)
class CapturedTable:
    """Captured bits of objectives at points: what every written form is made of.

    Args:
        columns: what the cells are about.
        rows: the point, the objective (or `truth`) and a cell per column.
    """

    columns: list[Panel]
    rows: list[tuple[dict[str, Any], str, list[Cell]]]


def captured_table(
    table: pd.DataFrame,
    directions: Sequence[Sequence[str]] = (),
    *,
    readout: str = "z12",
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
) -> CapturedTable:
    """Means over seeds of headlines, a row per point and objective, the truth first.

    The best of a column is the most captured at a point by what is neither floor nor ceiling, to the two
    decimals shown; there is none where the truth is 0. Where an untrained network stands in the table, the
    best must be above it too: the lower 95 % t-bound of the mean difference, paired by seed, above 0 (of one
    seed the difference itself).

    Args:
        table: rows as in results.csv.
        directions: columns of the parameters that move together.
        readout: which readout.
        objectives: subset and order.
        terms: subset and order.
        at: chooses a point.

    Raises:
        InvalidRequest: nothing of that kind in the table.
    """
    chosen = select(table, objectives, terms, at)
    rows, divided = panels(chosen, readout, terms)
    by = columns_of(rows, directions_of(rows, directions))
    shown = means(rows, by).assign(above=above_floor(rows, by))
    written = []
    for place, here in zip(places(shown, by), _by_place(shown, by), strict=True):
        rows_of = [
            [row for row in here if (row["readout"], row["term"]) == (p.readout, p.term)] for p in divided
        ]
        parts = [{str(row["objective"]): row for row in found} for found in rows_of]
        true = [next((p["truth"] for p in part.values() if p["truth"] == p["truth"]), NAN) for part in parts]
        written.append((place, TRUTH, [Cell(bits) for bits in true]))
        best = [set() if bits == 0.0 else _best(part) for part, bits in zip(parts, true, strict=True)]
        for objective in dict.fromkeys(str(row["objective"]) for row in here):
            cells = [
                _cell(part.get(objective), objective in most) for part, most in zip(parts, best, strict=True)
            ]
            written.append((place, objective, cells))
    return CapturedTable(divided, written)


def _by_place(shown: pd.DataFrame, by: Sequence[str]) -> list[list[dict[Any, Any]]]:
    """The means at every point, in the order of the points."""
    groups = shown.groupby(list(by), sort=False, dropna=False).ngroup() if by else pd.Series(0, shown.index)
    found = [[] for _ in range(groups.max() + 1)]
    rows = shown.astype(dict.fromkeys(("truth", "mean", "low", "high"), float)).to_dict("records")
    for group, row in zip(groups, rows, strict=True):
        found[group].append(row)
    return found


def _cell(row: dict[str, Any] | None, best: bool) -> Cell:
    if row is None:  # an objective without this readout
        return Cell(NAN)
    return Cell(row["mean"], (row["high"] - row["low"]) / 2, best)


def _best(part: dict[str, dict[str, Any]]) -> set[str]:
    own = {name: row["mean"] for name, row in part.items() if not is_reference(name)}
    most = [name for name, bits in own.items() if rounded(bits) == rounded(max(own.values()))]
    return {name for name in most if part[name]["above"]}


def rounded(bits: float) -> str:
    """Two decimals, without a minus before a zero."""
    text = f"{bits:.2f}"
    return "0.00" if text == "-0.00" else text
