"""The floor and the ceiling of every row of results, joined from the rows of other runs."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from pidlab.results.means import BASELINES, parameters

# Probes that can be headlines at every level.
PROBES = ("linear", "mlp")
# Columns that say what was read; rows of the same values belong together.
_IDENTITY = ("readout", "term", "quantity", "probe")

Rows = Iterable[Sequence[Any]]


def join_baselines(rows: Rows, baselines: Sequence[Rows], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Append the bits of every baseline to the rows of a run, by readout, term and probe.

    Only rows of mutual information have baselines; the others get None.

    Args:
        rows: Rows of the run.
        baselines: Rows of each of its baselines, on the same generator and seed.
        columns: Names of the values in a row.

    Returns:
        The rows, each with one more value per baseline, in bits.
    """
    identity = [columns.index(name) for name in _IDENTITY]
    quantity, captured = columns.index("quantity"), columns.index("captured")
    bits = [
        {tuple(row[i] for i in identity): row[captured] for row in part if row[quantity] == "mi"}
        for part in baselines
    ]
    return [(*row, *(part.get(tuple(row[i] for i in identity)) for part in bits)) for row in rows]


def has_baselines(table: pd.DataFrame) -> bool:
    """Return whether any row of a table has a floor or a ceiling."""
    return any(name in table and bool(table[name].notna().any()) for name in BASELINES)


def with_best_baselines(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return headline rows with the largest floor and ceiling over probes.

    A headline is read by the best probe, so it is compared with what the best probe reads from the baselines.

    Args:
        rows: Headline rows of the table.
        table: Rows of all probes.
    """
    if not has_baselines(table):
        return rows
    run = ["run"] if "run" in table else ["objective", "seed", *parameters(table)]
    keys = [*run, "readout", "term"]
    probes = {*PROBES, *table["probe"][table["headline"].astype(bool)]}
    of_probes = table[table["probe"].isin(probes) & (table["quantity"] == "mi")]
    best = of_probes.groupby(keys, sort=False, dropna=False)[[*BASELINES]].max().reset_index()
    joined = rows.drop(columns=[*BASELINES]).merge(best, "left", keys)
    return joined.set_axis(rows.index)
