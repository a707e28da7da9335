"""Computation of one model, and of many: by vmap, or one after the other."""

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pidlab.objectives.objective import (
    Batch,
    loss_of,
    represent,
)

State = dict[str, Tensor]
# Modules of torch that give the same on tensors with a leading member axis as on those of one model.
STACKABLE = (nn.ModuleList, nn.ModuleDict, nn.Sequential, nn.Identity, nn.ReLU)
ORDERED = torch.contiguous_format


class Call(nn.Module):
    """Loss of one model together with its updated buffers.

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
    """Computation of a cohort: all members at once, or one after the other.

    At once, parameters, buffers and batches have a leading member axis, and one module without numbers
    computes all members. Losses whose modules are all `stackable` are called on these tensors directly, which
    has less overhead per operation than vmap; other losses, and readouts, are computed by vmap. In a loop
    every member has its own module, so that its Python attributes are its own, too.

    Args:
        template: A model of the cohort. Only its structure is used.
        reason: Reason to compute one member after the other, or None to compute all at once.
        models: The model of each member of a loop; by default all members use the template.
    """

    def __init__(self, template: nn.Module, reason: str | None, models: Sequence[nn.Module] = ()) -> None:
        self.reason = reason
        self._calls = [Call(model) for model in models] or [Call(without_numbers(template))]
        self._stackable = is_stackable(template)

    def select(self, members: Sequence[int]) -> "Program":
        """Return the program of some members.

        Args:
            members: Indices of the members.
        """
        if len(self._calls) == 1:  # all members use one module
            return self
        part = copy.copy(self)
        part._calls = [self._calls[i] for i in members]
        return part

    @property
    def vectorised(self) -> bool:
        """True if all members are computed at once."""
        return self.reason is None

    @property
    def objective(self) -> nn.Module:
        """Structure of the model."""
        return self._calls[0].objective

    @property
    def models(self) -> list[nn.Module]:
        """Model of each member of a loop; with vmap the structure alone."""
        return [call.objective for call in self._calls]

    @property
    def name(self) -> str:
        """`"vmap"` if all members are computed at once, or `"loop"` with the reason."""
        return "vmap" if self.reason is None else f"loop ({self.reason})"

    def __call__(
        self, method: str, params: State, buffers: State, batch: Any, member: int = 0
    ) -> tuple[Any, State]:
        """Compute `method` for all members at once, or for one member of a loop.

        Args:
            method: Name of a loss, or `represent`.
            params: Parameters by name.
            buffers: Buffers by name.
            batch: Tensors of the minibatch, as keyword arguments of `Batch`.
            member: Index of the member of a loop.

        Returns:
            The loss or the readouts, and the updated buffers.
        """
        call = self._calls[member % len(self._calls)]

        def one(params: State, buffers: State, batch: Any) -> tuple[Any, State]:
            return functional_call(call, {**params, **buffers}, (method, batch))

        if not self.vectorised or (self._stackable and method != "represent"):
            return one(params, buffers, batch)
        return vmap(one, randomness="error")(params, buffers, batch)

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Set the modules to evaluation mode and disable gradients."""
        # A module may be in evaluation mode during training, such as a frozen teacher: restore each mode.
        modes = [(module, module.training) for call in self._calls for module in call.modules()]
        for call in self._calls:
            call.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in modes:
                module.training = mode


def is_stackable(model: nn.Module) -> bool:
    """Return whether the losses of a model accept tensors with a leading member axis.

    Args:
        model: The model. The class of each module must state it by its own attribute `stackable`, which
            subclasses do not inherit, since they may override a loss.
    """
    return all(
        type(module) in STACKABLE or vars(type(module)).get("stackable", False) for module in model.modules()
    )


def without_numbers(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose parameters and buffers are on the `meta` device."""
    # `.to("meta")` would separate tensors that modules share.
    return copy.deepcopy(model, {id(t): _empty(t) for t in (*model.parameters(), *model.buffers())})


def with_numbers(model: nn.Module, state: State, member: int) -> nn.Module:
    """Return a copy of a model without numbers that has the parameters and buffers of one member.

    Args:
        model: Structure of the model, with tensors on the `meta` device (`without_numbers`).
        state: Parameters and buffers by name, with a member axis.
        member: Index of the member.
    """
    call = Call(model)
    filled: dict[int, Any] = {}
    for name, tensor in (*call.named_parameters(), *call.named_buffers()):
        number = state[name][member].detach().clone(memory_format=ORDERED)
        is_parameter = isinstance(tensor, nn.Parameter)
        filled[id(tensor)] = nn.Parameter(number, tensor.requires_grad) if is_parameter else number
    return copy.deepcopy(model, filled)


def _empty(tensor: Tensor) -> Tensor:
    bare = tensor.detach().to("meta")
    return nn.Parameter(bare, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare


def stacked_state(models: Sequence[nn.Module], stacked: bool = True) -> tuple[State, State]:
    """Return copies of parameters (as leaves) and buffers, with a member axis if `stacked`.

    Args:
        models: Models of one structure; a single one if not `stacked`.
        stacked: Whether the tensors get a leading member axis.
    """
    calls = [Call(model) for model in models]
    if stacked:
        params, buffers = stack_module_state(calls)  # type: ignore[arg-type]
    else:
        (call,) = calls
        params, buffers = dict(call.named_parameters()), dict(call.named_buffers())
    # A parameter without a gradient stays without one: it is frozen, or the objective updates it itself.
    trained = {name: parameter.requires_grad for name, parameter in calls[0].named_parameters()}
    fresh = {
        name: p.detach().clone(memory_format=ORDERED).requires_grad_(trained[name])
        for name, p in params.items()
    }
    return fresh, {name: b.detach().clone() for name, b in buffers.items()}


def replace_by_name(drawn: State, start: State) -> State:
    """Return a state in which tensors that `start` has, too, are copies of those in `start`."""
    return {
        name: start[name].detach().clone(memory_format=ORDERED).requires_grad_(tensor.requires_grad)
        if name in start
        else tensor
        for name, tensor in drawn.items()
    }
