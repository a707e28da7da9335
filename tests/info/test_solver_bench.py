"""The solver benchmark uses the same distributions on one core and restores the affinity."""

import os

import pytest
import torch

from pidlab.bench import time_solvers


def test_solvers_agree_on_the_same_distributions():
    pytest.importorskip("cvxpy")
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    single, batch = time_solvers(((2, 1), (3, 4)), rivals=2, repeats=1)
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (cores, threads)
    assert (single.size, single.batch, batch.size, batch.batch) == (2, 1, 3, 4)
    for row in (single, batch):
        assert row.gap <= 1e-9
        assert row.difference <= 2e-6 + row.gap
        assert 0 < row.clarabel < row.cvxpy
        assert row.over_cvxpy == row.cvxpy / row.ours > 0
