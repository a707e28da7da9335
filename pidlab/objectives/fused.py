"""Losses whose forward pass also computes the gradient, a few members at a time.

The similarities of all pairs of samples are the largest tensors of a contrastive loss. Here they are
computed, used for the loss and for its gradient, and dropped while they are in the cache of the processor.
The backward pass only scales the gradient.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Similarities of the members that are computed together: 1 MiB of float32, about the size of an L2 cache.
CACHED = 2**18

_SIZES: ContextVar[list[int] | None] = ContextVar("sizes", default=None)

# Computes the loss of each member and the gradient of each input from the inputs.
LossAndGradients = Callable[..., tuple[Tensor, ...]]


def fused_loss(
    compute: LossAndGradients, similarities: int, axes: int, *inputs: Float[Tensor, "..."]
) -> Float[Tensor, "*member"]:
    """Compute a loss and its gradient together.

    Args:
        compute: Returns the loss and the gradient of each input. It accepts the inputs of one model and
            inputs with a leading member axis.
        similarities: Numbers in the largest tensors of one member, which limits the members in a call.
        axes: Number of axes of the first input of one model.
        inputs: Tensors of one model, or of several with a leading member axis.

    Returns:
        The loss: one number, or one per member. It can be differentiated once.
    """
    if (sizes := _SIZES.get()) is not None:
        sizes.append(similarities)
    return _Fused.apply(compute, similarities, axes, *inputs)[0]


@contextmanager
def record_similarities() -> Generator[list[int]]:
    """Record the numbers of similarities of one member that losses in the block compute and drop.

    They are not saved for the backward pass, so that hooks on saved tensors do not see them.
    """
    sizes: list[int] = []
    token = _SIZES.set(sizes)
    try:
        yield sizes
    finally:
        _SIZES.reset(token)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(compute: LossAndGradients, similarities: int, axes: int, *inputs: Tensor) -> Any:  # type: ignore[override]
        if inputs[0].ndim == axes:
            return compute(*inputs)
        members, most = len(inputs[0]), max(1, CACHED // similarities)
        chunks = -(-members // most)
        if most > 1:  # no chunk has only one member, since products of one matrix round differently
            chunks = min(chunks, max(1, members // 2))
        parts = zip(*(tensor.tensor_split(chunks) for tensor in inputs), strict=True)
        results = [compute(*part) for part in parts]
        return tuple(torch.cat(same) for same in zip(*results, strict=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        del inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # the gradients, which are outputs, have no gradient
        ctx.save_for_backward(*output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> Any:  # type: ignore[override]
        if grad is None:
            return (None,) * (3 + len(ctx.saved_tensors))
        scaled = (g * grad.reshape(grad.shape + (1,) * (g.ndim - grad.ndim)) for g in ctx.saved_tensors)
        return None, None, None, *scaled

    @staticmethod
    def vmap(info: Any, in_dims: Any, compute: Any, similarities: int, axes: int, *inputs: Tensor) -> Any:  # type: ignore[override]
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(inputs, in_dims[3:], strict=True)
        ]
        return _Fused.apply(compute, similarities, axes, *stacked), (0,) * (1 + len(inputs))
