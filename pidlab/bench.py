"""Benchmarks of training, probing, sampling and the BROJA solver (`pidlab bench`)."""

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
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pidlab import defaults
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest
from pidlab.generators import Atoms
from pidlab.generators.blocks import VARIANCE
from pidlab.generators.factorcl_data import FactorCL
from pidlab.info.broja import broja
from pidlab.io import Stopwatch
from pidlab.objectives import load_objective
from pidlab.objectives.load import LoadedObjective, guard_of
from pidlab.objectives.objective import (
    Batch,
    MakeObjective,
    loss_of,
    needs_of,
    phases_of,
)
from pidlab.probes.capture import capture_cohort
from pidlab.seeds import child
from pidlab.threads import one_thread
from pidlab.training.cohort import Member, build, train
from pidlab.training.stream import Stream, tree_map
from pidlab.validation.examination import as_readouts

COMPARED_STEPS = 20
WARM_UP = 5
# Members whose operations are counted, which is slower than executing them; timings use a whole cohort.
COUNTED = 3
# Measurements of the cohort and of the single model, in turn, and sizes of further cohorts.
ROUNDS = 3
SIZES = (2, 8, 17)


def matrix_rate(size: int = 2048, repeats: int = 5) -> float:
    """Measure the rate of a float32 matrix product on one thread.

    Args:
        size: Rows and columns of the matrices.
        repeats: Number of products; the fastest counts.

    Returns:
        Gflop/s.
    """
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    with one_thread():
        best = min(_seconds(lambda: a @ a) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def memory_rate(size: int = 2**25, repeats: int = 5) -> float:
    """Measure the rate at which one thread reads and writes memory outside of the caches.

    Args:
        size: Numbers in the copied tensor.
        repeats: Number of copies; the fastest counts.

    Returns:
        GB/s, read and written.
    """
    source = torch.zeros(size)
    target = torch.empty_like(source)
    with one_thread():
        best = min(_seconds(lambda: target.copy_(source)) for _ in range(repeats))
    return 2 * source.nbytes / best / 1e9


def sampling_ms(samples: int = 30_000, repeats: int = 5) -> float:
    """Measure the time to draw samples of the default generator on one thread.

    Args:
        samples: Number of samples.
        repeats: Number of draws; the fastest counts.

    Returns:
        Milliseconds.
    """
    generator = Atoms()
    with one_thread():
        return min(_seconds(lambda: generator.sample(samples)) for _ in range(repeats)) * 1e3


def sampling_ratio(samples: int = 30_000, looped: int = 3_000) -> dict[str, float]:
    """Compare drawing `factorcl` pairs at once with a loop over pairs, on one thread.

    The loop follows the released code: for every pair, numpy draws each block, applies the transforms and
    computes the label.

    Args:
        samples: Number of pairs.
        looped: Number of pairs that the loop draws; its time is scaled to `samples`.

    Returns:
        `at_once_ms`, `loop_ms` and their `ratio`.
    """
    generator = FactorCL()
    t1, t2 = (transform.double().numpy() for transform in generator.transforms)
    rng = np.random.default_rng(0)
    blocks = [(np.zeros(d), VARIANCE * np.eye(d)) for d in generator.features]

    def loop() -> None:
        for _ in range(looped):
            shared, unique1, unique2 = (rng.multivariate_normal(mean, cov) for mean, cov in blocks)
            _ = np.concatenate([shared, unique1]) @ t1, np.concatenate([shared, unique2]) @ t2
            _ = int(np.concatenate([shared, unique1, unique2]).mean() >= 0)

    with one_thread():
        generator.sample(samples)
        at_once = min(_seconds(lambda: generator.sample(samples)) for _ in range(5))
        one_by_one = min(_seconds(loop) for _ in range(2)) * samples / looped
    return {"at_once_ms": at_once * 1e3, "loop_ms": one_by_one * 1e3, "ratio": one_by_one / at_once}


def compare(objective: str, steps: int) -> dict[str, Any]:
    """Compare training of the default cohort (`pidlab sweep --unique 0..1`) with a plain loop for one member.

    The loop is plain PyTorch: the module, `backward()` and fused Adam, with batches drawn beforehand. Both
    run on one thread, in turn, and are timed in CPU seconds, so that other processes matter little. The time
    to draw batches is excluded on both sides.

    Args:
        objective: Reference of the objective.
        steps: Number of training steps of each of the measurements, whose median counts.

    Returns:
        Milliseconds per run and step of the cohort, its data and the single member; Mflop in matrix products
        and MB read and written per run and step; Gflop/s and GB/s of the cohort; the cohort's milliseconds by
        number of members (`growth`); and the largest difference of the member's losses over the first 20
        steps.
    """
    points = [i / (defaults.RANGE_POINTS - 1) for i in range(defaults.RANGE_POINTS)]
    members = [
        Member(Atoms(unique1=u, unique2=u, world=child(seed, "world")), seed)
        for u in points
        for seed in range(defaults.SEEDS)
    ]
    make = load_objective(objective)
    with guard_of(make), one_thread():
        return _compare(make, objective, members, steps)


def _compare(make: LoadedObjective, objective: str, members: list[Member], steps: int) -> dict[str, Any]:
    train(make, members, Training(steps=WARM_UP))
    rounds = [
        (_time_cohort(make, members, steps), _train_single(make, members[0], steps)) for _ in range(ROUNDS)
    ]
    (_, _, cohort_losses), (_, single_losses) = rounds[0]
    compared = min(COMPARED_STEPS, steps)
    cohort_ms = statistics.median(training for (training, _, _), _ in rounds)
    growth = {n: _time_cohort(make, members[:n], steps)[0] for n in SIZES}
    flops, nbytes = step_cost(make, members[0], Training())
    return {
        "objective": objective,
        "members": len(members),
        "cohort_ms": cohort_ms,
        "data_ms": statistics.median(data for (_, data, _), _ in rounds),
        "single_ms": statistics.median(single for _, (single, _) in rounds),
        "mflop": flops / 1e6,
        "mbytes": nbytes / 1e6,
        "gflops": flops / cohort_ms / 1e6,
        "gbytes_per_s": nbytes / cohort_ms / 1e6,
        "growth": growth | {len(members): cohort_ms},
        "loss_difference": float((cohort_losses[:compared] - single_losses[:compared]).abs().max()),
    }


def _time_cohort(make: MakeObjective, members: list[Member], steps: int) -> tuple[float, float, Tensor]:
    """Train a cohort; return CPU ms of training and of data per run and step, and losses of the first run."""
    clock, begin = Stopwatch(time.process_time), {}

    def on_step(_: int) -> None:
        begin.update(dict(clock.seconds) if not begin else {})

    # The first step is not timed, since it includes the construction of the models.
    fitted = train(make, members, Training(steps=steps + 1), clock=clock, on_step=on_step)
    training, data = (
        (clock.seconds[part] - begin[part]) / steps / len(members) * 1e3 for part in ("training", "data")
    )
    return training, data, fitted.losses[:, 0]


def _train_single(make: Any, member: Member, steps: int) -> tuple[float, Tensor]:
    """Train one member in a plain loop; return CPU milliseconds per step and the losses."""
    training = Training()
    model = build(make, member, training, "cpu")
    phases = phases_of(model)
    adams = [
        torch.optim.Adam(
            [p for name, p in model.named_parameters() if phase.moves(name)], lr=training.rate, fused=True
        )
        for phase in phases
    ]
    per_step = sum(phase.repeat if phase.fresh_batch else 0 for phase in phases) + 1
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    batches = iter([_first_member(stream.next()) for _ in range(steps * per_step)])
    losses = torch.zeros(steps)
    start = time.process_time()
    for step in range(steps):
        batch = next(batches)
        for place, (phase, adam) in enumerate(zip(phases, adams, strict=True)):
            for _ in range(phase.repeat):
                model.zero_grad()
                loss = loss_of(model, phase.loss, next(batches) if phase.fresh_batch else batch)
                loss.backward()
                adam.step()
                if place == 0:
                    losses[step] = loss.detach()
    return (time.process_time() - start) / steps * 1e3, losses


def _first_member(batch: Any, device: str = "cpu") -> Batch:
    """Return the batch of the first member of a stream."""
    return Batch(**tree_map(lambda t: t[0].to(device), batch))


def step_cost(
    make: MakeObjective, member: Member, training: Training, device: str = "cpu"
) -> tuple[int, int]:
    """Count the operations and the memory traffic of one training step of one model, without the optimizer.

    Args:
        make: Factory of the objective.
        member: Generator and seed.
        training: Training settings.
        device: Device of the step; on `meta` the operations are counted without being executed.

    Returns:
        Floating-point operations in matrix products, and bytes of the inputs and outputs of all operations,
        summed over all phases.

    Example:
        >>> min(step_cost(load_objective("cross"), Member(Atoms(), 0), Training(batch=8), "meta")) > 0
        True
    """
    model = build(make, member, training, device)
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    batch = _first_member(stream.next(), device)
    with FlopCounterMode(display=False) as flops, _ByteCounter() as traffic:
        for phase in phases_of(model):
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(phase.moves(name))
            for _ in range(phase.repeat):
                loss_of(model, phase.loss, batch).backward()
    return flops.get_total_flops(), traffic.nbytes


class _ByteCounter(TorchDispatchMode):
    """Counts the bytes that operations read and write; views move no data."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.nbytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
        return result


def probing(level: str, members: int = defaults.RANGE_POINTS * defaults.SEEDS) -> dict[str, Any]:
    """Measure probing of one cohort on one thread.

    The probed representations are slices of the observations of the width of a default readout.

    Args:
        level: Probe level: `quick`, `standard` or `thorough`.
        members: Number of representations that are probed together.

    Returns:
        Level, members, milliseconds and Gflop per representation (matrix products only), and Gflop/s.
    """
    clock = Stopwatch()
    with one_thread():
        _probe(level, COUNTED, Stopwatch())  # warm-up
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
    """Probe one cohort of default generators."""
    points = [i / max(1, members - 1) for i in range(members)]
    worlds = [Atoms(unique1=u, unique2=u, world=child(i, "world")) for i, u in enumerate(points)]
    capture_cohort(_readouts, worlds, range(members), level, clock=clock)


def _readouts(x: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the leading columns of the observations."""
    return as_readouts([xi[..., : Training().dim] for xi in x])


@dataclass(frozen=True)
class SolverTiming:
    """Median seconds per distribution of one size, and differences between the solvers.

    Args:
        size: Number of symbols of X1, of X2 and of Y.
        batch: Distributions in one call of `broja`; the other solvers take them one by one.
        ours: Seconds of `broja`.
        cvxpy: Seconds of cvxpy with Clarabel to build and solve the problem, after a warm-up.
        clarabel: Seconds that Clarabel reports for itself.
        gap: Largest certified gap of `broja`, in bits.
        difference: Largest difference of Clarabel's union information from ours, in bits.
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
        """Ratio of the times of cvxpy and `broja`."""
        return self.cvxpy / self.ours

    @property
    def over_clarabel(self) -> float:
        """Ratio of the times of Clarabel and `broja`."""
        return self.clarabel / self.ours


def time_solvers(
    sizes: tuple[tuple[int, int], ...] = ((8, 1), (10, 1), (4, 256)),
    *,
    rivals: int = 5,
    repeats: int = 11,
    seed: int = 0,
) -> list[SolverTiming]:
    """Time `broja` and cvxpy with Clarabel on uniform Dirichlet distributions, in turn on one core.

    Args:
        sizes: Pairs (symbols per axis, batch).
        rivals: Number of distributions per size that the conic solver solves, each after a warm-up.
        repeats: Calls of `broja` per distribution or batch; the median counts.
        seed: Seed of the distributions.

    Returns:
        One record per size.

    Raises:
        InvalidRequest: If cvxpy or Clarabel is not installed.
    """
    if not (importlib.util.find_spec("cvxpy") and importlib.util.find_spec("clarabel")):
        raise InvalidRequest("--solver: needs cvxpy and Clarabel; pip install cvxpy clarabel")
    with _one_core():
        return [_time_size(size, batch, rivals, repeats, seed) for size, batch in sizes]


def dit_errors(size: int, number: int, seed: int = 0) -> list[float]:
    """Compute the differences of dit's default solver from `broja` on uniform Dirichlet pmfs.

    Args:
        size: Number of symbols per axis.
        number: Number of pmfs.
        seed: Seed of the pmfs.

    Returns:
        Absolute differences of the redundancy in bits; empty if dit is not installed.
    """
    if not importlib.util.find_spec("dit"):
        return []
    dit = importlib.import_module("dit")
    pid = importlib.import_module("dit.pid")
    errors = []
    for pmf in _distributions(size, number, seed):
        outcomes = list(np.ndindex(*pmf.shape))
        result = pid.PID_BROJA(dit.Distribution(outcomes, list(pmf.ravel())), ((0,), (1,)), (2,))
        redundant = float(result.get_pi(((0,), (1,))))
        errors.append(abs(redundant - float(broja(pmf).redundant)))
    return errors


def _conic_union(pmf: np.ndarray) -> tuple[float, float, float]:
    """Return the union information in bits by cvxpy with Clarabel, the seconds, and those of Clarabel."""
    cp = importlib.import_module("cvxpy")
    n1, n2, ny = pmf.shape
    start = time.perf_counter()
    q = cp.Variable((n1 * n2, ny), nonneg=True)
    rows = np.kron(np.eye(n1), np.ones((1, n2)))
    columns = np.kron(np.ones((1, n1)), np.eye(n2))
    loss = cp.sum(cp.rel_entr(q, cp.sum(q, axis=1, keepdims=True) @ np.ones((1, ny))))
    problem = cp.Problem(cp.Minimize(loss), [rows @ q == pmf.sum(1), columns @ q == pmf.sum(0)])
    problem.solve(solver=cp.CLARABEL)
    seconds = time.perf_counter() - start
    py = pmf.sum((0, 1))
    union = problem.value / np.log(2) - (py[py > 0] * np.log2(py[py > 0])).sum()
    return float(union), seconds, float(problem.solver_stats.solve_time)


def _distributions(size: int, number: int, seed: int) -> np.ndarray:
    """Draw uniform Dirichlet pmfs."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(size**3), size=number).reshape(number, size, size, size)


def _time_size(size: int, batch: int, rivals: int, repeats: int, seed: int) -> SolverTiming:
    """Time both solvers on distributions of one size."""
    pmfs = _distributions(size, max(batch, rivals), seed)
    found = broja(pmfs)
    unions = np.asarray(found.mi1 + found.unique2)
    theirs, ours = [], []
    # In turn, because the speed of a machine drifts; each solver is warmed up.
    for pmf in pmfs[:rivals]:
        _conic_union(pmf)
        theirs.append(_conic_union(pmf))
        problem = pmfs[:batch] if batch > 1 else pmf
        broja(problem)
        ours += [_seconds(partial(broja, problem)) / batch for _ in range(repeats)]
    return SolverTiming(
        size=size,
        batch=batch,
        ours=statistics.median(ours),
        cvxpy=statistics.median(seconds for _, seconds, _ in theirs),
        clarabel=statistics.median(reported for _, _, reported in theirs),
        gap=float(np.max(found.gap)),
        difference=max(abs(conic - union) for (conic, _, _), union in zip(theirs, unions, strict=False)),
    )


def _seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _one_core() -> Generator[None]:
    """Limit all solvers to one core; on two cores Clarabel's own threads double its time."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # Linux only
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        with one_thread():
            yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
