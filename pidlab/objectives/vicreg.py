"""VICReg: invariance, variance and covariance."""

from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.losses import vicreg_loss
from pidlab.objectives.pairwise import Pairwise


class VICReg(Pairwise):
    """Variance-invariance-covariance regularization, `vicreg_loss` (Bardes et al. 2022, arXiv 2105.04906).

    Args:
        encoders: One encoder for each modality.
        invariance: Weight of the mean squared difference.
        variance: Weight of the hinge on the standard deviations.
        covariance: Weight of the squared off-diagonal covariances.
        pairs: `"modalities"` or `"views"`.
    Departures from the paper: the squared difference is averaged over dimensions and the variance term is
    halved, both as in the released code (github.com/facebookresearch/vicreg) and in lightly, whose value the
    loss equals. Departures from the code: the head has one hidden layer of 64 units and no batch
    normalization instead of two of 8192 with it, and each modality has an encoder of its own.

    """

    name = "vicreg"

    def __init__(
        self,
        encoders: Encoders,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        pairs: str = "modalities",
    ) -> None:
        super().__init__(encoders, pairs)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def loss(self, a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Compute the loss of two embeddings of the same samples."""
        return vicreg_loss(
            a, b, invariance=self.invariance, variance=self.variance, covariance=self.covariance
        )
