"""The cohort: many models of one shape, trained as one tensor program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.defaults import Training
from pidlab.encoders import Encoders
from pidlab.generators import Generator
from pidlab.io import Stopwatch, disable_malloc_trimming
from pidlab.objectives.base import (
    Batch,
    MakeObjective,
    loss_of,
    needs_of,
    phases_of,
)
from pidlab.seeds import child, temporary_seed
from pidlab.training.program import (
    Program,
    State,
    begun,
    check_alike,
    choose_program,
    stacked_state,
)
from pidlab.training.stream import Stream, tree_map


def step_bytes(model: nn.Module, batch: Batch) -> int:
    """What one model's training step keeps: tensors saved for `backward()` and the optimiser's state.

    Measured on one forward pass of every phase; the largest counts, and once more for what the
    backward pass makes while it goes.
    """
    most = 0
    for phase in phases_of(model):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = loss_of(model, phase.loss, batch)
        most = max(most, sum(kept.values()))
        del loss
    weights = sum(p.nbytes for p in model.parameters())
    return 2 * most + 4 * weights  # a gradient and two moments beside each weight


@dataclass(frozen=True)
class Member:
    """One run's place in a cohort: its generator and its seed, and what makes the encoders."""

    generator: Generator
    seed: int
    encoders: Callable[..., Encoders] = Encoders


@dataclass
class FittedCohort:
    """Trained models, in the order of the members they were made for.

    Args:
        program: how they are computed.
        states: parameters and buffers; one pair with a member axis, or one pair per member.
        members: how many there are (padding excluded).
        losses: (steps, members) of the first phase; empty where nothing is trained.
        failed: the step at which a member's loss stopped being finite, by member.
        snapshots: `states` as they were after the steps that were asked for, by step.
    """

    program: Program
    states: list[tuple[State, State]]
    members: int
    losses: Float[Tensor, "steps members"]
    failed: dict[int, int]
    snapshots: dict[int, list[tuple[State, State]]] = field(default_factory=dict)

    def at(self, step: int) -> "FittedCohort":
        """The same models after so many steps; as they are where nothing is trained, and after the last."""
        last = len(self.losses)
        return self if step == last or last == 0 else replace(self, states=self.snapshots[step])

    def represent(self, x: Sequence[Float[Tensor, "members n ..."]]) -> dict[str, Tensor]:
        """Every readout of every member, each (members, n, width)."""
        with self.program.evaluating():
            if self.program.vectorised:
                params, buffers = self.states[0]
                padding = next(iter({**params, **buffers}.values())).shape[0] - self.members
                rows = tuple(torch.cat([xi, *[xi[-1:]] * padding]) for xi in x)
                z, _ = self.program("represent", params, buffers, {"x": rows})
                return {name: value[: self.members] for name, value in z.items()}
            parts = [
                self.program("represent", params, buffers, {"x": tuple(xi[i] for xi in x)})[0]
                for i, (params, buffers) in enumerate(self.states)
            ]
            return {name: torch.stack([z[name] for z in parts]) for name in parts[0]}


def train(
    make: MakeObjective,
    members: Sequence[Member],
    training: Training,
    device: torch.device | str = "cpu",
    *,
    clock: Stopwatch | None = None,
    on_step: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    snapshots: Sequence[int] = (),
    start: Sequence[tuple[State, State]] = (),
) -> FittedCohort:
    """Fits one model of an objective for every member.

    Members' generators share a signature. A member's numbers depend on its generator and its seed
    alone: initial weights, data, views and batches come from children of the seed.

    Args:
        make: makes the objective from encoders.
        members: what to fit it to.
        training: views, steps, batch and sizes.
        device: where to train.
        clock: counts seconds of `"data"` and `"training"`.
        on_step: called after every step with the number of members that took it.
        say: told, in a line, why members are trained one by one, where they are.
        snapshots: steps after which the models are kept as they are (see `FittedCohort.at`).
        start: `FittedCohort.states` of as many members to begin with, by name; what they lack is drawn.

    Raises:
        ValueError: an objective without encoders, a loss that is not a single number.
    """
    disable_malloc_trimming()
    device, clock = torch.device(device), clock or Stopwatch()
    with clock("training"):
        models = [build(make, member, training, device) for member in members]
        template = models[0]
        check_alike(models)
        with temporary_seed(0, device):
            program = choose_program(template, _first_batch(template, members[0], training, device))
    count = len(members)
    if not program.vectorised:
        say(f"trained one model at a time: {program.reason}")
        groups = [([member], [model]) for member, model in zip(members, models, strict=True)]
    elif count == 1:  # a cohort of one takes other kernels, so it is trained twice over
        groups = [([*members] * 2, [template, template])]
    else:
        groups = [([*members], models)]
    states, losses, kept = [], [], []
    took = lambda n: on_step(min(n, count))  # noqa: E731 - padding is no progress
    for place, (group, group_models) in enumerate(groups):
        # Only a loss that is looped over can draw on its own: vmap refuses.
        with temporary_seed(child(group[0].seed, "loss"), device):
            state, early, loss = _train_group(
                program,
                template,
                group,
                group_models,
                training,
                device,
                clock,
                took,
                snapshots,
                start[place] if start else ({}, {}),
            )
        states.append(state)
        losses.append(loss)
        kept.append(early)
    every = torch.cat(losses, dim=1)[:, :count]
    bad = ~every.isfinite()
    failed = {i: int(bad[:, i].int().argmax()) for i in range(count) if bool(bad[:, i].any())}
    early = {step: [group[step] for group in kept] for step in kept[0]}
    return FittedCohort(program, states, count, every, failed, early)


def build(make: MakeObjective, member: Member, training: Training, device: torch.device | str) -> nn.Module:
    """The untrained model of one member, its weights drawn from the child `"weights"` of its seed."""
    # What the generator says of itself is worked out before tensors are made elsewhere.
    modalities = member.generator.modalities
    classes = {name: target.classes for name, target in member.generator.target_specs.items()}
    with temporary_seed(child(member.seed, "weights"), device), torch.device(device):
        encoders = member.encoders(
            modalities,
            classes,
            dim=training.dim,
            hidden=training.hidden,
            layers=training.layers,
        )
        objective = make(encoders)
    if not isinstance(objective, nn.Module):
        raise ValueError(f"{objective!r} is not a torch.nn.Module: an objective is one, built from encoders")
    return objective


def member_bytes(make: MakeObjective, member: Member, training: Training, snapshots: int = 0) -> int:
    """The memory that one more member takes in training; 0 where its objective cannot be tried."""
    try:
        model = build(make, member, training, "cpu")
        with temporary_seed(0):
            batch = _first_batch(model, member, training, torch.device("cpu"))
            kept = snapshots * sum(p.nbytes for p in model.parameters())
            return step_bytes(model, Batch(**tree_map(lambda t: t[0], batch))) + kept
    except Exception:
        return 0  # whatever is wrong with it is for its run to report


def _first_batch(template: nn.Module, member: Member, training: Training, device: torch.device) -> Any:
    generators, seeds = [member.generator] * 2, [member.seed] * 2
    return Stream(generators, seeds, training, needs_of(template), device).next()


def _train_group(
    program: Program,
    template: nn.Module,
    members: Sequence[Member],
    models: Sequence[nn.Module],
    training: Training,
    device: torch.device,
    clock: Stopwatch,
    on_step: Callable[[int], None],
    snapshots: Sequence[int],
    start: tuple[State, State],
) -> tuple[tuple[State, State], dict[int, tuple[State, State]], Float[Tensor, "steps members"]]:
    """Trains members together; without vmap there is one, and no member axis.

    Returns:
        States at the end, states after the steps of `snapshots`, losses.
    """
    with clock("training"):
        drawn = stacked_state(models, program.vectorised)
        params, buffers = (begun(*pair) for pair in zip(drawn, start, strict=True))
        phases = [_Optimised(phase, params, device, training.rate) for phase in phases_of(template)]
    steps = training.steps if phases else 0
    seeds = [member.seed for member in members]
    stream = Stream([m.generator for m in members], seeds, training, needs_of(template), device)
    losses = torch.zeros(steps, len(members), device=device)

    def batch() -> Any:
        with clock("data"):
            drawn = stream.next()
            return drawn if program.vectorised else tree_map(lambda t: t[0], drawn)

    kept = {}
    for step in range(steps):
        if step in snapshots:
            kept[step] = tree_map(lambda t: t.detach().clone(), (params, buffers))
        current = batch()
        for place, phase in enumerate(phases):
            for _ in range(phase.spec.repeat):
                drawn = batch() if phase.spec.fresh_batch else current
                with clock("training"):
                    loss, buffers = phase.step(program, params, buffers, drawn)
                if place == 0:
                    losses[step] = loss
        on_step(len(members))
    return (params, buffers), kept, losses.cpu()


class _Optimised:
    """A phase with its own optimiser over the parameters it moves."""

    def __init__(self, phase: Any, params: State, device: torch.device, rate: float) -> None:
        self.spec = phase
        self._moved = [name for name in params if phase.moves(name.removeprefix("objective."))]
        if not self._moved:
            raise ValueError(f"phase {phase.name!r} trains no parameter: {phase.train} match none")
        fused = device.type in ("cpu", "cuda")
        moved = [params[name] for name in self._moved]
        self._adam = torch.optim.Adam(moved, lr=rate, fused=fused)

    def step(self, program: Program, params: State, buffers: State, batch: Any) -> tuple[Tensor, State]:
        """One optimiser step; other phases' parameters are constants in it."""
        moved = set(self._moved)
        seen = {name: p if name in moved else p.detach() for name, p in params.items()}
        loss, buffers = program(self.spec.loss, seen, buffers, batch)
        leaves = [params[name] for name in self._moved]
        for leaf, grad in zip(
            leaves, torch.autograd.grad(loss.sum(), leaves, allow_unused=True), strict=True
        ):
            # Fused Adam reads memory in order, whatever the strides; a product can come out transposed.
            leaf.grad = None if grad is None else grad.contiguous()
        self._adam.step()
        return loss.detach(), {name: buffer.detach() for name, buffer in buffers.items()}
