"""Cohorts: models of one shape, trained as one tensor program."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.defaults import Training
from pidlab.doubling import doubled
from pidlab.encoders import Encoders
from pidlab.generators import Generator
from pidlab.io import Stopwatch, disable_malloc_trimming
from pidlab.objectives.fused import record_similarities
from pidlab.objectives.load import LoadedObjective, guard_of
from pidlab.objectives.objective import (
    Batch,
    MakeObjective,
    loss_of,
    needs_of,
    phases_of,
)
from pidlab.results.loss_curves import is_trained
from pidlab.seeds import child, temporary_seed
from pidlab.threads import one_thread
from pidlab.training.choose import (
    check_loss,
    choose_program,
    first_sentence,
    is_tested,
    loop_program,
    only_trained,
)
from pidlab.training.optimizers import PhaseOptimizer
from pidlab.training.program import (
    Call,
    Program,
    State,
    replace_by_name,
    stacked_state,
    with_numbers,
)
from pidlab.training.resume import ResumeFile
from pidlab.training.stream import Stream, tree_map

States = tuple[State, State]
_Result = tuple[States, dict[int, States], Float[Tensor, "steps members"]]


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
    """Trained models of a cohort, in the order of its members.

    Args:
        program: Computes the models.
        states: Parameters and buffers: one pair with a member axis, or one pair per member.
        members: Number of members, without padding.
        losses: Losses of the first phase in the objective's unit, shape (steps, members); empty if nothing
            is trained.
        failed: Step at which the loss of a member stopped being finite, by index of the member.
        snapshots: Copies of `states` after the requested steps, by step.
        guard: Context in which user code runs.
    """

    program: Program
    states: list[tuple[State, State]]
    members: int
    losses: Float[Tensor, "steps members"]
    failed: dict[int, int]
    snapshots: dict[int, list[tuple[State, State]]] = field(default_factory=dict)
    guard: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @property
    def trained(self) -> list[bool | None]:
        """Whether the final loss of each member differs from the initial one (see `is_trained`)."""
        if not len(self.losses):
            return [None] * self.members
        return [is_trained(curve.numpy()) for curve in self.losses.T]

    def at(self, step: int) -> "FittedCohort":
        """Return the models after `step` steps; untrained models are the same at every step."""
        last = len(self.losses)
        return self if step == last or last == 0 else replace(self, states=self.snapshots[step])

    def select(self, members: Sequence[int]) -> "FittedCohort":
        """Return the cohort of some members, which shares their tensors where it can.

        Args:
            members: Indices of the members, at least one.
        """
        if self.program.vectorised:
            rows = doubled(members)  # a single member would use other kernels than two

            def chosen(states: list[States]) -> list[States]:
                return [tree_map(lambda t: t[rows], pair) for pair in states]
        else:

            def chosen(states: list[States]) -> list[States]:
                return [states[i] for i in members]

        return replace(
            self,
            program=self.program.select(members),
            states=chosen(self.states),
            members=len(members),
            losses=self.losses[:, list(members)],
            failed={new: self.failed[old] for new, old in enumerate(members) if old in self.failed},
            snapshots={step: chosen(states) for step, states in self.snapshots.items()},
        )

    def represent(self, x: Sequence[Float[Tensor, "members n ..."]]) -> dict[str, Tensor]:
        """Compute the readouts of every member.

        Args:
            x: Observations of each modality, each (members, n, ...).

        Returns:
            Readouts by name, each (members, n, width).
        """
        with self.guard, self.program.evaluating():
            if self.program.vectorised:
                params, buffers = self.states[0]
                padding = next(iter({**params, **buffers}.values())).shape[0] - self.members
                rows = tuple(torch.cat([xi, *[xi[-1:]] * padding]) for xi in x)
                z, _ = self.program("represent", params, buffers, {"x": rows})
                return {name: value[: self.members] for name, value in z.items()}
            parts = [
                self.program("represent", params, buffers, {"x": tuple(xi[i] for xi in x)}, i)[0]
                for i, (params, buffers) in enumerate(self.states)
            ]
            return {name: torch.stack([z[name] for z in parts]) for name in parts[0]}


@dataclass(frozen=True)
class _Plan:
    """Settings of a training that all its members share."""

    training: Training
    device: torch.device
    clock: Stopwatch
    snapshots: frozenset[int]
    resume: ResumeFile | None = None


@one_thread()
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
    resume: ResumeFile | None = None,
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
        resume: File that keeps the state of an unfinished training, which continues from it. It is used for
            code of pidlab that is trained by vmap, because code of users can have state that no file holds.

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
    device = torch.device(device)
    plan = _Plan(training, device, clock or Stopwatch(), frozenset(snapshots), resume)
    with guard_of(make):
        return _train(make, members, plan, on_step, say, start)


def _train(
    make: MakeObjective,
    members: Sequence[Member],
    plan: _Plan,
    on_step: Callable[[int], None],
    say: Callable[[str], None],
    start: Sequence[States],
) -> FittedCohort:
    training, device = plan.training, plan.device
    with plan.clock("training"):
        models = [build(make, member, training, device) for member in members]
        with temporary_seed(0, device):
            program = choose_program(models, _first_batches(models[0], members[0], training, device))
    count = len(members)
    results: list[_Result] = []
    if program.vectorised:
        ahead, reason = _Ahead(on_step), None
        may_differ = not is_tested(models[0]) and not start
        if start or may_differ:
            plan = replace(plan, resume=None)
        try:
            with temporary_seed(child(members[0].seed, "loss"), device):
                took = lambda n: ahead.together(min(n, count))  # noqa: E731 - padding is not progress
                begin = start[0] if start else ({}, {})
                results = [_train_together(program, doubled(members), doubled(models), plan, took, begin)]
            reason = _late_difference(program, results[0], members[0], plan) if may_differ else None
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            if not may_differ:
                raise
            reason = f"not supported by vmap after {ahead.steps} steps: {first_sentence(error)}"
        if reason is not None:
            results = []
            # The loss took a branch that the trial before training did not reach.
            program, on_step = loop_program(models, reason), ahead.alone
    if not program.vectorised:
        say(f"trained one model at a time: {program.reason}")
        for place, (member, model) in enumerate(zip(members, program.models, strict=True)):
            begin = start[place] if start else ({}, {})
            # A loss in a loop may draw random numbers, also from numpy and Python.
            with temporary_seed(child(member.seed, "loss"), device, everywhere=True):
                results.append(_train_alone(model, member, plan, on_step, begin))
    states, snapshot_parts, losses = (list(part) for part in zip(*results, strict=True))
    history = torch.cat(losses, dim=1)[:, :count]
    bad = ~history.isfinite()
    failed = {i: int(bad[:, i].int().argmax()) for i in range(count) if bool(bad[:, i].any())}
    copies = {step: [part[step] for part in snapshot_parts] for step in snapshot_parts[0]}
    return FittedCohort(program, states, count, history, failed, copies, guard_of(make))


class _Ahead:
    """Progress of a cohort that is trained by vmap, and once more in a loop if vmap turns out to be wrong.

    Args:
        on_step: Called with the number of members that made a step.
    """

    def __init__(self, on_step: Callable[[int], None]) -> None:
        self._on_step, self._reported, self.steps = on_step, 0, 0

    def together(self, members: int) -> None:
        """Report one step of all members."""
        self.steps += 1
        self._reported += members
        self._on_step(members)

    def alone(self, members: int) -> None:
        """Report one step of the loop, unless vmap has reported as many."""
        self._reported -= members
        if self._reported < 0:
            self._on_step(members)


def _late_difference(program: Program, result: _Result, member: Member, plan: _Plan) -> str | None:
    """Return what differs between vmap and a loop after training, or None.

    A counter, a warm-up or a memory that is full changes what a loss does, so that the trial before training
    is repeated with the final state.
    """
    (params, buffers), _, losses = result
    if not len(losses) or not bool(losses[:, 0].isfinite().all()):
        return None
    model = with_numbers(program.objective, {**params, **buffers}, 0)
    with temporary_seed(0, plan.device):
        again = choose_program([model], _first_batches(model, member, plan.training, plan.device))
    return None if again.vectorised else f"{again.reason}, after {len(losses)} steps"


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
    with temporary_seed(child(member.seed, "weights"), device, everywhere=True), torch.device(device):
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
    """Memory of one model, measured once on an untrained model.

    Args:
        step_bytes: Bytes of one training step; 0 if the loss cannot be computed.
        parameter_bytes: Bytes of the parameters.
        traffic_bytes: Bytes that the forward passes of all phases write, plus those of the parameters; it
            grows as the time of a step does, and is 0 if nothing is trained.
    """

    step_bytes: int
    parameter_bytes: int
    traffic_bytes: int = 0


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
        with guard_of(make):
            trials[shape] = _measure(build(make, member, training, "cpu"), member, training)
    return trials[shape]


def _measure(model: nn.Module, member: Member, training: Training) -> Trial:
    weights = sum(p.nbytes for p in model.parameters())
    try:
        with temporary_seed(0):
            batch, _ = _first_batches(model, member, training, torch.device("cpu"))
            tensors, traffic = _tensor_bytes(model, Batch(**batch))
    except Exception:
        return Trial(0, weights)
    # Each weight has a value, a gradient and two moments.
    return Trial(tensors + 4 * weights, weights, traffic + weights if traffic else 0)


def _tensor_bytes(model: nn.Module, batch: Batch) -> tuple[int, int]:
    """Measure the tensors of one training step, without the weights.

    Returns:
        Bytes of the saved and temporary tensors in memory at once, and bytes that the forward passes of all
        phases write.
    """
    most, temporary, traffic = 0, 0, 0
    for phase in phases_of(model):
        saved: dict[int, int] = {}

        def save(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor),
            record_similarities() as sizes,
        ):
            loss = loss_of(model, phase.loss, batch)
        most = max(most, sum(saved.values()))
        temporary = max(temporary, 4 * max(sizes, default=0))
        traffic += phase.repeat * (sum(saved.values()) + 4 * sum(sizes))
        del loss
    # The backward pass makes about as much again.
    return 2 * most + temporary, traffic


def _first_batches(
    template: nn.Module, member: Member, training: Training, device: torch.device
) -> list[dict[str, Any]]:
    """Draw two minibatches of one member, without a member axis."""
    # Drawn for two members, since kernels for one round differently.
    generators, seeds = doubled([member.generator]), doubled([member.seed])
    stream = Stream(generators, seeds, training, needs_of(template), device)
    return [tree_map(lambda t: t[0], stream.next()) for _ in range(2)]


def _copied(states: States) -> States:
    return tree_map(lambda t: t.detach().clone(), states)


def _train_together(
    program: Program,
    members: Sequence[Member],
    models: Sequence[nn.Module],
    plan: _Plan,
    on_step: Callable[[int], None],
    start: States,
) -> _Result:
    """Train members by vmap; returns final states, snapshots and losses."""
    training, device, clock, template = plan.training, plan.device, plan.clock, models[0]
    with clock("training"):
        drawn = stacked_state(models)
        params, buffers = (replace_by_name(*pair) for pair in zip(drawn, start, strict=True))
        phases = [PhaseOptimizer(phase, params, training, device) for phase in phases_of(template)]
    steps = training.steps if phases else 0
    seeds = [member.seed for member in members]
    stream = Stream([m.generator for m in members], seeds, training, needs_of(template), device)
    losses = torch.zeros(steps, len(members), device=device)
    copies: dict[int, States] = {}
    done = 0

    def state_before(step: int) -> dict[str, Any]:
        return {
            "step": step,
            "states": (params, buffers),
            "optimizers": [optimizer.state for optimizer in phases],
            "drawn": stream.drawn,
            "losses": losses[:step],
            "copies": copies,
            "random": _random_states(device),
        }

    if plan.resume is not None and (saved := plan.resume.load()) is not None:
        done, copies = saved["step"], saved["copies"]
        saved_params, buffers = saved["states"]
        with torch.no_grad():
            for name, param in params.items():
                param.copy_(saved_params[name])
        for optimizer, earlier in zip(phases, saved["optimizers"], strict=True):
            optimizer.load(earlier)
        stream.skip(saved["drawn"])
        losses[:done] = saved["losses"]
        _set_random_states(saved["random"], device)
        for _ in range(done):
            on_step(len(members))
    for step in range(done, steps):
        if plan.resume is not None:
            plan.resume.save_if_due(partial(state_before, step))
        if step in plan.snapshots:
            copies[step] = _copied((params, buffers))
        with clock("data"):
            current = stream.next()
        for number, optimizer in enumerate(phases):
            for _ in range(optimizer.phase.repeat):
                batch = current
                if optimizer.phase.fresh_batch:
                    with clock("data"):
                        batch = stream.next()
                with clock("training"):
                    loss, buffers = program(optimizer.phase.loss, optimizer.visible(params), buffers, batch)
                    optimizer.step(loss.sum(), step)
                    buffers = {name: buffer.detach() for name, buffer in buffers.items()}
                if number == 0:
                    losses[step] = loss.detach()
        on_step(len(members))
    return (params, buffers), copies, losses.cpu()


def _random_states(device: torch.device) -> list[Tensor]:
    """Return the states of torch's global generators, from which dropout and losses may draw."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_states(states: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _train_alone(
    model: nn.Module, member: Member, plan: _Plan, on_step: Callable[[int], None], start: States
) -> _Result:
    """Train one model in a plain PyTorch loop; returns final states, snapshots and losses."""
    training, device, clock, call = plan.training, plan.device, plan.clock, Call(model)
    with clock("training"):
        with torch.no_grad():
            for tensors, begin in zip((call.named_parameters(), call.named_buffers()), start, strict=True):
                for name, tensor in tensors:
                    if name in begin:
                        tensor.copy_(begin[name])
        phases = [
            PhaseOptimizer(phase, dict(call.named_parameters()), training, device, stacked=False)
            for phase in phases_of(model)
        ]
    steps = training.steps if phases else 0
    stream = Stream([member.generator], [member.seed], training, needs_of(model), device)
    losses = torch.zeros(steps, 1, device=device)

    def states() -> States:
        return _copied((dict(call.named_parameters()), dict(call.named_buffers())))

    def draw() -> Batch:
        with clock("data"):
            return Batch(**tree_map(lambda t: t[0], stream.next()))

    copies = {}
    for step in range(steps):
        if step in plan.snapshots:
            copies[step] = states()
        current = draw()
        for number, optimizer in enumerate(phases):
            for _ in range(optimizer.phase.repeat):
                batch = draw() if optimizer.phase.fresh_batch else current
                with clock("training"), only_trained(model, optimizer.phase):
                    loss = loss_of(model, optimizer.phase.loss, batch)
                    if step == 0:
                        check_loss(optimizer.phase, loss)
                    optimizer.step(loss, step)
                if number == 0:
                    losses[step] = loss.detach()
        on_step(1)
    return states(), copies, losses.cpu()
