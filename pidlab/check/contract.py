"""Contract of an objective: rules that are checked on small data."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.nn.parameter import is_lazy

from pidlab.defaults import Training
from pidlab.encoders import Encoders
from pidlab.errors import message_of, reason
from pidlab.generators import Atoms, Generator
from pidlab.generators.three import Three
from pidlab.objectives.adapters import UnfitLossError
from pidlab.objectives.load import guard_of, modalities_of
from pidlab.objectives.objective import (
    Batch,
    MakeObjective,
    Phase,
    loss_of,
    needs_of,
    phases_of,
    represent,
)
from pidlab.probes.capture import capture
from pidlab.seeds import temporary_seed
from pidlab.training import Member, train
from pidlab.training.choose import check_loss, choose_program
from pidlab.training.cohort import build
from pidlab.training.program import Call, Program, stacked_state
from pidlab.training.stream import Stream, tree_map

SETTINGS = Training(steps=3, batch=32, hidden=16)


def default_generator(make: MakeObjective) -> Generator:
    """Return the data with one bit of each term for the number of modalities of an objective."""
    return Three() if modalities_of(make) == 3 else Atoms()


class Trial:
    """Models and minibatches of an objective for the rules.

    Args:
        make: Builds the objective from encoders.
        generator: Generator of the data; by default `Atoms()`, or `Three()` for three modalities.
    """

    def __init__(self, make: MakeObjective, generator: Generator | None = None) -> None:
        self.make, self.generator = make, generator or default_generator(make)

    def model(self, seed: int = 0, device: str = "cpu") -> nn.Module:
        """Return an untrained model."""
        return build(self.make, Member(self.generator, seed), SETTINGS, device)

    def batch(self, seed: int = 0) -> dict[str, Any]:
        """Return a minibatch."""
        needs = needs_of(self.model())
        stream = Stream([self.generator], [seed], SETTINGS, needs, torch.device("cpu"))
        return tree_map(lambda t: t[0], stream.next())

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Training phases, in order."""
        return phases_of(self.model())

    def loss(self, model: nn.Module, phase: Phase, batch: dict[str, Any], seed: int = 0) -> Tensor:
        """Compute the loss of a phase with the global generators seeded, as in training."""
        with temporary_seed(seed, everywhere=True):
            return loss_of(model, phase.loss, Batch(**batch))

    @cached_property
    def program(self) -> Program:
        """Program that training uses, vmap or loop."""
        with temporary_seed(0):
            return choose_program([self.model(0), self.model(1)], [self.batch(0), self.batch(1)])


def computed(model: nn.Module, phase: Phase, batch: dict[str, Any]) -> Tensor:
    """Compute the loss of a phase without seeding, detached."""
    return loss_of(model, phase.loss, Batch(**batch)).detach()


def stacked(batches: list[Any]) -> Any:
    """Stack the minibatches of several members along a leading member axis."""
    first = batches[0]
    if isinstance(first, dict):
        return {key: stacked([b[key] for b in batches]) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked([b[i] for b in batches]) for i in range(len(first)))
    return torch.stack(batches)


def on_meta(shapes: Any) -> Any:
    """Return tensors on the `meta` device with the given shapes and types."""
    if isinstance(shapes, dict):
        return {key: on_meta(value) for key, value in shapes.items()}
    if isinstance(shapes, tuple) and isinstance(shapes[-1], torch.dtype):
        return torch.empty(shapes[0], dtype=shapes[1], device="meta")
    return tuple(on_meta(value) for value in shapes)


# Central differences in float64 have an error of about step² + 1e-16 / step. The second step is for losses of
# large curvature, such as batch normalization of values that are nearly equal.
STEPS, AGREE, DIRECTIONS = (1e-6, 1e-8), 1e-3, 3
# Relative difference of two float32 computations that differ in their order of operations.
ROUNDING = 1e-4
# What FakeTensorMode raises if an operation needs the numbers of a tensor.
NEED_NUMBERS = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
    NotImplementedError,
)
# Bits that probes may extract from a constant readout.
NOTHING = 0.005


@dataclass(frozen=True)
class Finding:
    """Result of one rule.

    Args:
        rule: The rule.
        ok: Whether it holds.
        why: The observation. For a rule that holds it is empty, a warning, or the reason why the rule is not
            applicable.
    """

    rule: str
    ok: bool
    why: str = ""


Rule = Callable[[Trial], str | None]


class NotApplicable(Exception):  # noqa: N818 - not an error
    """A rule cannot be checked for an objective; the message is the reason."""


class BrokenRule(Exception):  # noqa: N818 - not an error of pidlab
    """An objective breaks a rule; the message says how."""


def contract(make: MakeObjective, generator: Generator | None = None) -> Iterator[Finding]:
    """Check every rule on an objective.

    If the loss cannot be computed, the first finding is the only one.

    Args:
        make: Builds the objective from encoders.
        generator: Generator of the data; by default `Atoms()`, or `Three()` for three modalities.

    Yields:
        One finding per rule, in the order of `RULES`.
    """
    trial = Trial(make, generator)
    for rule, examine in RULES.items():
        finding = _examine(rule, examine, trial)
        yield finding
        if examine is loss_is_a_number and not finding.ok:
            return


def _examine(rule: str, examine: Rule, trial: Trial) -> Finding:
    try:
        with guard_of(trial.make):
            return Finding(rule, True, examine(trial) or "")
    except NotApplicable as why:
        return Finding(rule, True, f"not applicable: {why}")
    except BrokenRule as broken:
        return Finding(rule, False, str(broken))
    except UnfitLossError as error:  # its message shows a class, in several lines
        return Finding(rule, False, str(error))
    except Exception as error:
        return Finding(rule, False, reason(error))


def loss_is_a_number(trial: Trial) -> str | None:
    """Check that the loss of every phase is a finite 0-d tensor."""
    model, batch = trial.model(), trial.batch()
    for phase in trial.phases:
        loss = trial.loss(model, phase, batch)
        try:
            check_loss(phase, loss)
        except ValueError as error:
            raise BrokenRule(message_of(error)) from None
        if not loss.isfinite():
            raise BrokenRule(f"phase {phase.name!r} gives {float(loss.detach())}")
    return None


def gradients_reach_parameters(trial: Trial) -> str | None:
    """Check that every parameter of a phase gets a gradient."""
    model, batch = trial.model(), trial.batch()
    offered = _offered(model)
    for phase in trial.phases:
        moved = _trained(model, phase)
        if not moved:
            known = any(phase.moves(name) for name, _ in model.named_parameters())
            why = "all of them are frozen" if known else f"no name begins with {phase.train}"
            raise BrokenRule(f"phase {phase.name!r} trains no parameter: {why}")
        loss = trial.loss(model, phase, batch)
        grads = torch.autograd.grad(loss, list(moved.values()), allow_unused=True)
        reached = {name: g is not None and bool(g.any()) for name, g in zip(moved, grads, strict=True)}
        unused = [
            prefix for prefix in offered if not any(reached[n] for n in reached if n.startswith(prefix))
        ]
        lost = [n for n, hit in reached.items() if not hit and not n.startswith(tuple(unused))]
        if lost:
            raise BrokenRule(f"phase {phase.name!r} sends no gradient to {', '.join(lost)}")
        if not any(reached.values()):
            raise BrokenRule(f"phase {phase.name!r} sends no gradient to any network")
        if not all(g is None or bool(g.isfinite().all()) for g in grads):
            raise BrokenRule(f"phase {phase.name!r} has a gradient that is not finite")
    return None


def autograd_is_the_slope(trial: Trial) -> str | None:
    """Compare autograd with finite differences; they differ if part of the loss has no gradient."""
    model = trial.model().double()
    if any(is_lazy(p) for p in model.parameters()):
        raise NotApplicable("lazy modules have no weights before their first batch")
    batch = tree_map(lambda t: t.double() if t.is_floating_point() else t, trial.batch())
    generator = torch.Generator().manual_seed(0)
    for phase in trial.phases:
        # A loss may change the state of its module, so that each one is computed on a copy.
        fresh = copy.deepcopy(model)
        moved = _trained(fresh, phase)
        try:
            grads = _grads(trial.loss(fresh, phase, batch), moved)
        except (RuntimeError, TypeError, ValueError) as error:
            raise NotApplicable(f"the loss cannot be computed in float64 ({message_of(error)})") from None
        for _ in range(DIRECTIONS):
            along = {
                n: torch.randn(p.shape, generator=generator).to(p) * p.abs().mean() for n, p in moved.items()
            }
            slope = sum(float((g * along[n]).sum().detach()) for n, g in grads.items())
            seen = [
                sum(
                    sign * float(trial.loss(_shifted(model, along, sign * step), phase, batch).detach())
                    for sign in (1.0, -1.0)
                )
                / (2 * step)
                for step in STEPS
            ]
            if not any(math.isclose(slope, one, rel_tol=AGREE, abs_tol=AGREE) for one in seen):
                return (
                    f"warning: the loss of phase {phase.name!r} changes by {seen[-1]:.4g} along a direction "
                    f"where autograd says {slope:.4g}: part of it sends no gradient (detach, or a "
                    "stop-gradient that is meant)"
                )
    return None


def vmap_is_the_loop(trial: Trial) -> str | None:
    """Check that vmap and loop give equal losses, gradients and buffers for two members."""
    program = trial.program
    if not program.vectorised:
        return f"warning: trained one model at a time: {program.reason}"
    models, batches = [trial.model(0), trial.model(1)], [trial.batch(0), trial.batch(1)]
    params, buffers = stacked_state(models, True)
    together = stacked(batches)
    for phase in trial.phases:
        loss, after = program(phase.loss, params, buffers, together)
        grads = _grads(loss.sum(), {n: p for n, p in params.items() if p.requires_grad})
        for i, (model, batch) in enumerate(zip(models, batches, strict=True)):
            alone, kept = Call(model)(phase.loss, batch)
            trained = {n: p for n, p in Call(model).named_parameters() if p.requires_grad}
            for name, grad in _grads(alone, trained).items():
                _same(f"gradient of {name.removeprefix('objective.')}", grads[name][i], grad)
            _same(f"loss of phase {phase.name!r}", loss[i], alone)
            for name, buffer in kept.items():
                _same(f"buffer {name.removeprefix('objective.')}", after[name][i], buffer)
    return None


def members_are_independent(trial: Trial) -> str | None:
    """Check that the losses of a member do not depend on the other members."""
    if not trial.phases:
        return "nothing is trained"
    first, others = Member(trial.generator, 0), (1, 2)
    runs = [train(trial.make, [first, Member(trial.generator, other)], SETTINGS) for other in others]
    if not torch.equal(runs[0].losses[:, 0], runs[1].losses[:, 0]):
        raise BrokenRule("the losses of a member depend on the other members of its cohort")
    return None


def randomness_is_seeded(trial: Trial) -> str | None:
    """Check that constructor and losses draw random numbers only from generators that a run seeds."""
    batch, drew = trial.batch(), False
    for phase in trial.phases:
        models = [trial.model(), trial.model()]
        with temporary_seed(0, everywhere=True):
            before = _global_generators()
            values = [computed(models[0], phase, batch)]
            drew |= before != _global_generators()
        with temporary_seed(0, everywhere=True):
            values.append(computed(models[1], phase, batch))
        if not torch.equal(*values):
            raise BrokenRule(
                "equal seeds give different losses: it draws from a generator that is not seeded, such as "
                "numpy.random.default_rng(); draw with torch"
            )
    return "warning: it draws from a global generator, so it is trained in a loop" if drew else None


def _global_generators() -> tuple[bytes, str]:
    """Return the states of the global generators of torch and numpy."""
    return torch.random.get_rng_state().numpy().tobytes(), repr(np.random.get_state(legacy=False))  # noqa: NPY002


def devices_agree(trial: Trial) -> str | None:
    """Check on the `meta` device that no tensor is created on another device."""
    try:
        _step_on_meta(trial)
    except NEED_NUMBERS as error:
        why = "the loss needs numbers, which tensors on the meta device do not have"
        raise NotApplicable(f"{why} ({_kind(error)})") from None
    except RuntimeError as error:
        if "device" in message_of(error).lower():
            _, *frames = reason(error).splitlines()
            fault = "a tensor is created on the CPU and not on the device of the batch; create it with"
            raise BrokenRule("\n".join([f"{fault} device=batch.x1.device", *frames])) from None
        raise NotApplicable(f"a step on the meta device is not supported ({_kind(error)})") from None


def _step_on_meta(trial: Trial) -> None:
    shapes = tree_map(lambda t: (tuple(t.shape), t.dtype), trial.batch())
    # Real tensors are allowed since torch makes buffers from numbers; different devices still raise.
    with warnings.catch_warnings(), FakeTensorMode(allow_non_fake_inputs=True):
        warnings.simplefilter("ignore")  # torch warns if a constructor copies a fake tensor
        model = trial.model(device="meta")
        batch = on_meta(shapes)
        for phase in trial.phases:
            loss = loss_of(model, phase.loss, Batch(**batch))
            if loss.device.type != "meta":
                raise BrokenRule(f"phase {phase.name!r} has its loss on {loss.device}")
            _grads(loss, _trained(model, phase))
        for name, z in represent(model, batch["x"]).items():
            if z.device.type != "meta":
                raise BrokenRule(f"readout {name!r} is on {z.device}")


def order_does_not_matter(trial: Trial) -> str | None:
    """Compare the loss of a batch with that of a permutation; episodes and mixtures of rows differ."""
    batch = trial.batch()
    for phase in trial.phases:
        losses = [trial.loss(trial.model(), phase, batch, seed).detach() for seed in (0, 1)]
        if not torch.equal(*losses):
            raise NotApplicable("the loss draws random numbers, which differ from row to row")
    order = torch.randperm(SETTINGS.batch, generator=torch.Generator().manual_seed(0))
    shuffled = tree_map(lambda t: t[order], batch)
    for phase in trial.phases:
        try:
            _same(
                f"the loss of phase {phase.name!r} after a permutation of the batch",
                trial.loss(trial.model(), phase, shuffled),
                trial.loss(trial.model(), phase, batch),
            )
        except BrokenRule as broken:
            return f"warning: {broken}; expected only if the loss splits or mixes the rows of a batch"
    return None


def readouts_are_of_their_rows(trial: Trial) -> str | None:
    """Check that z12 exists, and that each row of a readout depends only on its own row of the data."""
    model, x = trial.model().eval(), trial.batch()["x"]
    with torch.no_grad():
        whole = represent(model, x)
        half = represent(model, tuple(xi[: SETTINGS.batch // 2] for xi in x))
        other = represent(model, (x[0], x[1] + 1.0, *x[2:]))
    if "z12" not in whole:
        raise BrokenRule(f"no readout 'z12', the headline; there are {', '.join(whole)}")
    for name, z in whole.items():
        if z.ndim != 2 or len(z) != SETTINGS.batch:
            raise BrokenRule(f"readout {name!r} has shape {tuple(z.shape)}, not ({SETTINGS.batch}, width)")
        if not z.isfinite().all():
            raise BrokenRule(f"readout {name!r} has values that are not finite")
        _same(f"readout {name!r} of half of the rows", half[name], z[: SETTINGS.batch // 2])
    if "z1" in whole and not torch.equal(whole["z1"], other["z1"]):
        raise BrokenRule("z1 changes with x2")
    return None


def a_constant_captures_nothing(trial: Trial) -> str | None:
    """Check that probes extract 0 bits from constant readouts of these widths."""
    model = trial.model().eval()

    def constant(*x: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return {name: torch.ones_like(z) for name, z in represent(model, x).items()}

    table = capture(constant, trial.generator, probes="quick")
    most = float(table["captured"].abs().max())
    if most > NOTHING:
        raise BrokenRule(f"probes extract {most:.3f} bits from a constant representation")
    return None


RULES: dict[str, Rule] = {
    "the loss is one finite number": loss_is_a_number,
    "gradients reach every parameter a phase claims": gradients_reach_parameters,
    "autograd agrees with finite differences": autograd_is_the_slope,
    "vmap equals the loop, buffers included": vmap_is_the_loop,
    "members of a cohort are independent": members_are_independent,
    "all randomness is seeded": randomness_is_seeded,
    "tensors are on the device of the batch": devices_agree,
    "the order of the batch changes nothing": order_does_not_matter,
    "readouts are functions of their rows": readouts_are_of_their_rows,
    "a constant representation captures nothing": a_constant_captures_nothing,
}


def _kind(error: BaseException) -> str:
    return " ".join(message_of(error).split())[:120] or type(error).__name__


def _trained(model: nn.Module, phase: Phase) -> dict[str, nn.Parameter]:
    """Return the parameters that a phase trains: frozen ones are not among them."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad and phase.moves(name)}


def _offered(model: nn.Module) -> list[str]:
    # An objective may use only the encoders, or only the joint network.
    homes = [name for name, module in model.named_modules() if isinstance(module, Encoders)]
    return [f"{home}.{kind}." for home in homes for kind in ("towers", "joint")]


def _shifted(model: nn.Module, along: dict[str, Tensor], step: float) -> nn.Module:
    shifted = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in shifted.named_parameters():
            if name in along:
                parameter += step * along[name].detach()
    return shifted


def _grads(loss: Tensor, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    leaves = list(params.values())
    if not leaves or not loss.requires_grad:
        return {}
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    return {name: g for name, g in zip(params, grads, strict=True) if g is not None}


def _same(what: str, got: Tensor, expected: Tensor) -> None:
    if not expected.numel():
        return
    gap = float((got.detach() - expected.detach()).abs().max())
    size = float(expected.detach().abs().max())
    if not gap <= ROUNDING * max(size, 1.0):
        raise BrokenRule(f"{what} differs by {gap:.2g}, of {size:.2g}")
