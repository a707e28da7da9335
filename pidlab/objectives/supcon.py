"""Supervised contrast between and within modalities."""

from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection
from pidlab.objectives.contrastive import checked_temperature, supcon


class SupCon(BuiltIn):
    """SupCon with the modalities of a sample as its views (Khosla et al. 2020), in nats.

    loss = `similarity.supcon` of [g1(e1(x1)), g2(e2(x2))] with the joint label: all samples of one label
    attract each other, in both modalities.

    Args:
        encoders: the towers e1, e2.
        temperature: of the similarities.
        normalize: whether embeddings get unit length; FactorCL's released baseline leaves them as they
            are.
    """

    name = "supcon"
    needs = ("labels",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, normalize: bool = True) -> None:
        super().__init__(encoders)
        self.temperature, self.normalize = checked_temperature(temperature), normalize
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a labelled batch."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        views = [head(tower(x)) for head, tower, x in triples]
        return supcon(views, batch.y, self.temperature, normalize=self.normalize)
