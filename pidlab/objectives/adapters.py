"""Objectives made from losses of embeddings, such as those of `lightly`."""

import copy
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn


class PairLoss(BuiltIn):
    """A loss of two sets of embeddings, with encoders and projection heads: loss(g1(e1(x1)), g2(e2(x2))).

    The readouts are the outputs of the encoders.

    Args:
        encoders: The encoders e1 and e2.
        loss: Maps two sets of embeddings, each (n, width), to a 0-d tensor. A module is copied, so that
            models do not share its state.

    Raises:
        ValueError: If the number of modalities is not two.
    """

    def __init__(self, encoders: Encoders, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(encoders)
        if len(encoders) != 2:
            raise ValueError(f"loss(z1, z2): takes two modalities, got {len(encoders)}")
        self.heads = self.make_heads()
        self.loss = copy.deepcopy(loss)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the projected embeddings of a batch."""
        z1, z2 = self.project(batch.x)
        return self.loss(z1, z2)
