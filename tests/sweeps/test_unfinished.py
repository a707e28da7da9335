"""A sweep that is killed inside a cohort goes on inside it."""

import multiprocessing
import os
import signal

import pytest

from pidlab.defaults import Training
from pidlab.sweeps import Request, run_sweep
from pidlab.sweeps.execute import Local, Silent
from pidlab.training import resume
from pidlab.training.optimizers import PhaseOptimizer

pytestmark = pytest.mark.usefixtures("few_rows")
REQUEST = Request(
    objectives=("comm",), seeds=2, training=Training(steps=6, batch=32, hidden=16), probes="quick", track=2
)


class Killing(Silent):
    """Kills its process after four steps."""

    steps = 0

    def advance(self, *_):
        self.steps += 1
        if self.steps == 4:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_inside_a_cohort_costs_only_the_steps_since_the_last_state(tmp_path, monkeypatch):
    run_sweep(REQUEST, tmp_path / "whole", engine=Local())
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == [
        ".lock",
        "provenance.json",
        "results.csv",
        "results.sqlite",
    ]
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    folder = tmp_path / "killed"
    child = multiprocessing.get_context("fork").Process(
        target=run_sweep, args=(REQUEST, folder), kwargs={"engine": Local(), "progress": Killing()}
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len([*(folder / "unfinished").iterdir()]) == 1
    steps, step = [], PhaseOptimizer.step
    monkeypatch.setattr(
        PhaseOptimizer, "step", lambda self, loss, number: (steps.append(number), step(self, loss, number))
    )
    again = run_sweep(REQUEST, folder, engine=Local())
    assert steps == [3, 4, 5]
    assert not again.failures
    assert (folder / "results.csv").read_bytes() == (tmp_path / "whole" / "results.csv").read_bytes()
    names = [{path.name for path in one.iterdir()} for one in (folder, tmp_path / "whole")]
    assert names[0] == names[1]
