"""A bare loss of two sets of embeddings, made into an objective."""

import copy
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection


class PairLoss(BuiltIn):
    """loss(g1(e1(x1)), g2(e2(x2))) with a projection head g_i for each tower.

    Takes a loss of `lightly` or `pytorch-metric-learning` as it is. Readouts are the towers' codes.

    Args:
        encoders: the towers e1, e2.
        loss: from two sets of embeddings, one row a sample, to one number; a module is copied, so that
            models do not share its state.

    Raises:
        ValueError: more or fewer than two modalities.
    """

    def __init__(self, encoders: Encoders, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(encoders)
        if len(encoders) != 2:
            raise ValueError(f"a loss(z1, z2) takes two modalities, got {len(encoders)}")
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)
        self.loss = copy.deepcopy(loss)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch of pairs."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        z1, z2 = (head(tower(x)) for head, tower, x in triples)
        return self.loss(z1, z2)
