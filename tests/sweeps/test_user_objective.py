"""A sweep imports and scans a user's file once, and builds its class once per run plus one trial."""

import pytest

from pidlab.defaults import Training
from pidlab.objectives import source
from pidlab.sweeps import Axis, Request, run_sweep

pytestmark = pytest.mark.usefixtures("few_rows")

COUNTED = """
import builtins

import torch

builtins.pidlab_counts["imports"] += 1


class Counted(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        builtins.pidlab_counts["builds"] += 1
        self.encoders = encoders

    def forward(self, batch):
        return (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()
"""


@pytest.fixture
def counts(monkeypatch, tmp_path):
    """Numbers of imports, builds and scans of the class in `counted.py`."""
    counted = {"imports": 0, "builds": 0, "scans": 0}
    monkeypatch.setattr("builtins.pidlab_counts", counted, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted.py").write_text(COUNTED)
    scan = source._neighbors

    def counting(where, path):
        counted["scans"] += 1
        return scan(where, path)

    monkeypatch.setattr(source, "_neighbors", counting)
    return counted


def test_a_sweep_of_two_points_loads_a_class_once_and_builds_it_once_per_run_plus_one_trial(counts, tmp_path):
    request = Request(
        axes=(Axis(("unique1",), (0.0, 1.0)),),
        objectives=("counted.py:Counted",),
        seeds=1,
        training=Training(steps=3, batch=16, hidden=16),
        probes="quick",
    )
    result = run_sweep(request, tmp_path / "out")
    assert not result.failures
    assert result.runs == 2
    assert counts == {"imports": 1, "builds": 3, "scans": 1}
