"""The tidy table of a sweep, built column by column: a big sweep has millions of rows."""

from array import array
from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.sweeps.request import Run
from pidlab.sweeps.schema import ROW_COLUMNS
from pidlab.sweeps.store import Store

NUMBERS = ("truth", "captured", "low", "high")


def results(runs: Sequence[Run], store: Store) -> pd.DataFrame:
    """The tidy table of a sweep: a row per (run, readout, target, probe), bits throughout."""
    rows: dict[str, Any] = {name: array("d") if name in NUMBERS else [] for name in ROW_COLUMNS}
    same: dict[Any, Any] = {}  # one object for each word, not one for each row
    counts = []
    for found in store.rows(run.key for run in runs):
        counts.append(len(found))
        for (name, column), values in zip(rows.items(), zip(*found, strict=True), strict=False):
            if name in NUMBERS:  # what is not known is NaN here and NULL in the store
                column.extend([nan if value is None else value for value in values])
            else:
                column.extend([same.setdefault(value, value) for value in values])
    at = np.repeat(np.arange(len(runs)), counts)

    def repeated(values: list[Any]) -> pd.Series:
        return pd.Series(values).take(at).reset_index(drop=True)

    parameters = list(dict.fromkeys(name for run in runs for name in run.point if name not in TERMS))
    columns = {
        "run": repeated([run.key for run in runs]),
        "objective": repeated([run.objective for run in runs]),
        "seed": repeated([run.seed for run in runs]),
        **{name: np.frombuffer(c) if name in NUMBERS and c else c for name, c in rows.items()},
        **{term: repeated([run.truth[term] for run in runs]) for term in TERMS},
        **{name: repeated([run.point.get(name) for run in runs]) for name in parameters},
    }
    table = pd.DataFrame(columns)
    table["headline"] = table["headline"].astype(bool)
    table["step"] = table["step"].astype("Int64")
    if table["step"].isna().all():
        del table["step"]
    return table
