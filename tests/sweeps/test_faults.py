"""A fault costs its own run: of its cohort the others are done, with the numbers they would have had."""

import json

import pandas as pd
import pytest
import torch
from recorded_progress import RecordedProgress

from pidlab.defaults import Training
from pidlab.objectives import load_objective
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import execute as cohort_module
from pidlab.sweeps import run as run_module
from pidlab.sweeps.plan import Runs, plan
from pidlab.training import Member
from pidlab.training.cohort import build

pytestmark = pytest.mark.usefixtures("few_rows")

# Trained in a loop because of its `if`; it cannot bear some of the initial weights.
STRICT = """
import torch


class Strict(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        if self.encoders[0][0].weight[0, 0] < -0.05:
            raise ArithmeticError("no number")
        return (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()
"""


def asked(**changes):
    settings = {
        "axes": (Axis(("unique1", "unique2"), (0.0, 0.5, 1.0)),),
        "objectives": ("simclr",),
        "seeds": 2,
        "training": Training(steps=4, batch=32, hidden=16),
        "probes": "quick",
    }
    return Request(**{**settings, **changes})


@pytest.fixture
def short_of_memory(monkeypatch):
    """An accelerator with room for so many runs at a time; it tells how many were tried."""
    train, tried = cohort_module.train, []

    def limited(make, members, *rest, **more):
        tried.append(len(members))
        if len(members) > limited.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return train(make, members, *rest, **more)

    monkeypatch.setattr(cohort_module, "train", limited)
    limited.tried = tried
    return limited


def test_running_out_of_memory_halves_the_cohort_and_keeps_the_numbers(tmp_path, short_of_memory):
    short_of_memory.room = 6
    whole = run_sweep(asked(), tmp_path / "whole")
    short_of_memory.room, recorded = 2, RecordedProgress()
    halved = run_sweep(asked(), tmp_path / "halved", progress=recorded)
    assert short_of_memory.tried == [6, 6, 3, 1, 2, 3, 1, 2]
    assert not halved.failures
    pd.testing.assert_frame_equal(halved.table, whole.table, check_exact=True)
    assert recorded.notes[0] == (
        "simclr: 6 runs together: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB; "
        "tried in halves"
    )
    record = json.loads((tmp_path / "halved" / "provenance.json").read_text())
    assert [(c["members"], c["program"]) for c in record["cohorts"]] == [(6, "vmap")]


def test_a_run_that_does_not_fit_into_memory_fails_with_its_reason(tmp_path, short_of_memory):
    short_of_memory.room = 0
    result = run_sweep(asked(seeds=1), tmp_path)
    assert len(result.failures) == result.runs == 3
    assert all("CUDA out of memory" in why for why in result.failures.values())


def test_a_member_that_raises_does_not_fail_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict.py").write_text(STRICT)
    slow = Training(steps=4, batch=32, hidden=16, rate=1e-6)  # weights stay on their side
    request = asked(axes=(), objectives=("strict.py:Strict",), seeds=5, training=slow)
    make = load_objective("strict.py:Strict")
    models = {r.key: build(make, Member(r.generator, r.seed), r.training, "cpu") for r in Runs(request)}
    bad = {key for key, model in models.items() if model.encoders[0][0].weight[0, 0] < -0.05}
    assert 0 < len(bad) < 5
    together = run_sweep(request, tmp_path / "together")
    assert set(together.failures) == bad
    assert all(why.startswith("ArithmeticError: no number\n") for why in together.failures.values())
    monkeypatch.setattr(run_module, "plan", lambda runs, **_: plan(runs, budget=1))
    alone = run_sweep(request, tmp_path / "alone")
    pd.testing.assert_frame_equal(together.table, alone.table, check_exact=True)
    assert set(together.table["run"]) == set(models) - bad
