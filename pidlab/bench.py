"""Our BROJA solver beside a general conic solver and beside dit's, on the same distributions and one core."""

import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pidlab import defaults
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest
from pidlab.generators import Atoms
from pidlab.generators.blocks import VARIANCE
from pidlab.generators.factorcl import FactorCL
from pidlab.info.broja import broja
from pidlab.io import Stopwatch
from pidlab.objectives import load_objective
from pidlab.objectives.base import (
    Batch,
    MakeObjective,
    Phase,
    loss_of,
    needs_of,
    phases_of,
)
from pidlab.probes.capture import capture_cohort
from pidlab.seeds import child
from pidlab.training.cohort import Member, build, train
from pidlab.training.stream import Stream, tree_map
from pidlab.validation.examination import as_readouts

COMPARED_STEPS = 20
WARM_UP = 5


def matrix_rate(size: int = 2048, repeats: int = 5) -> float:
    """Gflop/s of a float32 matrix product on all threads, the best of a few."""
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    best = min(_timed(lambda: a @ a) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def sampling_ms(samples: int = 30_000, repeats: int = 5) -> float:
    """Milliseconds that one thread takes to draw `samples` default samples, the best of a few."""
    threads, generator = torch.get_num_threads(), Atoms()
    torch.set_num_threads(1)
    try:
        return min(_timed(lambda: generator.sample(samples)) for _ in range(repeats)) * 1e3
    finally:
        torch.set_num_threads(threads)


def sampling_ratio(samples: int = 30_000, looped: int = 3_000) -> dict[str, float]:
    """Milliseconds for `samples` pairs of `factorcl` on one thread: drawn at once, and one by one.

    The loop is what the released code does: for every pair, a draw of each block, its transforms and the
    label, in numpy; `looped` pairs are timed and scaled up.
    """
    generator, threads = FactorCL(), torch.get_num_threads()
    t1, t2 = (transform.double().numpy() for transform in generator.transforms)
    rng = np.random.default_rng(0)
    blocks = [(np.zeros(d), VARIANCE * np.eye(d)) for d in generator.features]

    def loop() -> None:
        for _ in range(looped):
            shared, own1, own2 = (rng.multivariate_normal(mean, cov) for mean, cov in blocks)
            _ = np.concatenate([shared, own1]) @ t1, np.concatenate([shared, own2]) @ t2
            _ = int(np.concatenate([shared, own1, own2]).mean() >= 0)

    torch.set_num_threads(1)
    try:
        generator.sample(samples)
        at_once = min(_timed(lambda: generator.sample(samples)) for _ in range(5))
        one_by_one = min(_timed(loop) for _ in range(2)) * samples / looped
    finally:
        torch.set_num_threads(threads)
    return {"at_once_ms": at_once * 1e3, "loop_ms": one_by_one * 1e3, "ratio": one_by_one / at_once}


def compare(objective: str, steps: int) -> dict[str, Any]:
    """One default cohort (`pidlab sweep --unique 0..1`) against a plain loop over its first member.

    The loop is what one writes without pidlab: the module itself, `backward()`, fused Adam, batches
    made ready beforehand (their time is not counted on either side).

    Returns:
        Milliseconds per run and step of both, of the cohort's data, its Gflop/s, and the largest
        difference of the member's losses over the first 20 steps.
    """
    points = [i / (defaults.RANGE_POINTS - 1) for i in range(defaults.RANGE_POINTS)]
    members = [
        Member(Atoms(unique1=u, unique2=u, world=child(seed, "world")), seed)
        for u in points
        for seed in range(defaults.SEEDS)
    ]
    make = load_objective(objective)
    train(make, members, Training(steps=WARM_UP))
    clock = Stopwatch()
    fitted = train(make, members, Training(steps=steps), clock=clock)
    single, losses = _plain(make, members[0], steps)
    runs = steps * len(members)
    compared = min(COMPARED_STEPS, steps)
    difference = (fitted.losses[:compared, 0] - losses[:compared]).abs().max()
    return {
        "objective": objective,
        "members": len(members),
        "cohort_ms": clock.seconds["training"] / runs * 1e3,
        "data_ms": clock.seconds["data"] / runs * 1e3,
        "single_ms": single / steps * 1e3,
        "gflops": step_flops(make, members[0], Training()) * runs / clock.seconds["training"] / 1e9,
        "loss_difference": float(difference),
    }


def _plain(make: Any, member: Member, steps: int) -> tuple[float, Tensor]:
    training = Training()
    model = build(make, member, training, "cpu")
    phases = [(phase, _parameters(model, phase)) for phase in phases_of(model)]
    adams = [torch.optim.Adam(moved, lr=training.rate, fused=True) for _, moved in phases]
    drawn = sum(phase.repeat if phase.fresh_batch else 0 for phase, _ in phases) + 1
    batches = iter(_batches(model, member, training, steps * drawn))
    losses = torch.zeros(steps)
    start = time.perf_counter()
    for step in range(steps):
        batch = next(batches)
        for place, ((phase, _), adam) in enumerate(zip(phases, adams, strict=True)):
            for _ in range(phase.repeat):
                model.zero_grad()
                loss = loss_of(model, phase.loss, next(batches) if phase.fresh_batch else batch)
                loss.backward()
                adam.step()
                if place == 0:
                    losses[step] = loss.detach()
    return time.perf_counter() - start, losses


def _parameters(model: Any, phase: Phase) -> list[torch.nn.Parameter]:
    return [p for name, p in model.named_parameters() if phase.moves(name)]


def _batches(model: Any, member: Member, training: Training, steps: int) -> list[Batch]:
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    return [Batch(**tree_map(lambda t: t[0], stream.next())) for _ in range(steps)]


def step_flops(make: MakeObjective, member: Member, training: Training, device: str = "cpu") -> int:
    """Floating-point operations in the matrix products of one training step, all phases, of one model.

    On the `meta` device they are counted without being done.
    """
    model = build(make, member, training, device)
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    batch = Batch(**tree_map(lambda t: t[0].to(device), stream.next()))
    with FlopCounterMode(display=False) as counter:
        for phase in phases_of(model):
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(phase.moves(name))
            for _ in range(phase.repeat):
                loss_of(model, phase.loss, batch).backward()
    return counter.get_total_flops()


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# Members whose operations are counted, which takes longer than doing them; those timed are a cohort.
COUNTED = 3


def probing(level: str, members: int = defaults.RANGE_POINTS * defaults.SEEDS) -> dict[str, Any]:
    """Probes slices of the observations, as wide as a default readout, like one cohort of a sweep.

    Args:
        level: the effort.
        members: representations that are probed together.

    Returns:
        Level, members, ms per representation, its Gflop in matrix products, and Gflop/s.
    """
    clock = Stopwatch()
    _probe(level, COUNTED, Stopwatch())
    _probe(level, members, clock)
    with FlopCounterMode(display=False) as counter:
        _probe(level, COUNTED, Stopwatch())
    gflop = counter.get_total_flops() / COUNTED / 1e9
    seconds = clock.seconds["probing"]
    return {
        "level": level,
        "members": members,
        "ms": seconds / members * 1e3,
        "gflop": gflop,
        "gflops": gflop * members / seconds,
    }


def _probe(level: str, members: int, clock: Stopwatch) -> None:
    points = [i / max(1, members - 1) for i in range(members)]
    worlds = [Atoms(unique1=u, unique2=u, world=child(i, "world")) for i, u in enumerate(points)]
    capture_cohort(_readouts, worlds, range(members), level, clock=clock)


def _readouts(x: Sequence[Tensor]) -> dict[str, Tensor]:
    return as_readouts([xi[..., : Training().dim] for xi in x])


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
