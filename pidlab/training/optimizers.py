"""Optimizers of the phases of an objective, for one model or for stacked models."""

import math
from typing import Any

import torch
from torch import Tensor

from pidlab.defaults import Training
from pidlab.objectives.objective import Phase
from pidlab.training.program import State


class PhaseOptimizer:
    """A phase with its own optimizer over the parameters that it trains.

    Args:
        phase: The phase.
        params: Parameters by name, which begin with `objective.`.
        training: Learning rate, optimizer, weight decay, schedule and clipping.
        device: Device of the parameters.
        stacked: Whether parameters have a leading member axis.

    Raises:
        ValueError: If the phase trains no parameter.
    """

    def __init__(
        self,
        phase: Phase,
        params: State,
        training: Training,
        device: torch.device,
        *,
        stacked: bool = True,
    ) -> None:
        self.phase, self._training, self._stacked = phase, training, stacked
        moved = {name: p for name, p in params.items() if phase.moves(name.removeprefix("objective."))}
        self._trained = {name: p for name, p in moved.items() if p.requires_grad}
        if not self._trained:
            raise ValueError(
                f"phase {phase.name!r} trains no parameter: no name begins with {phase.train}"
                if phase.train and not moved
                else f"phase {phase.name!r} trains no parameter: all of them are frozen"
            )
        self._optimizer = _make_optimizer([*self._trained.values()], training, device)

    def visible(self, params: State) -> State:
        """Return all parameters, detached unless this phase trains them."""
        return {name: p if name in self._trained else p.detach() for name, p in params.items()}

    @property
    def state(self) -> dict[str, Any]:
        """State of the optimizer, such as the moments of Adam."""
        return self._optimizer.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Continue from an earlier state.

        Args:
            state: Value of `state` of an optimizer of the same parameters.
        """
        self._optimizer.load_state_dict(state)

    def step(self, loss: Tensor, step: int) -> None:
        """Make one optimizer step.

        Args:
            loss: Loss of one model, or sum of the losses of stacked models.
            step: Number of the training step, from 0.
        """
        leaves = [*self._trained.values()]
        for leaf, grad in zip(leaves, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True):
            # Fused Adam on the CPU ignores strides, and the gradient of a product can be transposed.
            leaf.grad = None if grad is None else grad.contiguous()
        if self._training.clip is not None:
            _clip(leaves, self._training.clip, self._stacked)
        if self._training.schedule != "constant":
            for group in self._optimizer.param_groups:
                group["lr"] = self._training.rate * schedule_factor(self._training, step)
        self._optimizer.step()


def schedule_factor(training: Training, step: int) -> float:
    """Return the factor of the learning rate at a step: linear warm-up, then half a cosine to 0.

    Args:
        training: Schedule, warm-up steps and number of steps.
        step: Number of the step, from 0.

    Example:
        >>> training = Training(schedule="cosine", steps=100, warmup=10)
        >>> [round(schedule_factor(training, step), 2) for step in (0, 9, 55, 99)]
        [0.1, 1.0, 0.5, 0.0]
    """
    if training.schedule == "constant":
        return 1.0
    if step < training.warmup:
        return (step + 1) / training.warmup
    progress = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _make_optimizer(
    parameters: list[Tensor], training: Training, device: torch.device
) -> torch.optim.Optimizer:
    rate, decay = training.rate, training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    # One fused kernel updates all parameters, which is several times faster for small networks.
    fused = device.type in ("cpu", "cuda")
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)
    return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=fused)


def _clip(parameters: list[Tensor], limit: float, stacked: bool) -> None:
    """Scale the gradient of each member to at most the given norm.

    `torch.nn.utils.clip_grad_norm_` takes one norm over all tensors, which would couple stacked members.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    squares = [g.square().flatten(1).sum(1) if stacked and g.ndim > 1 else g.square() for g in grads]
    squares = squares if stacked else [s.sum() for s in squares]
    # The same small constant as in torch, against division by zero.
    factor = (limit / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(factor.view(-1, *[1] * (grad.ndim - 1)) if stacked else factor)
