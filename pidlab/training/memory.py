"""Memory: how much a training step keeps, and keeping what is freed.

Getting fresh pages costs more than the arithmetic in between.
"""

import ctypes
import sys
from functools import cache

import torch
from torch import Tensor, nn

from pidlab.objectives.base import Batch, phases_of

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of giving them back to the system at each free.

    A training step frees and allocates the same blocks hundreds of times a minute; with the default
    thresholds each one is mapped and zeroed anew. Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEEP)
    mallopt(_M_TRIM_THRESHOLD, _KEEP)


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
            loss = model(batch) if phase.loss == "forward" else getattr(model, phase.loss)(batch)
        most = max(most, sum(kept.values()))
        del loss
    weights = sum(p.nbytes for p in model.parameters())
    return 2 * most + 4 * weights  # a gradient and two moments beside each weight
