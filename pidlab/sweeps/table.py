"""The tidy table of a sweep: as a frame built column by column, and as results.csv run by run."""

from array import array
from collections.abc import Iterator, Sequence
from math import nan
from typing import IO, Any

import numpy as np
import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.sweeps.lines import header, worded, write_rows
from pidlab.sweeps.request import Request
from pidlab.sweeps.runs import Run, Runs
from pidlab.sweeps.schema import FLAGS, ROW_COLUMNS
from pidlab.sweeps.store import Store
from pidlab.tables.columns import RUN

NUMBERS = ("truth", "captured", "low", "high")


def results(runs: Sequence[Run], store: Store) -> pd.DataFrame:
    """The tidy table of a sweep: a row per (run, readout, target, probe), bits throughout."""
    rows: dict[str, Any] = {name: array("d") if name in NUMBERS else [] for name in ROW_COLUMNS}
    same: dict[Any, Any] = {}  # one object for each word, not one for each row
    about: dict[str, list[Any]] = {name: [] for name in (*RUN, *TERMS)}
    points, counts = [], []
    for run in runs:
        for name, value in {
            "run": run.key,
            "objective": run.objective,
            "seed": run.seed,
            **run.truth,
        }.items():
            about[name].append(value)
        points.append(run.point)
    for found in store.rows(about["run"]):
        counts.append(len(found))
        for (name, column), values in zip(rows.items(), zip(*found, strict=True), strict=False):
            if name in NUMBERS:  # what is not known is NaN here and NULL in the store
                column.extend([nan if value is None else value for value in values])
            else:
                column.extend([same.setdefault(value, value) for value in values])
    at = np.repeat(np.arange(len(points)), counts)

    def repeated(values: list[Any]) -> pd.Series:
        return pd.Series(values).take(at).reset_index(drop=True)

    parameters = list(dict.fromkeys(name for point in points for name in point if name not in TERMS))
    columns = {
        **{name: repeated(about[name]) for name in RUN},
        **{name: np.frombuffer(c) if name in NUMBERS and c else c for name, c in rows.items()},
        **{term: repeated(about[term]) for term in TERMS},
        **{name: repeated([point.get(name) for point in points]) for name in parameters},
    }
    table = pd.DataFrame(columns)
    for flag, kind in zip(FLAGS, ("bool", "boolean"), strict=True):  # which SQLite keeps as 1 or 0
        table[flag] = table[flag].map({1: True, 0: False}).astype(kind)
    table["step"] = table["step"].astype("Int64")
    if table["step"].isna().all():
        del table["step"]
    return table


def write_results(text: IO[str], request: Request, runs: Runs, store: Store) -> None:
    """Writes the same table as results.csv, the same bytes as `results(...).to_csv(index=False)`.

    Args:
        text: where to.
        request: what was asked.
        runs: of the request, which the store has planned.
        store: with their rows.
    """
    # A column of a frame has one type: whole numbers stay so where all are.
    tracked = bool(request.track) and store.any_asked("step IS NOT NULL")
    said = {name: f"CAST({name} AS REAL)" for name in NUMBERS} | {name: worded(name) for name in FLAGS}
    columns = [name for name in ROW_COLUMNS if name != "step" or tracked]
    whole = [i for i, term in enumerate(TERMS, len(RUN)) if all(isinstance(r.truth[term], int) for r in runs)]
    shown = {
        request.columns[name]: dict(zip(axis.values, pd.Series(axis.values).tolist(), strict=True))
        for axis in request.varied
        for name in axis.names
    }
    shown = {name: values for name, values in shown.items() if name not in TERMS}

    def stated() -> Iterator[tuple[Any, ...]]:
        for place, found in enumerate(store.asked()):
            run = [int(value) if i in whole else value for i, value in enumerate(found)]
            point = runs.point(place // runs.each)
            yield (*run, *(values[point[name]] for name, values in shown.items()))

    keys = (found[0] for found in store.asked())
    rows = store.rows(keys, [said.get(name, name) for name in columns])
    write_rows(text, header(columns, [*shown]), stated(), rows)
