"""Our BROJA solver beside a general conic solver and beside dit's, on the same distributions and one core."""

import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from pidlab.errors import InvalidRequest
from pidlab.info.broja import broja


@dataclass(frozen=True)
class Row:
    """Seconds per distribution of one size, medians, and what the solvers got wrong, in bits.

    Args:
        size: symbols of X1, of X2 and of Y.
        batch: distributions in one call of ours; the others take them one by one.
        ours: seconds of ours.
        cvxpy: seconds of cvxpy with Clarabel, problem built and solved, warm.
        clarabel: seconds that Clarabel itself reports.
        gap: our largest certified gap.
        difference: largest distance of Clarabel's union information from ours.
    """

    size: int
    batch: int
    ours: float
    cvxpy: float
    clarabel: float
    gap: float
    difference: float

    @property
    def over_cvxpy(self) -> float:
        """How many times faster ours is than a user's way."""
        return self.cvxpy / self.ours

    @property
    def over_clarabel(self) -> float:
        """How many times faster ours is than the conic solver's own time."""
        return self.clarabel / self.ours


def benchmark(
    sizes: tuple[tuple[int, int], ...] = ((8, 1), (10, 1), (4, 256)),
    *,
    rivals: int = 5,
    repeats: int = 11,
    seed: int = 0,
) -> list[Row]:
    """Times `broja` against cvxpy + Clarabel on uniform Dirichlet distributions, side by side on one core.

    Args:
        sizes: pairs (symbols an axis, batch).
        rivals: distributions that the conic solver is given at each size, each once more to warm up.
        repeats: calls of ours with each of these distributions, or with the batch; the median counts.
        seed: of the distributions.

    Raises:
        InvalidRequest: cvxpy or Clarabel is not installed.
    """
    if not (importlib.util.find_spec("cvxpy") and importlib.util.find_spec("clarabel")):
        raise InvalidRequest("the benchmark needs the rivals: pip install cvxpy clarabel")
    with _one_core():
        return [_row(size, batch, rivals, repeats, seed) for size, batch in sizes]


@contextmanager
def _one_core() -> Generator[None]:
    """One thread of torch's, and one core for all: Clarabel's own threads, on two cores, double its time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # Linux alone has it
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)


def dit_errors(size: int, number: int, seed: int = 0) -> list[float]:
    """Distances of dit's default solver from ours, in bits, on uniform Dirichlet pmfs; empty without dit."""
    if not importlib.util.find_spec("dit"):
        return []
    dit = importlib.import_module("dit")
    pid = importlib.import_module("dit.pid")
    errors = []
    for pmf in _distributions(size, number, seed):
        outcomes = list(np.ndindex(*pmf.shape))
        found = pid.PID_BROJA(dit.Distribution(outcomes, list(pmf.ravel())), ((0,), (1,)), (2,))
        redundant = float(found.get_pi(((0,), (1,))))
        errors.append(abs(redundant - float(broja(pmf).redundant)))
    return errors


def conic_union(pmf: np.ndarray) -> tuple[float, float, float]:
    """Union information in bits by cvxpy + Clarabel, seconds in all, seconds that Clarabel reports."""
    cp = importlib.import_module("cvxpy")
    n1, n2, ny = pmf.shape
    began = time.perf_counter()
    q = cp.Variable((n1 * n2, ny), nonneg=True)
    rows = np.kron(np.eye(n1), np.ones((1, n2)))
    columns = np.kron(np.ones((1, n1)), np.eye(n2))
    loss = cp.sum(cp.rel_entr(q, cp.sum(q, axis=1, keepdims=True) @ np.ones((1, ny))))
    problem = cp.Problem(cp.Minimize(loss), [rows @ q == pmf.sum(1), columns @ q == pmf.sum(0)])
    problem.solve(solver=cp.CLARABEL)
    seconds = time.perf_counter() - began
    py = pmf.sum((0, 1))
    union = problem.value / np.log(2) - (py[py > 0] * np.log2(py[py > 0])).sum()
    return float(union), seconds, float(problem.solver_stats.solve_time)


def _distributions(size: int, number: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(size**3), size=number).reshape(number, size, size, size)


def _row(size: int, batch: int, rivals: int, repeats: int, seed: int) -> Row:
    pmfs = _distributions(size, max(batch, rivals), seed)
    found = broja(pmfs)
    unions = np.asarray(found.mi1 + found.unique2)
    theirs, ours = [], []
    for pmf in pmfs[:rivals]:  # in turn, as the machine's pace drifts, and each warm
        conic_union(pmf)
        theirs.append(conic_union(pmf))
        mine = pmfs[:batch] if batch > 1 else pmf
        broja(mine)
        ours += [_seconds(partial(broja, mine)) / batch for _ in range(repeats)]
    return Row(
        size=size,
        batch=batch,
        ours=statistics.median(ours),
        cvxpy=statistics.median(seconds for _, seconds, _ in theirs),
        clarabel=statistics.median(reported for _, _, reported in theirs),
        gap=float(np.max(found.gap)),
        difference=max(abs(union - ours) for (union, _, _), ours in zip(theirs, unions, strict=False)),
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
