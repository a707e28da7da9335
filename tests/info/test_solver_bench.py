"""The benchmark of solvers: like with like, on one core, which is given back."""

import os

import pytest
import torch

from pidlab.bench import benchmark


def test_solvers_are_given_the_same_distributions():
    pytest.importorskip("cvxpy")
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    alone, together = benchmark(((2, 1), (3, 4)), rivals=2, repeats=1)
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (cores, threads)
    assert (alone.size, alone.batch, together.size, together.batch) == (2, 1, 3, 4)
    for row in (alone, together):
        assert row.gap <= 1e-9
        assert row.difference <= 2e-6 + row.gap
        assert 0 < row.clarabel < row.cvxpy
        assert row.over_cvxpy == row.cvxpy / row.ours > 0
