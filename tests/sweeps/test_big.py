"""Sweeps of many runs: what stands in memory, what is written run by run, what is shown of them."""

import io
import json
import tracemalloc
from contextlib import closing

import pandas as pd
import pytest

from pidlab.api import write_sweep_files
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.plots.style import save
from pidlab.results.means import RUN
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import run as run_module
from pidlab.sweeps.execute import Outcome
from pidlab.sweeps.plan import Runs, plan
from pidlab.sweeps.run import read_rows, write_results
from pidlab.sweeps.store import ROW_COLUMNS, Store

QUICK = Training(steps=2, batch=32, hidden=16)


def line(points):
    return Axis(("unique1", "unique2"), tuple(i / (points - 1) for i in range(points)))


def asked(**changes):
    settings = {"axes": (line(3),), "objectives": ("untrained", "cross(temperature=0.1)"), "seeds": 2}
    return Request(**{**settings, "training": QUICK, "probes": "quick", **changes})


def rows(run, converged=(None, True, False), step=None, terms=("redundant", "synergy")):
    """Rows of a run whose numbers are those of its seed."""
    found = []
    for i, term in enumerate(terms):
        for probe, headline in (("linear", i % 2 == 0), ("mlp", i % 2 == 1)):
            truth = None if term == "synergy" and run.seed else i
            bits = (run.seed + 1) / 3 - i
            found.append(
                {
                    **{"readout": "z12", "term": term, "quantity": "mi", "truth": truth, "captured": bits},
                    **{"low": -0.0, "high": 1e-7 if i else float("nan"), "probe": probe},
                    **{"headline": headline, "converged": converged[(i + run.seed) % len(converged)]},
                }
            )
    if step is not None:
        found.append({**found[0], "quantity": "tracked", "step": step})
    return found


def filled(directory, request, **how):
    """A store with the rows of a request's runs, but for the last, which failed, beside another's runs."""
    store = Store(directory / "results.sqlite")
    for one in (asked(axes=(Axis(("noise",), (0.1, 0.2)),)), request):
        *done, last = Runs(one)
        store.plan([*done, last])
        found = {run.key: rows(run, **how) for run in done}
        keys = [*found, last.key]
        store.commit(Outcome("cross", "vmap", {}, keys, found, {last.key: "it, failed"}))
    return store


def frame(runs, how):
    """The table of `filled`, built from its rows."""
    records = []
    for run in list(runs)[:-1]:
        about = {"run": run.key, "objective": run.objective, "seed": run.seed}
        point = {name: value for name, value in run.point.items() if name not in TERMS}
        records += [about | {"step": None, **row} | run.truth | point for row in rows(run, **how)]
    columns = [*RUN, *ROW_COLUMNS, *TERMS, "trained", *(name for name in runs.point(0) if name not in TERMS)]
    table = pd.DataFrame(records, columns=columns).astype({"truth": float, "step": "Int64"})
    # Values of an axis have one type, also where only some of them are left.
    for name in runs.point(0):
        if name not in TERMS:
            kinds = pd.Series([run.point[name] for run in runs]).dtype
            table[name] = table[name].astype(kinds)
    return table.drop(columns="step") if table["step"].isna().all() else table


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, {}),
        ({}, {"converged": (None,)}),
        ({}, {"converged": (True, False)}),
        ({"generator": "atoms(redundant=1, synergy=0)"}, {}),
        ({"axes": (Axis(("noise",), (0, 0.25)), Axis(("views",), ("task", "noise")))}, {}),
        ({"axes": (Axis(("nuisance",), (2, 4)), Axis(("synergy",), (0, 1)))}, {}),
        ({"axes": (line(3), Axis(("synergy",), (1.0, 0.5, 0.0))), "zipped": True}, {}),
        ({"generator": "three", "axes": ()}, {}),
        ({"track": 2}, {"step": 0}),
        ({"track": 2}, {}),
    ],
)
def test_results_are_written_as_pandas_writes_them_and_read_back_exactly(tmp_path, changes, how):
    request = asked(**changes)
    with closing(filled(tmp_path, request, **how)) as store:
        written = io.StringIO()
        runs = Runs(request)
        write_results(written, request, runs, runs, store)
        table = frame(runs, how)
        assert len(table) >= 4 * (len(runs) - 1)
        assert written.getvalue() == table.to_csv(index=False)
        written.seek(0)
        assert read_rows(written).to_csv(index=False) == written.getvalue()
        assert list(store.failures()) == [Runs(request)[-1].key]
        assert sum(store.open()) == 0
        assert [*store.open(failed=True)] == [0] * (len(Runs(request)) - 1) + [1]


def test_memory_does_not_grow_with_the_runs(tmp_path):
    def peak(points):
        request = asked(axes=(line(points),), objectives=("untrained",), seeds=10)
        with closing(Store(tmp_path / f"{points}.sqlite")) as store:
            tracemalloc.start()
            runs = Runs(request)
            store.plan(runs)
            cohorts = plan(runs)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert sum(len(cohort.runs) for cohort in cohorts) == len(runs) == 10 * points
        return most

    peak(20)  # fills what is cached
    # A run is its place in a cohort, 8 bytes twice as the array grows and again as it is cut, and its
    # part of a cohort of about 40; one held as an object with its key takes a thousand.
    assert peak(600) - peak(100) < 100 * 5000


def test_iteration_indexing_and_slicing_give_the_same_runs():
    runs = Runs(asked(axes=(line(3), Axis(("noise",), (0.1, 0.2)))))
    listed = [*runs]
    assert [runs[i] for i in range(len(runs))] == listed
    assert [*runs[3:17:5]] == listed[3:17:5]
    assert runs[-1] == listed[-1]
    with pytest.raises(IndexError):
        runs[len(runs)]
    # 24 runs at 3 x 2 points, 4 at each: of at most 16 the first, the last and what lies evenly between.
    few = [*runs.few(16)]
    assert [run.key for run in few] == [run.key for run in listed if run.point["unique1"] != 0.5]
    assert runs.few(24) is runs


def test_a_large_sweep_shows_some_points_and_writes_all(tmp_path, monkeypatch):
    request = asked(axes=(line(5),), objectives=("untrained",))
    whole = run_sweep(request, tmp_path)
    write_sweep_files(whole)
    text = (tmp_path / "results.csv").read_bytes()
    page = (tmp_path / "report.html").read_text()
    assert len(pd.read_csv(tmp_path / "captured.csv")["unique1"].unique()) == 5
    drawn = []
    monkeypatch.setattr(
        "pidlab.plots.style.save", lambda figure, path: (drawn.append(figure), save(figure, path))
    )
    monkeypatch.setattr(run_module, "MOST_SHOWN", 6)
    part = run_sweep(request, tmp_path)
    write_sweep_files(part)
    assert (tmp_path / "results.csv").read_bytes() == text
    assert sorted(set(part.shown["unique1"])) == [0.0, 0.5, 1.0]
    assert list(pd.read_csv(tmp_path / "captured.csv")["unique1"].unique()) == [0.0, 0.5, 1.0]
    pd.testing.assert_frame_equal(part.table, whole.table)
    assert {figure.get_suptitle() for figure in drawn} == {"3 of 5 points; results.csv has all"}
    note = "About 3 of 5 points, spread evenly along each axis; results.csv has all."
    assert note not in page
    assert (tmp_path / "report.html").read_text().count(note) == 3
    assert json.loads((tmp_path / "provenance.json").read_text())["runs"] == part.runs == 10
