"""The cohort beside plain training of the same runs, measured in one process."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pidlab import defaults
from pidlab.clock import Clock
from pidlab.defaults import Training
from pidlab.generators import Atoms
from pidlab.generators.blocks import VARIANCE
from pidlab.generators.factorcl import FactorCL
from pidlab.objectives import load_objective
from pidlab.objectives.base import Batch, MakeObjective, Phase, loss_of, needs_of, phases_of
from pidlab.seeds import child
from pidlab.training.cohort import Member, build, train
from pidlab.training.stream import Stream, tree_map

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
    clock = Clock()
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
