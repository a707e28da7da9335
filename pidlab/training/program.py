"""One model's computation, and how many models are computed: by vmap, or one after the other."""

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
    """One model's loss, together with its buffers afterwards.

    The buffers are returned because under `functional_call` an assignment such as `self.q = ...`
    reaches the module for the length of the call only, and would be lost.
    """

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, method: str, batch: dict[str, Any]) -> tuple[Any, State]:
        """The loss that `method` computes (readouts for `represent`), and every buffer after it."""
        if method == "represent":
            return represent(self.objective, batch["x"]), {}
        loss = loss_of(self.objective, method, Batch(**batch))
        return loss, dict(self.named_buffers())


class Program:
    """How a cohort's tensors are computed: all members at once by vmap, or one after the other.

    Chosen from the objective alone: vmap unless there are convolutions, which it makes slower, or a
    trial step on two members shows an operation that it cannot take. With vmap parameters and batches
    carry a leading member axis.
    """

    def __init__(self, template: nn.Module, reason: str | None) -> None:
        # Structure only: the numbers come with each call. `.to("meta")` would part tensors that are shared.
        held = (*template.parameters(), *template.buffers())
        self._call = Call(copy.deepcopy(template, {id(t): _empty(t) for t in held}))
        self.reason = reason

    @property
    def vectorised(self) -> bool:
        """Whether members are computed by vmap."""
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
        """The result of `method` and the buffers after it, for one model or for all members."""

        def one(params: State, buffers: State, batch: Any) -> tuple[Any, State]:
            return functional_call(self._call, {**params, **buffers}, (method, batch))

        if not self.vectorised:
            return one(params, buffers, batch)
        return vmap(one, randomness="error")(params, buffers, batch)

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Modules in evaluation mode, without gradients."""
        self._call.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._call.train()


def _empty(tensor: Tensor) -> Tensor:
    """The tensor without its numbers."""
    bare = tensor.detach().to("meta")
    return nn.Parameter(bare, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare


def stacked_state(models: Sequence[nn.Module], stacked: bool) -> tuple[State, State]:
    """Parameters, as leaves of their own, and buffers: with a member axis, or of one model."""
    calls = [Call(model) for model in models]
    if stacked:
        params, buffers = stack_module_state(calls)  # type: ignore[arg-type]
    else:
        (call,) = calls
        params, buffers = dict(call.named_parameters()), dict(call.named_buffers())
    fresh = {name: p.detach().clone(memory_format=ORDERED).requires_grad_() for name, p in params.items()}
    return fresh, {name: b.detach().clone() for name, b in buffers.items()}


def begun(drawn: State, start: State) -> State:
    """A state with the tensors of another in place of its own, copied, where their names are the same."""
    return {
        name: start[name].detach().clone(memory_format=ORDERED).requires_grad_(tensor.requires_grad)
        if name in start
        else tensor
        for name, tensor in drawn.items()
    }


def check_alike(models: Sequence[nn.Module]) -> None:
    """Under vmap a plain number on a module is member 0's for everybody: it must not differ."""
    plain = (bool, int, float, str, tuple, type(None))
    for name, first in models[0].named_modules():
        for attribute, value in vars(first).items():
            if attribute.startswith("_") or not isinstance(value, plain):
                continue
            if any(getattr(model.get_submodule(name), attribute) != value for model in models[1:]):
                where = f"{name}.{attribute}" if name else attribute
                raise ValueError(f"{where} differs between members of a cohort: make it a buffer")


def choose_program(template: nn.Module, batch: Any) -> Program:
    """Vmap, unless there are convolutions or a trial on two members shows an operation it cannot take.

    The trial is of every phase's loss.

    Args:
        template: the objective's model.
        batch: a minibatch of two members.

    Raises:
        ValueError: a loss that is not a single number, or has no gradient; whatever else the objective
            itself raises.
    """
    convolutions = any(isinstance(module, _ConvNd) for module in template.modules())
    reason = "convolutions are no faster side by side" if convolutions else None
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
            # If this raises too, the mistake is the objective's own.
            loss, _ = loop(phase.loss, *tree_map(lambda t: t[0], (params, buffers, batch)))
            _check_loss(phase, loss, 0)
            return loop
        _check_loss(phase, loss, 1)
    return trial


def _operation(error: Exception) -> str:
    # The first sentence names the operation; the rest is advice to authors of torch.
    first = str(error).strip().splitlines()[0].removeprefix("vmap: ")
    return f"vmap cannot take it: {first.split('. ')[0][:200]}"


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
