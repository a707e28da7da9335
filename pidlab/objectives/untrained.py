"""The floor: encoders as they were initialised."""

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.objectives.base import Batch, BuiltIn, Phase


class Untrained(BuiltIn):
    """Encoders that are never trained: what a random network of this width lets a probe read."""

    name = "untrained"
    phases: tuple[Phase, ...] = ()

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Zero, whatever the batch."""
        return torch.zeros((), device=batch.x1.device)
