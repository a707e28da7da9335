"""Computation of one model, and of many: by vmap, or one after the other."""

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from pidlab.objectives.base import (
    Batch,
    Phase,
    loss_of,
    phases_of,
    represent,
)
from pidlab.training.stream import tree_map

State = dict[str, Tensor]
ORDERED = torch.contiguous_format


class Call(nn.Module):
    """The loss of one model together with its updated buffers.

    The buffers are returned because `functional_call` discards an assignment such as `self.q = ...` at the
    end of the call.
    """

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, method: str, batch: dict[str, Any]) -> tuple[Any, State]:
        """Compute the loss of `method` (readouts for `represent`) and return it with the updated buffers."""
        if method == "represent":
            return represent(self.objective, batch["x"]), {}
        loss = loss_of(self.objective, method, Batch(**batch))
        return loss, dict(self.named_buffers())


class Program:
    """The computation of a cohort: all members at once by vmap, or one after the other.

    With vmap, parameters, buffers and batches have a leading member axis.

    Args:
        template: A model of the cohort. Only its structure is used.
        reason: Reason to compute one member after the other, or None for vmap.
    """

    def __init__(self, template: nn.Module, reason: str | None) -> None:
        # Without numbers, which come with each call. `.to("meta")` would separate shared tensors.
        tensors = (*template.parameters(), *template.buffers())
        self._call = Call(copy.deepcopy(template, {id(t): _empty(t) for t in tensors}))
        self.reason = reason

    @property
    def vectorised(self) -> bool:
        """Whether the members are computed by vmap."""
        return self.reason is None

    @property
    def objective(self) -> nn.Module:
        """The structure of the model."""
        return self._call.objective

    @property
    def name(self) -> str:
        """`"vmap"`, or `"loop"` with the reason."""
        return "vmap" if self.reason is None else f"loop ({self.reason})"

    def __call__(self, method: str, params: State, buffers: State, batch: Any) -> tuple[Any, State]:
        """Compute `method` for one model or for all members.

        Args:
            method: Name of a loss, or `represent`.
            params: Parameters by name.
            buffers: Buffers by name.
            batch: Tensors of the minibatch, as keyword arguments of `Batch`.

        Returns:
            The loss or the readouts, and the updated buffers.
        """

        def one(params: State, buffers: State, batch: Any) -> tuple[Any, State]:
            return functional_call(self._call, {**params, **buffers}, (method, batch))

        if not self.vectorised:
            return one(params, buffers, batch)
        return vmap(one, randomness="error")(params, buffers, batch)

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Set the modules to evaluation mode and disable gradients."""
        self._call.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._call.train()


def _empty(tensor: Tensor) -> Tensor:
    """Return the tensor without its numbers."""
    bare = tensor.detach().to("meta")
    return nn.Parameter(bare, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare


def stacked_state(models: Sequence[nn.Module], stacked: bool) -> tuple[State, State]:
    """Return copies of parameters (as leaves) and buffers, with a member axis if `stacked`."""
    calls = [Call(model) for model in models]
    if stacked:
        params, buffers = stack_module_state(calls)  # type: ignore[arg-type]
    else:
        (call,) = calls
        params, buffers = dict(call.named_parameters()), dict(call.named_buffers())
    fresh = {name: p.detach().clone(memory_format=ORDERED).requires_grad_() for name, p in params.items()}
    return fresh, {name: b.detach().clone() for name, b in buffers.items()}


def replace_by_name(drawn: State, start: State) -> State:
    """Return a state in which tensors that `start` has, too, are copies of those in `start`."""
    return {
        name: start[name].detach().clone(memory_format=ORDERED).requires_grad_(tensor.requires_grad)
        if name in start
        else tensor
        for name, tensor in drawn.items()
    }


def check_equal_attributes(models: Sequence[nn.Module]) -> None:
    """Check that plain attributes are equal: under vmap all members use those of member 0.

    Raises:
        ValueError: If a number, a word or a tuple differs between members.
    """
    plain = (bool, int, float, str, tuple, type(None))
    for name, first in models[0].named_modules():
        for attribute, value in vars(first).items():
            if attribute.startswith("_") or not isinstance(value, plain):
                continue
            if any(getattr(model.get_submodule(name), attribute) != value for model in models[1:]):
                where = f"{name}.{attribute}" if name else attribute
                raise ValueError(f"{where} differs between members of a cohort: make it a buffer")


def choose_program(template: nn.Module, batch: Any) -> Program:
    """Choose vmap unless it is slower (convolutions) or does not support an operation of a loss.

    The loss of every phase is computed for two members.

    Args:
        template: A model of the objective.
        batch: A minibatch of two members.

    Returns:
        The program, which states its reason if it is a loop.

    Raises:
        ValueError: If a loss is not a single number or has no gradient. Other exceptions of the objective
            are not changed.
    """
    convolutions = any(isinstance(module, _ConvNd) for module in template.modules())
    reason = "convolutions are not faster with vmap" if convolutions else None
    trial = Program(template, reason)
    params, buffers = stacked_state([template, template], True)
    for phase in phases_of(template):
        if reason:
            loss, _ = trial(phase.loss, *tree_map(lambda t: t[0], (params, buffers, batch)))
            _check_loss(phase, loss, 0)
            continue
        try:
            loss, _ = trial(phase.loss, params, buffers, batch)
        except (RuntimeError, ValueError, TypeError) as error:
            loop = Program(template, _operation(error))
            # An exception here, too, is a fault of the objective and not of vmap.
            loss, _ = loop(phase.loss, *tree_map(lambda t: t[0], (params, buffers, batch)))
            _check_loss(phase, loss, 0)
            return loop
        _check_loss(phase, loss, 1)
    return trial


def _operation(error: Exception) -> str:
    # The first sentence names the operation; the rest is advice to developers of torch.
    first = str(error).strip().splitlines()[0].removeprefix("vmap: ")
    return f"not supported by vmap: {first.split('. ')[0][:200]}"


def _check_loss(phase: Phase, loss: Any, leading: int) -> None:
    if not isinstance(loss, Tensor):
        raise ValueError(f"phase {phase.name!r}: a loss is a tensor of one number, got {loss!r}")
    if loss.ndim != leading:
        raise ValueError(
            f"phase {phase.name!r}: a loss is one number (0-d), got shape {tuple(loss.shape[leading:])}"
        )
    if not loss.requires_grad:
        raise ValueError(
            f"phase {phase.name!r}: the loss has no gradient; compute it in torch from the encoders' "
            "outputs, without detach() or numpy"
        )
