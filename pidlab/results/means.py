"""Means over seeds with t-intervals, point by point."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from pidlab.errors import InvalidRequest

# What a row's run is.
RUN = ("run", "objective", "seed")
# What a probe read: from which readout, about which variable, in bits.
READING = (
    *("readout", "term", "quantity", "truth", "captured", "low", "high"),
    *("probe", "headline", "converged"),
)
# Where training was followed.
STEP = "step"


FLOOR, CEILING = "untrained", "supervised"


def base(objective: str) -> str:
    """The name of an objective without its arguments."""
    return objective.partition("(")[0].strip()


def is_reference(objective: str) -> bool:
    """Whether it is a floor or a ceiling."""
    return base(objective) in (FLOOR, CEILING)


# Columns of results.csv that no axis varies; all others are parameters.
FIXED = (*RUN, *READING, STEP)
LEVEL = 0.95


def half_width(values: np.ndarray) -> float:
    """Half of the 95 % t-interval of a mean, t(0.975, n - 1) s / sqrt(n); NaN of one value."""
    return _half(values, 0.5 + LEVEL / 2)


def lower_bound(values: np.ndarray) -> float:
    """What a mean is above with 95 % confidence: mean - t(0.95, n - 1) s / sqrt(n); of one value itself."""
    return float(values.mean()) - (_half(values, LEVEL) if len(values) > 1 else 0.0)


def _half(values: np.ndarray, quantile: float) -> float:
    n = len(values)
    if n < 2:
        return np.nan
    return float(stdtrit(n - 1, quantile) * values.std(ddof=1) / np.sqrt(n))


def means(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean over seeds, its t-interval and their number, in bits.

    Args:
        rows: headlines, one per (point, objective, seed, readout, term).
        by: columns that tell the points apart.

    Returns:
        A row per (point, objective, readout, term), in the order of `rows`: the columns of `by`, then
        `objective, readout, term, truth, mean, low, high, seeds`; low and high are NaN of one seed.

    Raises:
        InvalidRequest: one seed stands at one point twice, so that a mean would mix different things.
    """
    keys = _keys(by)
    if "seed" in rows:
        _refuse_mixtures(rows, [*keys, "seed"])
    order = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(order, return_index=True)[1]
    shown = rows.iloc[first][[*keys, "truth"]].reset_index(drop=True)
    groups = _grouped(rows["captured"], order)
    halves = np.array([half_width(values) for values in groups])
    shown["mean"] = np.array([values.mean() for values in groups])
    shown["low"] = shown["mean"] - halves
    shown["high"] = shown["mean"] + halves
    shown["seeds"] = np.array([len(values) for values in groups], dtype=int)
    return shown


def above_floor(rows: pd.DataFrame, by: Sequence[str]) -> np.ndarray:
    """Of every row that `means` makes, whether it lies above the untrained network at its point.

    It does where the mean difference, paired by seed, has a lower 95 % t-bound above 0 (of one seed the
    difference itself), and where there is no untrained network to compare with.
    """
    keys = _keys(by)
    order = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    rows = rows.assign(seed=rows.get("seed", 0))
    pair = [*(name for name in keys if name != "objective"), "seed"]
    untrained = rows["objective"].astype(str).map(base) == FLOOR
    floor = rows["captured"].where(untrained).groupby([rows[name] for name in pair], dropna=False)
    excess = _grouped(rows["captured"] - floor.transform("max"), order)
    known = [values[~np.isnan(values)] for values in excess]
    return np.array([not len(values) or lower_bound(values) > 0 for values in known], dtype=bool)


def _keys(by: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*by, "objective", "readout", "term"]))


def _grouped(values: pd.Series, order: np.ndarray) -> list[np.ndarray]:
    """The values of every group, of which `order` holds the number."""
    ends = np.cumsum(np.bincount(order))[:-1]
    return np.split(values.to_numpy(dtype=float)[np.argsort(order, kind="stable")], ends)


def with_seeds(shown: pd.DataFrame, rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means with the bits of single seeds beside them, in columns `seed0`, `seed1`, ...

    Args:
        shown: what `means` made of `rows` and `by`.
        rows: headlines.
        by: columns that tell the points apart.
    """
    keys = _keys(by)
    for seed, mine in rows.groupby("seed") if "seed" in rows else []:
        single = mine[[*keys, "captured"]].rename(columns={"captured": f"seed{seed}"})
        shown = shown.merge(single, "left", keys)
    return shown


def _refuse_mixtures(rows: pd.DataFrame, keys: list[str]) -> None:
    twice = rows[rows.duplicated(keys, keep=False)]
    if twice.empty:
        return
    one = twice[(twice.groupby(keys, sort=False, dropna=False).ngroup() == 0).to_numpy()]
    differ = [name for name in parameters(rows) if one[name].nunique(dropna=False) > 1]
    what = f"differ in {', '.join(differ)}: choose one with at {differ[0]}=VALUE" if differ else "are alike"
    raise InvalidRequest(
        f"{len(one)} results of {one['objective'].iloc[0]!r}, seed {one['seed'].iloc[0]}, stand at one point "
        f"and would be mixed; they {what}"
    )


def parameters(table: pd.DataFrame) -> list[str]:
    """The columns that say at which point of a sweep a row stands."""
    return [str(name) for name in table.columns if name not in FIXED]


def axis_groups_of(table: pd.DataFrame, known: Sequence[Sequence[str]] = ()) -> list[list[str]]:
    """The directions along which a table still varies: those of `known`, then any other.

    Columns that change together, one to one, are one direction.
    """
    varied = [name for name in parameters(table) if table[name].nunique(dropna=False) > 1]
    found = [[name for name in axis if name in varied] for axis in known]
    found = [axis for axis in found if axis]
    taken = {name for axis in found for name in axis}
    for name in varied:
        if name in taken:
            continue
        together = next((axis for axis in found if _one_to_one(table, axis[0], name)), None)
        if together is None:
            found.append([name])
        else:
            together.append(name)
    return found


def _one_to_one(table: pd.DataFrame, a: str, b: str) -> bool:
    pairs = table[[a, b]].drop_duplicates()
    return not (pairs[a].duplicated().any() or pairs[b].duplicated().any())


def columns_of(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]]) -> list[str]:
    """The columns that tell the points along directions apart: the first of each, and any it does not fix."""
    found: list[str] = []
    for first, *rest in axis_groups:
        found.append(first)
        found += [name for name in rest if table.drop_duplicates([first, name])[first].duplicated().any()]
    return found


def places(rows: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The points that rows stand at, in their order, as values by column."""
    if not columns:
        return [{}]
    return [dict(zip(columns, values, strict=True)) for values in _tuples(rows[list(columns)])]


def _tuples(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(rows.drop_duplicates().itertuples(index=False, name=None))


def at_place(table: pd.DataFrame, place: dict[str, Any]) -> pd.DataFrame:
    """The rows where every column of `place` has its value."""
    here = np.ones(len(table), dtype=bool)
    for name, value in place.items():
        here &= (table[name].isna() if pd.isna(value) else table[name] == value).to_numpy()
    return table[here]


def thin_points(points: Sequence[dict[str, Any]], most: int = 3) -> list[dict[str, Any]]:
    """All points, or of more than `most` some of them, evenly from the first to the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def thin_grid(lengths: Sequence[int], most: int) -> list[np.ndarray]:
    """Places along every direction, evenly from the first to the last: of so many points at the most.

    Args:
        lengths: how many places every direction has.
        most: of the points that the chosen places make together; 1 or more.
    """
    counts = list(lengths)
    while math.prod(counts) > most and max(counts) > 1:
        longest = counts.index(max(counts))
        counts[longest] = (counts[longest] + 1) // 2
    pairs = zip(lengths, counts, strict=True)
    return [np.linspace(0, n - 1, count).round().astype(int) for n, count in pairs]
