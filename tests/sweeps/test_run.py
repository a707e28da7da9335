"""A sweep from end to end, killed, resumed, and asked for more."""

import dataclasses
import json
import os
import random
import signal
import sqlite3
import time
from contextlib import closing

import pandas as pd
import pytest
from forked import fork
from swept import run_and_draw

from pidlab import InvalidRequest
from pidlab.cli.results import report
from pidlab.defaults import Training
from pidlab.plots.style import FORMATS
from pidlab.report import write_report
from pidlab.results.folder import read_results
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import execute as cohort_module
from pidlab.sweeps import run as run_module
from pidlab.sweeps.execute import Silent
from pidlab.sweeps.plan import plan
from pidlab.sweeps.store import Store

pytestmark = pytest.mark.usefixtures("few_rows")

COLUMNS = [
    "run",
    "objective",
    "seed",
    "readout",
    "term",
    "quantity",
    "truth",
    "captured",
    "low",
    "high",
    "probe",
    "headline",
    "converged",
    "accuracy",
    "balanced_accuracy",
    "redundant",
    "unique1",
    "unique2",
    "synergy",
    "trained",
]


def small(**changes):
    settings = {
        "axes": (Axis(("unique1", "unique2"), (0.0, 0.5, 1.0)),),
        "objectives": ("untrained", "cross", "simclr"),
        "seeds": 2,
        "training": Training(steps=8, batch=32, hidden=16),
        "probes": "quick",
    }
    return Request(**{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    return run_and_draw(small(), directory)


def test_the_table_is_tidy_and_complete(finished):
    table = pd.read_csv(finished.directory / "results.csv")
    assert list(table.columns) == COLUMNS
    assert len(table["run"].unique()) == finished.runs == 18
    assert not finished.failures
    heads = table[table["headline"]].groupby(["run", "readout", "term"]).size()
    assert (heads == 1).all()
    assert set(table["readout"]) == {"z1", "z2", "z12"}
    assert table["converged"].isna().all()
    points = table.drop_duplicates(["run"])
    assert sorted(set(points["unique1"])) == [0.0, 0.5, 1.0]
    assert (points["redundant"] == 1.0).all()


def test_every_file_exists_and_is_not_empty(finished):
    names = {f"captured.{suffix}" for suffix in FORMATS} | {
        "captured.csv",
        "loss.svg",
        "results.csv",
        "results.sqlite",
        "provenance.json",
        "report.html",
    }
    assert {
        p.name for p in finished.directory.iterdir() if not p.name.startswith((".lock", "results.sqlite-"))
    } == names
    assert all((finished.directory / name).stat().st_size > 500 for name in names)
    record = json.loads((finished.directory / "provenance.json").read_text())
    assert record["versions"]["torch"]
    assert record["request"]["seeds"] == 2
    assert {"training", "data", "probing", "representing"} == set(record["seconds"])
    for activity in ("training", "data", "probing", "representing"):
        parts = [c["seconds"].get(activity, 0.0) for c in record["cohorts"]]
        assert record["seconds"][activity] == pytest.approx(sum(parts))
    assert [c["program"] for c in record["cohorts"]] == ["vmap"] * 3


def test_report_from_files_equals_the_page_of_the_sweep(finished):
    page = finished.directory / "report.html"
    before = page.read_bytes()
    write_report(read_results(finished.directory), finished.directory)
    assert page.read_bytes() == before


def test_a_report_with_new_names_keeps_the_views_and_the_losses(finished, tmp_path):
    report([finished.directory], out=tmp_path, label=["simclr=Ours"])
    page = (tmp_path / "report.html").read_text()
    assert "Views: noise." in page
    assert page.index("Captured against true information of") < page.index("Training loss of")
    assert page.count(">Ours<") >= 2


def untrainable(*_, **__):
    raise AssertionError("a finished run was trained again")


def test_rerunning_trains_nothing_and_changes_nothing(finished, monkeypatch):
    before = {
        p.name: p.read_bytes()
        for p in finished.directory.glob("*.*")
        if p.suffix in (".csv", ".pdf", ".svg", ".png")
    }
    monkeypatch.setattr(cohort_module, "train", untrainable)
    run_and_draw(small(), finished.directory)
    after = {name: (finished.directory / name).read_bytes() for name in before}
    assert after == before


def test_more_seeds_points_and_objectives_train_only_what_is_missing(finished, tmp_path, monkeypatch):
    request = small(seeds=1, objectives=("cross",))
    run_sweep(request, tmp_path)
    trained = []
    train = cohort_module.train

    def counting(make, members, *rest, **more):
        trained.append(len(members))
        return train(make, members, *rest, **more)

    monkeypatch.setattr(cohort_module, "train", counting)
    run_sweep(small(objectives=("cross", "simclr")), tmp_path)
    assert trained == [3, 6]
    grown = pd.read_csv(tmp_path / "results.csv")
    whole = pd.read_csv(finished.directory / "results.csv")
    whole = whole[whole["objective"] != "untrained"].reset_index(drop=True)
    pd.testing.assert_frame_equal(grown, whole, check_exact=True)


# Seconds until a kill: from before the store is there to several cohorts later. Moments cannot be repeated,
# since the clock cannot be seeded.
BETWEEN_KILLS = (0.0, 0.6)


class Log(Silent):
    """Writes a line for each cohort that starts: number of the process, keys of the runs."""

    def __init__(self, child, path):
        self.child, self.path = child, path

    def start(self, cohorts, finished, total):
        self.cohorts = cohorts

    def cohort(self, number):
        with self.path.open("a") as log:
            print(self.child, *(run.key for run in self.cohorts[number].runs), file=log)


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_a_killed_sweep_resumes_to_the_same_bytes(finished, tmp_path, monkeypatch, kills):
    directory, log = tmp_path / "sweep", tmp_path / "log"
    # a cohort per run, so that there are many
    monkeypatch.setattr(run_module, "plan", lambda runs, **_: plan(runs, budget=1))
    killed = 0
    for child in range(kills + 1):
        # A fork, because a new process would import torch again.
        pid = fork(lambda child=child: run_and_draw(small(), directory, progress=Log(child, log)))
        if child < kills:  # the last one is left alone
            time.sleep(random.uniform(*BETWEEN_KILLS))
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in ((-signal.SIGKILL, 0) if child < kills else (0,))
        killed += code != 0
    assert killed >= 4, "the sweep was over before most kills"
    starts = [line.split() for line in log.read_text().splitlines()]
    order = [key for _, *keys in starts for key in keys]
    with closing(Store(directory / "results.sqlite")) as store:
        # One commit per run, and a run begins again only where a kill met it: as the last of its child.
        assert sum(cohort["members"] for cohort in store.seconds()) == len(store.states()) == finished.runs
    cut = dict(starts)  # the last of every child
    for place, (_, key) in enumerate(starts):
        if key in order[place + 1 :]:
            assert cut[starts[place][0]] == key
    for name in ("results.csv", "captured.csv", "captured.svg"):
        assert (directory / name).read_bytes() == (finished.directory / name).read_bytes()


def test_runs_do_not_depend_on_the_cohorts_they_are_in(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "plan", lambda runs, **_: plan(runs, budget=1))
    run_sweep(small(objectives=("simclr",)), tmp_path)
    alone = pd.read_csv(tmp_path / "results.csv")
    whole = pd.read_csv(finished.directory / "results.csv")
    whole = whole[whole["objective"] == "simclr"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, whole, check_exact=True)


def test_a_failing_objective_fails_its_own_runs_only(tmp_path, monkeypatch):
    load = cohort_module.load_objective

    def sabotaged(name, source=None):
        if name == "cross":

            def make(encoders):
                raise RuntimeError("a mistake\nin two lines")

            return make
        return load(name, source)

    monkeypatch.setattr(cohort_module, "load_objective", sabotaged)
    result = run_sweep(small(seeds=1), tmp_path)
    (why,) = set(result.failures.values())
    assert why.startswith("RuntimeError: a mistake\n")
    assert 'test_run.py", line' in why
    assert "pidlab/" not in why
    assert len(result.failures) == 3
    assert set(result.table["objective"]) == {"untrained", "simclr"}


def test_a_diverging_run_is_marked_and_the_rest_are_kept(tmp_path):
    request = small(axes=(Axis(("rate",), (1e-3, 1e30)),), objectives=("simclr",), seeds=1)
    result = run_sweep(request, tmp_path)
    (reason,) = result.failures.values()
    assert "not finite at step" in reason
    assert set(result.table["rate"]) == {1e-3}


def test_an_interrupted_sweep_keeps_finished_cohorts(tmp_path, monkeypatch):
    train = cohort_module.train

    def interrupted(make, members, *rest, **more):
        if more and len(Store(tmp_path / "results.sqlite").states()):
            raise KeyboardInterrupt
        return train(make, members, *rest, **more)

    monkeypatch.setattr(cohort_module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(small(), tmp_path)
    store = Store(tmp_path / "results.sqlite")
    assert len(store.states()) == 6
    store.close()


def foreign(path):
    path.write_bytes(b"this is no database at all, only text that stands in its place")


def other_database(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()


def other_schema(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(foreign, "not a database"), (other_database, "not of pidlab"), (other_schema, "has schema 99")],
)
def test_foreign_databases_are_never_changed(tmp_path, spoil, says):
    path = tmp_path / "results.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(InvalidRequest, match=says):
        run_sweep(small(), tmp_path)
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} <= {
        "results.sqlite",
        ".lock",
        "results.sqlite-wal",
        "results.sqlite-shm",
    }


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidRequest, match="cannot write to"):
        run_sweep(small(), tmp_path / "file" / "below")


def test_thorough_probes_report_whether_training_converged(tmp_path, monkeypatch):
    from pidlab.probes import levels
    from pidlab.probes.mlp import MLPProbe

    small_level = dataclasses.replace(
        levels.LEVELS["thorough"], train=2048, validation=1024, test=2048, mlp=MLPProbe(hidden=16, epochs=2)
    )
    monkeypatch.setitem(levels.LEVELS, "thorough", small_level)
    result = run_sweep(small(seeds=1, probes="thorough", objectives=("supervised",)), tmp_path)
    assert not result.failures
    moved = result.table[result.table["term"].str.endswith(":moved")]
    assert set(moved["quantity"]) == {"control"}
    assert set(moved["readout"]) == {"z12"}
    settled = moved["converged"].astype(bool)
    assert (settled == (moved["captured"].abs() <= 0.05)).all()
