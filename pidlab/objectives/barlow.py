"""Barlow Twins: the cross-correlation of two embeddings brought to the identity."""

from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.losses import barlow_twins_loss
from pidlab.objectives.pairwise import Pairwise


class BarlowTwins(Pairwise):
    """Cross-correlation loss, `barlow_twins_loss` (Zbontar et al. 2021, arXiv 2103.03230).

    Args:
        encoders: One encoder for each modality.
        redundancy: Weight λ of the off-diagonal terms.
        pairs: `"modalities"` or `"views"`.
    Departures from the released code (github.com/facebookresearch/barlowtwins): the default λ is the paper's
    0.005 instead of 0.0051; the head has one hidden layer of 64 units and no batch normalization instead of
    two of 8192 with it; each modality has an encoder of its own. The value equals that of lightly.

    """

    name = "barlow"

    def __init__(self, encoders: Encoders, *, redundancy: float = 5e-3, pairs: str = "modalities") -> None:
        super().__init__(encoders, pairs)
        self.redundancy = redundancy

    def loss(self, a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Compute the loss of two embeddings of the same samples."""
        return barlow_twins_loss(a, b, redundancy=self.redundancy)
