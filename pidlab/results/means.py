"""Means over seeds with t-intervals, and the points of a sweep that they belong to."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from pidlab.errors import InvalidRequest

# Columns of results.csv that identify a run.
RUN = ("run", "objective", "seed")
# Accuracies of a probe on test rows; empty in older results and in other rows.
ACCURACIES = ("accuracy", "balanced_accuracy")
# Bits that the same probe reads from the same architecture before training, and after training with labels.
BASELINES = ("floor", "ceiling")
# Columns of results.csv that state what a probe read: from which readout, about which target, in bits.
READING = (
    *("readout", "term", "quantity", "truth", "captured", "low", "high"),
    *("probe", "headline", "converged"),
    *ACCURACIES,
)
# The training step of a row of quantity "tracked".
STEP = "step"
# Quantity of rows whose `captured` is a lower bound of the truth; `truth` is then an upper bound.
BOUNDS = "bounds"
# The column of loss curves.
LOSS = "loss"
# Whether training changed the loss of a run (`pidlab.results.loss_curves`); empty without a loss curve.
TRAINED = "trained"
# All columns that are not parameters of the sweep.
FIXED = (*RUN, *READING, *BASELINES, STEP, LOSS, TRAINED)

FLOOR, CEILING = "untrained", "supervised"
CONFIDENCE = 0.95
# A seed captures a target if it reads this share of its bits.
SUCCESS = 0.9


def base_name(objective: str) -> str:
    """Return the name of an objective without its arguments.

    Args:
        objective: A reference such as `comm(temperature=0.1)`.

    Example:
        >>> base_name("comm(temperature=0.1)")
        'comm'
    """
    return objective.partition("(")[0].strip()


def is_reference(objective: str) -> bool:
    """Return whether an objective is a floor or a ceiling."""
    return base_name(objective) in (FLOOR, CEILING, *BASELINES)


def half_width(values: np.ndarray) -> float:
    """Compute half the width of the 95 % t-interval of a mean.

    The half-width is t(0.975, n - 1) s / sqrt(n), with s the sample standard deviation.

    Args:
        values: One value per seed, shape (n,).

    Returns:
        The half-width in the unit of the values; NaN for a single value.

    Example:
        >>> round(half_width(np.array([0.5, 0.6, 0.7])), 4)
        0.2484
    """
    return _t_margin(values, 0.5 + CONFIDENCE / 2)


def t_interval(values: Iterable[float]) -> tuple[float, float]:
    """Compute the 95 % t-interval of a mean, in the form of seaborn's `errorbar` functions.

    Args:
        values: One value per seed, shape (n,).

    Returns:
        The ends of the interval; both NaN for a single value.

    Example:
        >>> low, high = t_interval(np.array([0.5, 0.6, 0.7]))
        >>> round(low, 4), round(high, 4)
        (0.3516, 0.8484)
    """
    array = np.asarray(values, dtype=float)
    mean, half = float(array.mean()), half_width(array)
    return mean - half, mean + half


def count_successes(captured: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Count the seeds that capture 90 % of the truth, with an exact binomial interval.

    Args:
        captured: Captured bits of each seed, shape (n,).
        truth: True bits of each seed, shape (n,).

    Returns:
        `reached` (the number of seeds), and `reached_low` and `reached_high` (the 95 % Clopper-Pearson
        interval of the probability that a seed reaches it).

    Example:
        >>> count_successes(np.array([0.95, 0.2]), np.array([1.0, 1.0]))["reached"]
        1
    """
    from scipy.stats import binomtest  # here, because importing it takes longer than drawing a figure

    reached = int((captured >= SUCCESS * truth).sum())
    interval = binomtest(reached, len(captured)).proportion_ci(CONFIDENCE, method="exact")
    return {
        "reached": reached,
        "reached_low": float(interval.low),
        "reached_high": float(interval.high),
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons by Holm's step-down method.

    Args:
        p_values: One p-value per comparison.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def p_value_above(values: np.ndarray, bound: float = 0.0, *, strict: bool = True) -> float:
    """Compute the p-value of the one-sided t-test that a mean lies above a bound.

    Args:
        values: One value per seed, shape (n,); at least one.
        bound: The bound, in the unit of the values.
        strict: Whether a mean equal to the bound counts as not above it, where all values are equal.

    Returns:
        The p-value of the null hypothesis that the mean is the bound or less. Where all values are equal, or
        there is a single one, the comparison itself decides: 0 or 1.

    Example:
        >>> round(p_value_above(np.array([0.09, 0.1, 0.11])), 4)
        0.0017
    """
    n, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    if error == 0.0:
        return 0.0 if mean > bound or (mean == bound and not strict) else 1.0
    return float(stdtr(n - 1, (bound - mean) / error))


def _t_margin(values: np.ndarray, quantile: float) -> float:
    n = len(values)
    if n < 2:
        return np.nan
    # scipy.special instead of scipy.stats, whose import alone takes longer than drawing a figure.
    return float(stdtrit(n - 1, quantile) * values.std(ddof=1) / np.sqrt(n))


def mean_over_seeds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Compute means over seeds with their t-intervals.

    Args:
        rows: Headline rows of results.csv, one per (point, objective, seed, readout, term).
        by: Columns that distinguish the points of the sweep.

    Returns:
        One row per (point, objective, readout, term), in the order of `rows`, with the columns of `by`
        and `objective, readout, term, truth, mean, low, high, seeds`. Bits; `low` and `high` are NaN for
        a single seed. Means of `floor` and `ceiling`, if the rows have any.

    Raises:
        InvalidRequest: If one seed occurs twice at a point, so that a mean would mix different settings.
    """
    keys = _group_columns(by)
    if "seed" in rows:
        _refuse_mixtures(rows, [*keys, "seed"])
    numbers = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    means = rows.iloc[first][[*keys, "truth"]].reset_index(drop=True)
    groups = _split_groups(rows["captured"], numbers)
    halves = np.array([half_width(values) for values in groups])
    means["mean"] = np.array([values.mean() for values in groups])
    means["low"] = means["mean"] - halves
    means["high"] = means["mean"] + halves
    means["seeds"] = np.array([len(values) for values in groups], dtype=int)
    for name in BASELINES:
        if name in rows and rows[name].notna().any():
            means[name] = rows[name].groupby(numbers).mean().to_numpy()
    return means


def point_key(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return values as a key, with None instead of NaN, which is not equal to itself.

    Args:
        values: Values of the columns that distinguish groups of rows.
    """
    return tuple(None if pd.isna(value) else value for value in values)


def count_trained(table: pd.DataFrame, by: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """Count the runs whose loss training changed, as text such as `2 of 3`.

    Args:
        table: Rows as in results.csv.
        by: Columns that define groups of runs.

    Returns:
        The text of each group, by `point_key` of the values of `by`. Runs without the flag do not count;
        groups without any other are left out.
    """
    if TRAINED not in table:
        return {}
    runs = table[table[TRAINED].notna()].drop_duplicates("run")
    counts: dict[tuple[Any, ...], list[bool]] = {}
    for *values, trained in runs[[*by, TRAINED]].itertuples(index=False, name=None):
        counts.setdefault(point_key(values), []).append(bool(trained))
    return {key: f"{sum(flags)} of {len(flags)}" for key, flags in counts.items()}


def has_bounds(table: pd.DataFrame) -> bool:
    """Return whether truths in a table are known up to bounds, and `truth` is an upper bound."""
    return "quantity" in table and bool((table["quantity"] == BOUNDS).any())


def add_lower_bounds(means: pd.DataFrame, table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add the lower bounds of truths that are known up to bounds, as the column `truth_low`.

    Args:
        means: Result of `mean_over_seeds`, one row per (point, objective, readout, term).
        table: Rows as in results.csv.
        by: Columns that distinguish the points of the sweep.

    Returns:
        The means with the mean lower bound over seeds, in bits; unchanged if all truths are exact.
    """
    if not has_bounds(table):
        return means
    keys = list(dict.fromkeys([*by, "readout", "term"]))
    rows = table[table["quantity"] == BOUNDS]
    low = rows.groupby(keys, sort=False, dropna=False)["captured"].mean().rename("truth_low").reset_index()
    return means.merge(low, "left", keys)


def above_floor(rows: pd.DataFrame, by: Sequence[str]) -> np.ndarray:
    """Test whether each mean lies above its floor at its point.

    The floor is that of the objective's own architecture (column `floor`) where the rows have it, otherwise
    the objective `untrained`. A mean lies above it if the one-sided t-test of the mean difference, paired by
    seed, rejects at the 5 % level, with Holm's correction over the objectives with the same point, readout
    and term. References are not part of this family. With a single seed the difference itself decides.

    Args:
        rows: Headline rows of results.csv.
        by: Columns that distinguish the points of the sweep.

    Returns:
        One bool per row of `mean_over_seeds(rows, by)`; True where the table has no floor.
    """
    keys = _group_columns(by)
    numbers = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    rows = rows.assign(seed=rows.get("seed", 0))
    pair = [*(name for name in keys if name != "objective"), "seed"]
    is_floor = rows["objective"].astype(str).map(base_name) == FLOOR
    untrained = rows["captured"].where(is_floor).groupby([rows[name] for name in pair], dropna=False)
    floor = untrained.transform("max")
    if "floor" in rows:
        floor = rows["floor"].fillna(floor)
    differences = _split_groups(rows["captured"] - floor, numbers)
    known = [values[~np.isnan(values)] for values in differences]
    p_values = np.array([p_value_above(values) if len(values) else math.nan for values in known])
    groups = rows.drop_duplicates(keys)
    compared = ~groups["objective"].astype(str).map(is_reference).to_numpy(dtype=bool) & ~np.isnan(p_values)
    column = groups.groupby([n for n in keys if n != "objective"], sort=False, dropna=False).ngroup()
    for number in np.unique(column[compared]):
        family = compared & (column == number).to_numpy()
        p_values[family] = holm(p_values[family].tolist())
    return np.isnan(p_values) | (p_values < 1.0 - CONFIDENCE)


def _group_columns(by: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*by, "objective", "readout", "term"]))


def _split_groups(values: pd.Series, numbers: np.ndarray) -> list[np.ndarray]:
    """Split values by the group number of each row; the order within a group is kept."""
    ends = np.cumsum(np.bincount(numbers))[:-1]
    return np.split(values.to_numpy(dtype=float)[np.argsort(numbers, kind="stable")], ends)


def add_single_seeds(means: pd.DataFrame, rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add the bits of single seeds to means, in columns `seed0`, `seed1`, ...

    Args:
        means: Result of `mean_over_seeds(rows, by)`.
        rows: Headline rows of results.csv.
        by: Columns that distinguish the points of the sweep.
    """
    keys = _group_columns(by)
    for seed, single in rows.groupby("seed") if "seed" in rows else []:
        column = single[[*keys, "captured"]].rename(columns={"captured": f"seed{seed}"})
        means = means.merge(column, "left", keys)
    return means


def _refuse_mixtures(rows: pd.DataFrame, keys: list[str]) -> None:
    repeated = rows[rows.duplicated(keys, keep=False)]
    if repeated.empty:
        return
    first = repeated[(repeated.groupby(keys, sort=False, dropna=False).ngroup() == 0).to_numpy()]
    differ = [name for name in parameters(rows) if first[name].nunique(dropna=False) > 1]
    remedy = (
        f"they differ in {', '.join(differ)}; choose one value with at {differ[0]}=VALUE"
        if differ
        else "their parameters are equal; leave one of the folders out"
    )
    raise InvalidRequest(
        f"{first['objective'].iloc[0]!r}, seed {first['seed'].iloc[0]}: {len(first)} results at one point "
        f"cannot be averaged; {remedy}"
    )


def parameters(table: pd.DataFrame) -> list[str]:
    """Return the columns of results.csv that state the point of the sweep."""
    return [str(name) for name in table.columns if name not in FIXED]


def find_axis_groups(table: pd.DataFrame, known: Sequence[Sequence[str]] = ()) -> list[list[str]]:
    """Return the groups of parameters along which a table varies.

    Args:
        table: Rows as in results.csv.
        known: Groups that are kept, as far as their columns vary in the table.

    Returns:
        The groups of `known`, then the other columns that vary. Columns that correspond one to one form
        one group.
    """
    varied = [name for name in parameters(table) if table[name].nunique(dropna=False) > 1]
    groups = [[name for name in group if name in varied] for group in known]
    groups = [group for group in groups if group]
    grouped = {name for group in groups for name in group}
    for name in varied:
        if name in grouped:
            continue
        matching = next((group for group in groups if _is_one_to_one(table, group[0], name)), None)
        if matching is None:
            groups.append([name])
        else:
            matching.append(name)
    return groups


def _is_one_to_one(table: pd.DataFrame, a: str, b: str) -> bool:
    pairs = table[[a, b]].drop_duplicates()
    return not (pairs[a].duplicated().any() or pairs[b].duplicated().any())


def point_columns(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]]) -> list[str]:
    """Return the columns that distinguish the points of a sweep.

    These are the first column of each group, and further columns of the group that the first does not
    determine.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together.
    """
    columns: list[str] = []
    for first, *others in axis_groups:
        columns.append(first)
        columns += [name for name in others if table.drop_duplicates([first, name])[first].duplicated().any()]
    return columns


def list_points(rows: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the distinct points of rows in their order, as values by column.

    Args:
        rows: Rows with the columns below.
        columns: Columns that distinguish points; without any there is one point.
    """
    if not columns:
        return [{}]
    distinct = rows[list(columns)].drop_duplicates().itertuples(index=False, name=None)
    return [dict(zip(columns, values, strict=True)) for values in distinct]


def rows_at(table: pd.DataFrame, point: dict[str, Any]) -> pd.DataFrame:
    """Return the rows at a point; a missing value matches a missing value."""
    mask = np.ones(len(table), dtype=bool)
    for name, value in point.items():
        mask &= (table[name].isna() if pd.isna(value) else table[name] == value).to_numpy()
    return table[mask]


def spread_indices(length: int, count: int) -> np.ndarray:
    """Return `count` indices spread evenly over a sequence, including its first and last element.

    Args:
        length: Length of the sequence.
        count: Number of indices; at most `length` are returned.

    Example:
        >>> spread_indices(10, 3)
        array([0, 4, 9])
    """
    return np.linspace(0, length - 1, min(length, count)).round().astype(int)


def thin_points(points: Sequence[dict[str, Any]], most: int = 3) -> list[dict[str, Any]]:
    """Return at most `most` points, spread evenly from the first to the last."""
    return [points[i] for i in spread_indices(len(points), most)]


def thin_grid(lengths: Sequence[int], most: int) -> list[np.ndarray]:
    """Choose positions along every axis of a grid such that they span at most `most` points.

    Args:
        lengths: Number of points along each axis.
        most: Largest number of points that the chosen positions may span; at least 1.

    Returns:
        Positions along each axis, spread evenly from the first to the last.

    Example:
        >>> thin_grid([11, 2], 12)
        [array([ 0,  2,  4,  6,  8, 10]), array([0, 1])]
    """
    counts = list(lengths)
    while math.prod(counts) > most and max(counts) > 1:
        longest = counts.index(max(counts))
        counts[longest] = (counts[longest] + 1) // 2
    return [spread_indices(n, count) for n, count in zip(lengths, counts, strict=True)]
