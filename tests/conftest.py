import os

import pytest
import torch

from pidlab.defaults import Training
from pidlab.probes.levels import LEVELS, Level
from pidlab.probes.mlp import MLPProbe

# Tests run side by side, where threads of several processes would wait for each other.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that they start


FEW_ROWS = Level(1024, 512, 1024, MLPProbe(epochs=1))


@pytest.fixture
def tiny():
    """Training that takes no time; its numbers mean nothing."""
    return Training(steps=3, batch=16, hidden=16)


@pytest.fixture(scope="module")
def few_rows():
    """Give quick probes few rows in this process, for tests that do not depend on what probes read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LEVELS, "quick", FEW_ROWS)
        yield


@pytest.fixture
def few_rows_here(monkeypatch):
    """As `few_rows`, for a single test of a module whose other tests start workers or read the probes."""
    monkeypatch.setitem(LEVELS, "quick", FEW_ROWS)


@pytest.fixture(autouse=True)
def untouched_global_randomness():
    """Nothing in pidlab draws from or seeds the global generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state())
