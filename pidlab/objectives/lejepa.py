"""LeJEPA: alignment with a sketched isotropic Gaussian regularization."""

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import over_pairs
from pidlab.objectives.losses import epps_pulley
from pidlab.objectives.objective import Batch
from pidlab.objectives.pairwise import Pairwise


class LeJEPA(Pairwise):
    """Alignment plus `epps_pulley` on random directions (LeJEPA, arXiv 2511.08544), without a unit.

    loss = (1 - weight) * mean |z - center|² + weight * mean of the statistic, where the center of a sample is
    the mean of its two embeddings and both means are over the two embeddings (and over coordinates).

    Args:
        encoders: One encoder for each modality.
        weight: Weight λ of the regularization.
        slices: Number of random directions in each step.
        pairs: `"modalities"` or `"views"`.

    Departures from the released code (github.com/rbalestr-lab/lejepa, MINIMAL.md): 64 directions instead of
    256 and λ = 0.05 instead of the 0.02 of its example; the head has one hidden layer of 64 units and no
    batch normalization instead of two of 2048 with it; there are two embeddings of a sample, where the code
    takes any number of views. The statistic equals that of lightly.

    Raises:
        ValueError: If a number is out of range.
    """

    name = "lejepa"

    def __init__(
        self, encoders: Encoders, *, weight: float = 0.05, slices: int = 64, pairs: str = "modalities"
    ) -> None:
        super().__init__(encoders, pairs)
        if not 0 < weight < 1 or slices < 1:
            raise ValueError(
                f"weight {weight}, slices {slices}: expected a weight between 0 and 1 and 1 slice or more"
            )
        self.needs = (*self.needs, "random")
        self.weight, self.slices = weight, slices

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch."""
        pairs = list(self._views(batch)) if "views" in self.needs else None

        def loss(a: Tensor, b: Tensor) -> Tensor:
            # (a - b) / 2 is the distance of either embedding from the center.
            aligned = ((a - b) / 2).square().mean()
            # Normal numbers by the Box-Muller transform; 1 - u keeps the argument of the logarithm above 0.
            u, v = batch.uniform(2, a.shape[1], self.slices, per_sample=False).to(a.dtype)
            directions = (-2 * (1 - u).log()).sqrt() * (2 * torch.pi * v).cos()
            spread = torch.stack([epps_pulley(z, directions) for z in (a, b)]).mean()
            return (1 - self.weight) * aligned + self.weight * spread

        if pairs is None:
            return over_pairs(self.project(batch.x), loss)
        return torch.stack([loss(a, b) for a, b in pairs]).mean()
