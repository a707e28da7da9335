"""Choice between vmap and a loop: vmap only if it gives what a plain PyTorch loop gives."""

import copy
import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from pidlab.errors import message_of
from pidlab.objectives.objective import Batch, Phase, loss_of, phases_of
from pidlab.training.program import Program, State, stacked_state
from pidlab.training.stream import tree_map

# Relative difference of float32 numbers that two orders of operations give.
ROUNDING = 1e-3
# Rounding of the largest gradient of a model, relative to its size.
NOISE = 1e-6
# Step size of the trial. It only has to move the parameters visibly.
RATE = 1e-3
# Code of these packages is tested to give the same numbers with vmap as in a loop.
TESTED = ("pidlab.", "torch.nn.")
# Types whose values are compared between members of such code.
PLAIN = (bool, int, float, str, tuple, type(None))
# Attributes of every module that hold no state of the objective.
INTERNAL = vars(nn.Module()).keys() - {"training"}


def choose_program(models: Sequence[nn.Module], batches: Sequence[dict[str, Any]]) -> Program:
    """Choose vmap unless it is slower (convolutions) or gives other results than a loop.

    User-written code is trained for two steps on two members both ways, on copies of the first model. Losses,
    gradients, parameters, buffers and Python attributes must agree.

    Args:
        models: The model of each member. They are not changed.
        batches: Two minibatches, as keyword arguments of `Batch`.

    Returns:
        The program, which states its reason if it is a loop.

    Raises:
        ValueError: If a loss is not a single number or has no gradient. Other exceptions of the objective
            are not changed.
    """
    template = models[0]
    try:
        trial = copy.deepcopy(template)
    except Exception as error:
        return loop_program(models, f"the model cannot be copied: {first_sentence(error)}")
    if any(isinstance(module, _ConvNd) for module in template.modules()):
        reason = "convolutions are not faster with vmap"
    else:
        try:
            reason = _difference(template, batches)
        except Exception as error:
            reason = f"not supported by vmap: {first_sentence(error)}"
        if reason is None and (name := find_unequal_attribute(models)):
            reason = f"the attribute {name} differs between members"
    if reason is None:
        return Program(template, None)
    for phase in phases_of(trial):
        # An exception here, too, is a fault of the objective and not of vmap.
        check_loss(phase, loss_of(trial, phase.loss, Batch(**batches[0])))
    return loop_program(models, reason)


def first_sentence(error: BaseException) -> str:
    """Return the first sentence, which names the operation; the rest is advice to developers of torch."""
    lines = message_of(error).strip().splitlines() or [type(error).__name__]
    return lines[0].removeprefix("vmap: ").split(". ")[0][:200]


def loop_program(models: Sequence[nn.Module], reason: str) -> Program:
    """Return the program that computes one member after the other, for the reason given."""
    # A factory may return modules that share an object; each member trains its own copy.
    return Program(models[0], reason, [_own_copy(model) for model in models])


def _own_copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception:  # nothing more can be done for a model that cannot be copied
        return model


def find_unequal_attribute(models: Sequence[nn.Module]) -> str | None:
    """Return the name of an attribute that differs between models, or None.

    With vmap one module computes all members, so Python attributes of the members must be equal.

    Args:
        models: Models of one structure.
    """
    # Objects that pidlab's own networks refer to, such as a generator, may differ: their numbers are buffers.
    kinds = PLAIN if is_tested(models[0]) else object
    for model in models[1:]:
        if name := _unequal_attribute(models[0], model, kinds):
            return name
    return None


def check_loss(phase: Phase, loss: Any, leading: int = 0) -> None:
    """Check that a loss is one number with a gradient.

    Args:
        phase: Phase of the loss.
        loss: The value that the objective returned.
        leading: Number of leading axes for members.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(loss, Tensor):
        kind = type(loss).__name__
        content = f" of {', '.join(map(str, loss))}" if isinstance(loss, dict) else ""
        raise ValueError(
            f"phase {phase.name!r}: the loss must be one number, a 0-d tensor, got a {kind}{content}; return "
            "the loss only"
        )
    if loss.ndim != leading:
        shape = tuple(loss.shape[leading:])
        raise ValueError(
            f"phase {phase.name!r}: the loss must be one number, a 0-d tensor, got shape {shape}; return its "
            "mean"
        )
    if not loss.requires_grad:
        raise ValueError(
            f"phase {phase.name!r}: the loss has no gradient; compute it in torch from the encoders' "
            "outputs, without detach() or numpy"
        )


def _difference(template: nn.Module, batches: Sequence[dict[str, Any]]) -> str | None:
    """Return what differs between vmap and a loop on two members over two steps, or None."""
    program, phases = Program(template, None), phases_of(template)
    params, buffers = stacked_state([template, template])
    if is_tested(template):
        for phase in phases:
            loss, _ = program(phase.loss, params, buffers, _stacked([batches[0], batches[0]]))
            check_loss(phase, loss, 1)
        return None
    models = [copy.deepcopy(template) for _ in range(2)]
    for step in range(2):
        rows = [batches[step], batches[1 - step]]
        for phase in phases:
            loss, buffers, grads = _vmap_step(program, phase, params, buffers, _stacked(rows))
            for i, (model, batch) in enumerate(zip(models, rows, strict=True)):
                loop_loss, loop_grads = _loop_step(model, phase, batch)
                if not _is_close(loss[i], loop_loss):
                    return f"vmap gives another loss: {float(loss[i]):.4g} instead of {float(loop_loss):.4g}"
                # Gradients that are zero in exact arithmetic are noise of the size of the others' rounding.
                size = max((float(g.abs().max()) for g in loop_grads.values()), default=0.0)
                member_grads = {n: g[i] for n, g in grads.items()}
                where = _unequal_tensor(member_grads, loop_grads, NOISE * size)
                if where:
                    return f"vmap gives another gradient of {where}"
    for i, model in enumerate(models):
        state: dict[str, Tensor] = {n: p[i] for n, p in {**params, **buffers}.items()}
        expected = {f"objective.{n}": t for n, t in (*model.named_parameters(), *model.named_buffers())}
        if where := _unequal_tensor(state, expected):
            return f"vmap gives another value of {where}"
        if name := _unequal_attribute(program.objective, model):
            return f"vmap gives another value of the attribute {name}"
    return None


def is_tested(model: nn.Module) -> bool:
    """Return whether all code of a model belongs to pidlab or torch."""
    foreign = getattr(model, "wraps_user_code", False)
    return not foreign and all(type(m).__module__.startswith(TESTED) for m in model.modules())


def _vmap_step(
    program: Program, phase: Phase, params: State, buffers: State, batch: Any
) -> tuple[Tensor, State, State]:
    """Make one step of gradient descent with vmap; parameters are replaced in `params`."""
    trained = [n for n, p in params.items() if p.requires_grad and phase.moves(n.removeprefix("objective."))]
    visible = {n: p if n in trained else p.detach() for n, p in params.items()}
    loss, buffers = program(phase.loss, visible, buffers, batch)
    check_loss(phase, loss, 1)
    grads = torch.autograd.grad(loss.sum(), [params[n] for n in trained], allow_unused=True)
    found = {n: g for n, g in zip(trained, grads, strict=True) if g is not None}
    for name, grad in found.items():
        params[name] = (params[name].detach() - RATE * grad).requires_grad_()
    return loss.detach(), {n: b.detach() for n, b in buffers.items()}, found


def _loop_step(model: nn.Module, phase: Phase, batch: dict[str, Any]) -> tuple[Tensor, State]:
    """Make one step of gradient descent on one model."""
    with only_trained(model, phase) as trained:
        loss = loss_of(model, phase.loss, Batch(**batch))
        check_loss(phase, loss)
        grads = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    found = {f"objective.{n}": g for n, g in zip(trained, grads, strict=True) if g is not None}
    with torch.no_grad():
        for name, parameter in trained.items():
            if f"objective.{name}" in found:
                parameter -= RATE * found[f"objective.{name}"]
    return loss.detach(), found


class only_trained:  # noqa: N801 - a context manager, used like a function
    """Make the parameters that a phase does not train constants for the length of a block.

    Args:
        model: The model.
        phase: The phase.
    """

    def __init__(self, model: nn.Module, phase: Phase) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.trained = {name: p for name, p in named if phase.moves(name)}
        self._constants = [p for name, p in named if name not in self.trained]

    def __enter__(self) -> dict[str, nn.Parameter]:
        for parameter in self._constants:
            parameter.requires_grad_(False)
        return self.trained

    def __exit__(self, *_: object) -> None:
        for parameter in self._constants:
            parameter.requires_grad_(True)


def _stacked(batches: Sequence[Any]) -> Any:
    """Stack minibatches along a leading member axis."""
    flat: list[list[Tensor]] = []
    for batch in batches:
        tensors: list[Tensor] = []
        tree_map(tensors.append, batch)
        flat.append(tensors)
    stacks = iter([torch.stack(same) for same in zip(*flat, strict=True)])
    return tree_map(lambda _: next(stacks), batches[0])


def _unequal_tensor(
    got: Mapping[str, Tensor], expected: Mapping[str, Tensor], noise: float = 0.0
) -> str | None:
    """Return the name of a tensor that is missing or differs by more than noise, or None."""
    for name in sorted(expected.keys() | got.keys()):
        if name not in got or name not in expected or not _is_close(got[name], expected[name], noise):
            return name.removeprefix("objective.")
    return None


def _is_close(got: Tensor, expected: Tensor, noise: float = 0.0) -> bool:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    got, expected = got.detach(), expected.detach()
    if not got.is_floating_point():
        return torch.equal(got, expected)
    size = float(expected.abs().max()) if expected.numel() else 0.0
    return torch.allclose(got, expected, rtol=ROUNDING, atol=ROUNDING * size + noise + 1e-6, equal_nan=True)


def _unequal_attribute(first: nn.Module, second: nn.Module, kinds: Any = object) -> str | None:
    """Return the name of a Python attribute of the given types that differs between two models, or None."""
    others = dict(second.named_modules())
    for place, module in first.named_modules():
        if place not in others:
            return place
        one, two = (
            {k: v for k, v in vars(m).items() if k not in INTERNAL and isinstance(v, kinds)}
            for m in (module, others[place])
        )
        for name in sorted(one.keys() | two.keys()):
            if name not in one or name not in two or not _is_equal(one[name], two[name], set()):
                return f"{place}.{name}" if place else name
    return None


def _is_equal(a: Any, b: Any, seen: set[int]) -> bool:
    """Return whether two Python values are equal, as far as their content can be read."""
    if a is b or id(a) in seen:
        return True
    seen.add(id(a))
    if type(a) is not type(b):
        return False
    match a:
        case Tensor():
            if a.device.type == "meta" or b.device.type == "meta":
                return a.shape == b.shape  # an alias of a parameter, whose numbers are in the state
            return a.shape == b.shape and a.dtype == b.dtype and _is_close(a, b)
        case np.ndarray():
            return np.array_equal(a, b)
        case torch.Generator():
            return torch.equal(a.get_state(), b.get_state())
        case random.Random():
            return a.getstate() == b.getstate()
        case np.random.Generator():
            return repr(a.bit_generator.state) == repr(b.bit_generator.state)
        case np.random.RandomState():
            return repr(a.get_state(legacy=False)) == repr(b.get_state(legacy=False))
        case bool() | int() | float() | complex() | str() | bytes() | None:
            return a == b or (a != a and b != b)
        case list() | tuple():
            return len(a) == len(b) and all(_is_equal(x, y, seen) for x, y in zip(a, b, strict=True))
        case dict():
            return a.keys() == b.keys() and all(_is_equal(a[k], b[k], seen) for k in a)
        case set() | frozenset():
            return a == b
        case functools.partial():
            return _is_equal((a.func, a.args, a.keywords), (b.func, b.args, b.keywords), seen)
        case _:
            pass
    if hasattr(a, "__code__"):
        first, second = ([c.cell_contents for c in f.__closure__ or ()] for f in (a, b))
        return a.__code__ is b.__code__ and _is_equal(first, second, seen)
    if hasattr(a, "__dict__") and not isinstance(a, type):
        return _is_equal(vars(a), vars(b), seen)
    return isinstance(a, type) is False  # nothing to compare, such as a lock
