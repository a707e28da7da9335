"""Captured bits of objectives at points, with the best of every column: what a table of a paper holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pidlab.tables.means import at_place, columns_of, directions_of, lower_bound, means, places
from pidlab.tables.panels import Panel, panels
from pidlab.tables.references import FLOOR, base, is_reference
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
    shown = means(rows, by)
    written = []
    for place in places(shown, by):
        here, seeds = at_place(shown, place), at_place(rows, place)
        parts = [_by_objective(part.of(here)) for part in divided]
        true = [next((p["truth"] for p in part.values() if p["truth"] == p["truth"]), NAN) for part in parts]
        written.append((place, TRUTH, [Cell(bits) for bits in true]))
        best = [
            set() if bits == 0.0 else _best(part) & _above(column.of(seeds))
            for column, part, bits in zip(divided, parts, true, strict=True)
        ]
        for objective in dict.fromkeys(here["objective"].astype(str)):
            cells = [
                _cell(part.get(objective), objective in most) for part, most in zip(parts, best, strict=True)
            ]
            written.append((place, objective, cells))
    return CapturedTable(divided, written)


def _by_objective(shown: pd.DataFrame) -> dict[str, dict[str, float]]:
    numbers = shown[["truth", "mean", "low", "high"]].astype(float).to_dict("records")
    return {str(name): dict(row) for name, row in zip(shown["objective"], numbers, strict=True)}  # type: ignore[arg-type]


def _cell(row: dict[str, float] | None, best: bool) -> Cell:
    if row is None:  # an objective without this readout
        return Cell(NAN)
    return Cell(row["mean"], (row["high"] - row["low"]) / 2, best)


def _best(part: dict[str, dict[str, float]]) -> set[str]:
    own = {name: row["mean"] for name, row in part.items() if not is_reference(name)}
    return {name for name, bits in own.items() if rounded(bits) == rounded(max(own.values()))}


def _above(rows: pd.DataFrame) -> set[str]:
    """Objectives that captured more than every untrained network at the point; all where there is none."""
    rows = rows.assign(seed=rows.get("seed", 0), objective=rows["objective"].astype(str))
    by_seed = rows.pivot(index="seed", columns="objective", values="captured")
    floors = [name for name in by_seed if base(str(name)) == FLOOR]
    return {
        str(name)
        for name in by_seed
        if all(lower_bound((by_seed[name] - by_seed[floor]).dropna().to_numpy()) > 0 for floor in floors)
    }


def rounded(bits: float) -> str:
    """Two decimals, without a minus before a zero."""
    text = f"{bits:.2f}"
    return "0.00" if text == "-0.00" else text
