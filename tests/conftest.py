import os

import pytest
import torch

from pidlab.defaults import Training

# Tests run side by side, where threads of several processes would wait for each other.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that they start


@pytest.fixture
def tiny():
    """Training that takes no time; its numbers mean nothing."""
    return Training(steps=3, batch=16, hidden=16)


@pytest.fixture(autouse=True)
def untouched_global_randomness():
    """Nothing in pidlab draws from or seeds the global generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state())
