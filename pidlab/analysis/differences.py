"""Paired differences between objectives at equal seeds: who keeps more, and by how much."""

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from pidlab.errors import InvalidRequest

KEYS = ("readout", "term", "quantity")


def paired_differences(table: pd.DataFrame, by: tuple[str, ...] = ()) -> pd.DataFrame:
    """Differences in captured bits between every two objectives, paired by seed.

    Objectives of one seed share world and data, so their difference has less spread than either. The
    interval is a t-interval over seeds, at 95 %; with one seed there is none.

    Args:
        table: rows as in results.csv; headlines are compared.
        by: columns of the points of the sweep; by default the terms' bits and every varied parameter.

    Returns:
        A row per (point, readout, term, quantity, pair): first, second, difference = captured by the
        first minus by the second, low, high (bits), seeds.

    Raises:
        InvalidRequest: fewer than two objectives share a seed.
    """
    rows = table[table["headline"].astype(bool)]
    points = list(by or _points(table))
    keys = [*points, *KEYS]
    wide = rows.pivot_table(
        index=[*keys, "seed"], columns="objective", values="captured", sort=False, dropna=False
    )
    names = [name for name in dict.fromkeys(rows["objective"]) if name in wide]
    found = []
    for first, second in itertools.combinations(names, 2):
        difference = (wide[first] - wide[second]).dropna()
        for at, values in difference.groupby(level=list(range(len(keys))), sort=False, dropna=False):
            place = at if isinstance(at, tuple) else (at,)
            low, high = _interval(values.to_numpy())
            numbers = (float(values.mean()), low, high, len(values))
            found.append((*place, first, second, *numbers))
    if not found:
        raise InvalidRequest("nothing to compare: two objectives with a seed in common are needed")
    return pd.DataFrame(found, columns=[*keys, "first", "second", "difference", "low", "high", "seeds"])


def _points(table: pd.DataFrame) -> list[str]:
    """The columns of results.csv after `converged`: the terms' bits and what was varied."""
    columns = list(table.columns)
    return columns[columns.index("converged") + 1 :]


def _interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return np.nan, np.nan
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
