"""Leaderboard: what every objective captures on the data of the study `profiles`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.results.folder import Results, merge_results
from pidlab.results.means import count_successes, half_width
from pidlab.results.stored import add_views, stored_results

STUDY = "profiles"
# Probes of the leaderboard: the best one on validation rows, and the linear one, as papers report.
PROBES = ("best", "linear")


def leaderboard(folder: Path | str | None = None) -> pd.DataFrame:
    """Return the share of each term that every objective captures, from the study `profiles`.

    Args:
        folder: Folder of the study's results; by default the results that come with pidlab.

    Returns:
        One row per (objective, views, data, term, probe), see `summarize`.

    Raises:
        InvalidRequest: If the results are missing.

    Example:
        >>> import pidlab
        >>> pidlab.leaderboard().query("term == 'synergy' and probe == 'linear'")  # doctest: +SKIP
    """
    return summarize(stored_results(STUDY, folder))


def summarize(results: Sequence[Results]) -> pd.DataFrame:
    """Compute the share of each term that every objective captures.

    A term's share is captured bits divided by true bits, on z12. `data` is `together` if the data hold all
    terms, and `alone` if they hold one kind of information.

    Args:
        results: Results of the sweeps of the study `profiles`.

    Returns:
        One row per (objective, views, data, term, probe) with `share` (mean over seeds), `half_width` (half
        the 95 % t-interval over seeds), `reached` (number of seeds with at least 90 % of the truth),
        `reached_low` and `reached_high` (95 % Clopper-Pearson interval of the probability to reach it) and
        `seeds`. `probe` is `best` (chosen on validation rows) or `linear`.
    """
    table = merge_results([add_views(part) for part in results])
    table = table[(table["readout"] == "z12") & (table["quantity"] == "mi") & table["term"].isin(TERMS)]
    table = table[table["truth"] > 0]
    together = (table[list(TERMS)] > 0).all(axis=1)
    table = table.assign(
        data=together.map({True: "together", False: "alone"}), share=table["captured"] / table["truth"]
    )
    best = table[table["headline"].astype(bool)].assign(probe="best")
    linear = table[table["probe"] == "linear"]
    keys = ["objective", "views", "data", "term", "probe"]
    rows = []
    for key, group in pd.concat([best, linear]).groupby(keys, sort=False):
        share = group["share"].to_numpy(dtype=float)
        record: dict[str, Any] = dict(zip(keys, key, strict=True))
        record |= {"share": share.mean(), "half_width": half_width(share), "seeds": len(share)}
        captured, truth = (group[name].to_numpy(dtype=float) for name in ("captured", "truth"))
        rows.append(record | count_successes(captured, truth))
    return pd.DataFrame(rows)
