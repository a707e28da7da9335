"""Cohorts: models of one shape, trained as one tensor program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.defaults import Training
from pidlab.doubling import doubled
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
from pidlab.objectives.load import LoadedObjective
from pidlab.seeds import child, temporary_seed
from pidlab.training.program import (
    Program,
    State,
    check_equal_attributes,
    choose_program,
    replace_by_name,
    stacked_state,
)
from pidlab.training.stream import Stream, tree_map


@dataclass(frozen=True)
class Member:
    """One model of a cohort.

    Args:
        generator: Generator of the data.
        seed: Seed of weights, data, batches and views.
        encoders: Builds the encoders from the modalities and the classes of the targets.
    """

    generator: Generator
    seed: int
    encoders: Callable[..., Encoders] = Encoders


@dataclass
class FittedCohort:
    """The trained models of a cohort, in the order of its members.

    Args:
        program: Computes the models.
        states: Parameters and buffers: one pair with a member axis, or one pair per member.
        members: Number of members, without padding.
        losses: Losses of the first phase in the objective's unit, shape (steps, members); empty if nothing
            is trained.
        failed: Step at which the loss of a member stopped being finite, by index of the member.
        snapshots: Copies of `states` after the requested steps, by step.
    """

    program: Program
    states: list[tuple[State, State]]
    members: int
    losses: Float[Tensor, "steps members"]
    failed: dict[int, int]
    snapshots: dict[int, list[tuple[State, State]]] = field(default_factory=dict)

    def at(self, step: int) -> "FittedCohort":
        """Return the models after `step` steps; untrained models are the same at every step."""
        last = len(self.losses)
        return self if step == last or last == 0 else replace(self, states=self.snapshots[step])

    def represent(self, x: Sequence[Float[Tensor, "members n ..."]]) -> dict[str, Tensor]:
        """Compute the readouts of every member.

        Args:
            x: Observations of each modality, each (members, n, ...).

        Returns:
            Readouts by name, each (members, n, width).
        """
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
    """Train one model of an objective for every member.

    The generators of the members have one shape key. The numbers of a member depend only on its generator
    and its seed: initial weights, data, views and batches come from children of the seed.

    Args:
        make: Builds the objective from encoders.
        members: Generator and seed of each model.
        training: Views, steps, batch size, network sizes and learning rate.
        device: Device to train on.
        clock: Accumulates the seconds of `"data"` and `"training"`.
        on_step: Called after every step with the number of members that made it.
        say: Called with one line if the members are trained one by one, which states the reason.
        snapshots: Steps after which the models are copied (see `FittedCohort.at`).
        start: Initial states, as `FittedCohort.states` of as many members. Tensors are matched by name;
            the others are drawn.

    Returns:
        The trained models and their losses.

    Raises:
        ValueError: If the objective has no encoders, or if a loss is not a single number.

    Example:
        >>> from pidlab import Atoms, load_objective
        >>> members = [Member(Atoms(), seed) for seed in (0, 1)]
        >>> train(load_objective("cross"), members, Training(steps=2, batch=16)).losses.shape
        torch.Size([2, 2])
    """
    disable_malloc_trimming()
    device, clock = torch.device(device), clock or Stopwatch()
    with clock("training"):
        models = [build(make, member, training, device) for member in members]
        template = models[0]
        check_equal_attributes(models)
        with temporary_seed(0, device):
            program = choose_program(template, _first_batch(template, members[0], training, device))
    count = len(members)
    if not program.vectorised:
        say(f"trained one model at a time: {program.reason}")
        groups = [([member], [model]) for member, model in zip(members, models, strict=True)]
    else:
        groups = [(doubled(members), doubled(models))]
    states, losses, snapshot_parts = [], [], []
    count_steps = lambda n: on_step(min(n, count))  # noqa: E731 - padding is not progress
    for place, (group, group_models) in enumerate(groups):
        # Only a loss in a loop can draw random numbers: vmap refuses them.
        with temporary_seed(child(group[0].seed, "loss"), device):
            state, early, loss = _train_group(
                program,
                template,
                group,
                group_models,
                training,
                device,
                clock,
                count_steps,
                snapshots,
                start[place] if start else ({}, {}),
            )
        states.append(state)
        losses.append(loss)
        snapshot_parts.append(early)
    history = torch.cat(losses, dim=1)[:, :count]
    bad = ~history.isfinite()
    failed = {i: int(bad[:, i].int().argmax()) for i in range(count) if bool(bad[:, i].any())}
    copies = {step: [part[step] for part in snapshot_parts] for step in snapshot_parts[0]}
    return FittedCohort(program, states, count, history, failed, copies)


def build(make: MakeObjective, member: Member, training: Training, device: torch.device | str) -> nn.Module:
    """Build the untrained model of one member, with weights from the child `"weights"` of its seed.

    Args:
        make: Builds the objective from encoders.
        member: Generator and seed.
        training: Network sizes.
        device: Device of the parameters.

    Raises:
        ValueError: If the result is not a `torch.nn.Module`.
    """
    # The specification is computed on the CPU, before the default device changes.
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
        raise ValueError(f"{objective!r}: expected a torch.nn.Module, built from encoders")
    return objective


@dataclass(frozen=True)
class Trial:
    """The memory of one model, measured once on an untrained model.

    Args:
        step_bytes: Bytes of one training step; 0 if the loss cannot be computed.
        parameter_bytes: Bytes of the parameters.
    """

    step_bytes: int
    parameter_bytes: int


def run_trial(make: MakeObjective, member: Member, training: Training) -> Trial:
    """Build one model and measure its memory, once for each shape of a `LoadedObjective`.

    Args:
        make: Builds the objective from encoders.
        member: Generator and seed.
        training: Batch and network sizes.

    Returns:
        The measured memory. An exception in the loss gives 0 bytes, since the run itself reports it.

    Raises:
        Exception: Any exception of the objective's constructor.
    """
    trials: dict[Any, Trial] = make.trials if isinstance(make, LoadedObjective) else {}
    shape = (member.generator.name, member.generator.shape_key, member.encoders, training)
    if shape not in trials:
        model = build(make, member, training, "cpu")
        parameter_bytes = sum(p.nbytes for p in model.parameters())
        try:
            with temporary_seed(0):
                batch = _first_batch(model, member, training, torch.device("cpu"))
                used = _step_bytes(model, Batch(**tree_map(lambda t: t[0], batch)))
        except Exception:
            used = 0
        trials[shape] = Trial(used, parameter_bytes)
    return trials[shape]


def member_bytes(make: MakeObjective, member: Member, training: Training, snapshots: int = 0) -> int:
    """Return the bytes that one more member takes in training; 0 if its objective raises an exception.

    Args:
        make: Builds the objective from encoders.
        member: Generator and seed.
        training: Batch and network sizes.
        snapshots: Number of copies of the parameters.
    """
    try:
        trial = run_trial(make, member, training)
    except Exception:  # the run itself reports it
        return 0
    return trial.step_bytes + snapshots * trial.parameter_bytes if trial.step_bytes else 0


def _step_bytes(model: nn.Module, batch: Batch) -> int:
    """Return the bytes of one training step: tensors saved for `backward()` and the optimizer's state."""
    most = 0
    for phase in phases_of(model):
        saved: dict[int, int] = {}

        def save(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            loss = loss_of(model, phase.loss, batch)
        most = max(most, sum(saved.values()))
        del loss
    weights = sum(p.nbytes for p in model.parameters())
    # The backward pass makes about as much again; each weight has a gradient and two moments.
    return 2 * most + 4 * weights


def _first_batch(template: nn.Module, member: Member, training: Training, device: torch.device) -> Any:
    """Draw a minibatch of two equal members."""
    generators, seeds = doubled([member.generator]), doubled([member.seed])
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
    """Train members together; without vmap there is one member and no member axis.

    Returns:
        The final states, the states after the steps of `snapshots`, and the losses.
    """
    with clock("training"):
        drawn = stacked_state(models, program.vectorised)
        params, buffers = (replace_by_name(*pair) for pair in zip(drawn, start, strict=True))
        phases = [PhaseOptimizer(phase, params, device, training.rate) for phase in phases_of(template)]
    steps = training.steps if phases else 0
    seeds = [member.seed for member in members]
    stream = Stream([m.generator for m in members], seeds, training, needs_of(template), device)
    losses = torch.zeros(steps, len(members), device=device)

    def batch() -> Any:
        with clock("data"):
            drawn = stream.next()
            return drawn if program.vectorised else tree_map(lambda t: t[0], drawn)

    copies = {}
    for step in range(steps):
        if step in snapshots:
            copies[step] = tree_map(lambda t: t.detach().clone(), (params, buffers))
        current = batch()
        for number, phase in enumerate(phases):
            for _ in range(phase.spec.repeat):
                drawn = batch() if phase.spec.fresh_batch else current
                with clock("training"):
                    loss, buffers = phase.step(program, params, buffers, drawn)
                if number == 0:
                    losses[step] = loss
        on_step(len(members))
    return (params, buffers), copies, losses.cpu()


class PhaseOptimizer:
    """A phase with its own optimizer over the parameters it trains."""

    def __init__(self, phase: Any, params: State, device: torch.device, rate: float) -> None:
        self.spec = phase
        self._moved = [name for name in params if phase.moves(name.removeprefix("objective."))]
        if not self._moved:
            raise ValueError(f"phase {phase.name!r} trains no parameter: no name begins with {phase.train}")
        fused = device.type in ("cpu", "cuda")
        moved = [params[name] for name in self._moved]
        self._adam = torch.optim.Adam(moved, lr=rate, fused=fused)

    def step(self, program: Program, params: State, buffers: State, batch: Any) -> tuple[Tensor, State]:
        """Make one optimizer step; the parameters of other phases are constants in it."""
        moved = set(self._moved)
        visible = {name: p if name in moved else p.detach() for name, p in params.items()}
        loss, buffers = program(self.spec.loss, visible, buffers, batch)
        leaves = [params[name] for name in self._moved]
        for leaf, grad in zip(
            leaves, torch.autograd.grad(loss.sum(), leaves, allow_unused=True), strict=True
        ):
            # Fused Adam on the CPU ignores strides, and the gradient of a product can be transposed.
            leaf.grad = None if grad is None else grad.contiguous()
        self._adam.step()
        return loss.detach(), {name: buffer.detach() for name, buffer in buffers.items()}
