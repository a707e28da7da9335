"""TRIANGLE: the area of the triangle of three embeddings."""

from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature
from pidlab.objectives.losses import triangle_loss
from pidlab.objectives.objective import Batch, BuiltIn, projection


class Triangle(BuiltIn):
    """Contrast by the triangle of the embeddings of three modalities, `triangle_loss`, in nats.

    Args:
        encoders: One encoder for each of three modalities; the first modality is the anchor.
        temperature: Divides the areas.
        smoothing: Label smoothing. The formula has none; the released code uses 0.1.

    Departures from the released code (github.com/ispamm/TRIANGLE): the temperature is a constant, where the
    code learns it from 0.07; the code adds a matching loss of a text encoder that attends to the other
    modalities and has label smoothing 0.1; the heads are MLPs with one hidden layer, where its heads are
    linear without a bias. The logit, without the square root of the area, is the code's.

    Raises:
        ValueError: If there are not three modalities.
    """

    name = "triangle"
    modalities = 3

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, smoothing: float = 0.0) -> None:
        super().__init__(encoders)
        if len(encoders) != 3:
            raise ValueError(f"triangle takes three modalities, got {len(encoders)}: use --generator three")
        self.temperature, self.smoothing = checked_temperature(temperature), smoothing
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch of triples."""
        a, b, c = self.project(batch.x)
        return triangle_loss(a, b, c, self.temperature, self.smoothing)
