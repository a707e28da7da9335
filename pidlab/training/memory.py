"""How much memory a training step takes."""

import torch
from torch import Tensor, nn

from pidlab.objectives.base import Batch, loss_of, phases_of


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
