"""Cohorts trained by the workers of a Dask scheduler."""

import dataclasses
import json
import os
import threading
import time

import pytest

from pidlab import InvalidRequest
from pidlab.defaults import Training
from pidlab.sweeps import Axis, Request
from pidlab.sweeps import cluster as worker_module
from pidlab.sweeps import run as run_module
from pidlab.sweeps.checkpoint_files import restore
from pidlab.sweeps.cluster import Message, answer, versions
from pidlab.sweeps.execute import Outcome, Silent
from pidlab.sweeps.plan import Runs, plan
from pidlab.sweeps.request import build_request

MINE = """
import torch


class Mine(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        return (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()
"""


def asked(**changes):
    settings = {
        "axes": (Axis(("unique1", "unique2"), (0.0, 0.5)),),
        "objectives": ("mine.py:Mine",),
        "seeds": 2,
        "training": Training(steps=4, batch=32, hidden=16),
        "probes": "quick",
    }
    return Request(**{**settings, **changes})


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setattr(run_module, "plan", lambda runs, **_: plan(runs, budget=1))
    return tmp_path


def work(cohort, progress):
    keys = [run.key for run in cohort.runs]
    progress.advance(7)
    progress.note("noted")
    return Outcome(cohort.objective, "none", {}, keys, {}, {})


BEGAN, STOPPED = [], threading.Event()


def slow_after_the_first(cohort, progress):
    BEGAN.append(cohort.runs[0].key)
    slow = len(BEGAN) > 1
    try:
        for _ in range(1000 if slow else 1):
            time.sleep(0.02)
            progress.advance(1)
    finally:
        if slow:
            STOPPED.set()
    return work(cohort, progress)


def test_stopping_a_sweep_cancels_its_cohorts_on_a_scheduler(user_file):
    distributed = pytest.importorskip("distributed")
    from pidlab.sweeps.cluster import Dask

    cohorts = plan(Runs(asked()), budget=1)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        outcomes = Dask(scheduler=cluster.scheduler_address).outcomes(cohorts, slow_after_the_first, Silent())
        assert list(next(outcomes).keys) == BEGAN[:1]
        while len(BEGAN) < 2:
            time.sleep(0.01)
        outcomes.close()  # as Ctrl-C and SIGTERM do
        assert STOPPED.wait(5)  # the 20 s of the second end with its next step
        with distributed.Client(cluster, set_as_default=False) as client:
            assert client.submit(int, "7").result(timeout=5) == 7  # the worker is free again
    assert len(cohorts) == 4
    assert len(BEGAN) == 2


def message(**changes):
    (run, *_) = Runs(asked())
    return dataclasses.replace(Message((run.specification,), versions(), os.getcwd()), **changes)


def test_a_worker_returns_outcome_and_notes(user_file):
    answered = answer(work, message())
    assert answered.outcome is not None
    assert list(answered.outcome.keys) == [Runs(asked())[0].key]
    assert (answered.notes, answered.refusal) == (("noted",), "")


@pytest.mark.parametrize("name", ["pidlab", "torch", "result version"])
def test_a_worker_with_another_version_refuses_and_names_both_versions(user_file, monkeypatch, name):
    monkeypatch.setattr(worker_module, "_place", lambda: "worker tcp://there:1")
    answered = answer(work, message(versions=versions() | {name: "0.0.7"}))
    assert answered.outcome is None
    assert answered.refusal.startswith(f"worker tcp://there:1 has {name} {versions()[name]}, ")
    assert "the driver has 0.0.7" in answered.refusal


def test_a_worker_with_another_source_of_an_objective_refuses(user_file, monkeypatch):
    monkeypatch.setattr(worker_module, "_place", lambda: "worker tcp://there:1")
    sent = message()
    (user_file / "mine.py").write_text(MINE + "# another\n")
    answered = answer(work, sent)
    assert answered.outcome is None
    assert "mine.py:Mine" in answered.refusal
    assert str(Runs(asked())[0].source) in answered.refusal  # what is there now


def test_user_files_are_found_in_the_working_folder_of_the_driver(user_file, monkeypatch, tmp_path_factory):
    sent = message()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    answered = answer(work, sent)
    assert answered.outcome is not None
    assert os.getcwd() == str(user_file)


@pytest.mark.parametrize(
    "generator",
    ["atoms(noise=0.2)", "gate('and')", "factorcl(chosen=(2, 1, 1))", "three", "gaussian", "trifeature"],
)
def test_a_run_is_restored_from_its_specification_as_json(generator):
    for run in Runs(build_request([], generator=generator, objectives=["cross"], seeds=1)):
        again = restore(json.loads(run.text))
        assert again.key == run.key
        assert (again.generator, again.training, again.seed) == (run.generator, run.training, run.seed)


def test_runs_of_another_version_or_file_are_not_restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("x1,x2,y,p\n0,0,0,.5\n1,1,1,.5\n")
    (run,) = Runs(Request(generator="gate('mine.csv')", objectives=("cross",), seeds=1))
    with pytest.raises(InvalidRequest, match=r"result version 1, but this pidlab makes version"):
        restore({**run.specification, "version": 1})
    (tmp_path / "mine.csv").write_text("x1,x2,y,p\n0,0,0,.25\n1,1,1,.75\n")
    with pytest.raises(InvalidRequest, match=f"run {run.key}: generator 'gate' has other contents"):
        restore(run.specification)
