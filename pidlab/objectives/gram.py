"""GRAM: the volume spanned by the embeddings of all modalities."""

from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature
from pidlab.objectives.losses import gram_loss
from pidlab.objectives.objective import Batch, BuiltIn, projection


class GRAM(BuiltIn):
    """Contrast by the volume of the embeddings of all modalities, `gram_loss` (arXiv 2412.11959).

    Args:
        encoders: One encoder for each modality; the first modality is the anchor.
        temperature: Divides the volumes.
        smoothing: Label smoothing. The paper's equations have none; the released code uses 0.1.
    Departures from the released code (github.com/ispamm/GRAM): the temperature is a constant, where the code
    learns it from 0.07; the code adds a matching loss of a text encoder that attends to the other modalities;
    it has label smoothing 0.1. The heads are MLPs with one hidden layer.

    """

    name = "gram"

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, smoothing: float = 0.0) -> None:
        super().__init__(encoders)
        self.temperature, self.smoothing = checked_temperature(temperature), smoothing
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch of tuples."""
        return gram_loss(self.project(batch.x), self.temperature, self.smoothing)
