"""Supervised contrast between and within modalities."""

from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature, supcon
from pidlab.objectives.objective import Batch, BuiltIn


class SupCon(BuiltIn):
    """SupCon with the modalities of a sample as its views (Khosla et al. 2020), in nats.

    loss = `contrastive.supcon` of [g1(e1(x1)), g2(e2(x2))] with the joint label: all samples of one label
    attract each other, in both modalities.

    Args:
        encoders: The encoders e1, e2.
        temperature: Temperature of the similarities, at least 0.0125.
        normalize: Whether embeddings are normalized to unit length. FactorCL's released baseline does not.
    Departures from the released code (github.com/HobbitLong/SupContrast): the loss is not multiplied by
    temperature / 0.07; the views are modalities with one encoder each, not augmentations of one image.
    FactorCL's `SupConModel` (github.com/pliang279/FactorCL) is `normalize=False` with a head of two hidden
    layers instead of one.

    """

    name = "supcon"
    needs = ("labels",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, normalize: bool = True) -> None:
        super().__init__(encoders)
        self.temperature, self.normalize = checked_temperature(temperature), normalize
        self.heads = self.make_heads()

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a labeled batch."""
        return supcon(self.project(batch.x), batch.y, self.temperature, normalize=self.normalize)
