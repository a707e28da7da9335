"""ConFu: every modality against the others and against fusions of two."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.contrastive import checked_temperature, clip_loss
from pidlab.objectives.objective import Batch, BuiltIn


class ConFu(BuiltIn):
    """Contrast of pairs and of fused pairs with the third modality (ConFu, arXiv 2511.21331), in nats.

    loss = [weight * sum over pairs CLIP(g_ij([e_i, e_j]), z_k) + (1 - weight) * sum over pairs CLIP(z_i,
    z_j)] / 6, with linear heads z, MLPs g and unit lengths. The pairwise terms alone (weight 0) are divided
    by 3, as in the released code.

    Args:
        encoders: One encoder for each of three modalities.
        temperature: Temperature of all similarities.
        weight: Weight λ of the fused terms, from 0 to 1.

    Departures from the released code (github.com/estafons/confu, src/modules/models/confu.py): the fusion
    MLPs end in a linear layer, where the code's end in a leaky ReLU with slope 0.2, and have no dropout,
    where the code has 0.1; the option to mask the inputs of the fusions, which is off by default, is missing.

    Raises:
        ValueError: If there are not three modalities, or the weight is out of range.
    """

    name = "confu"
    modalities = 3

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, weight: float = 0.5) -> None:
        super().__init__(encoders)
        if len(encoders) != 3:
            raise ValueError(f"confu takes three modalities, got {len(encoders)}: use --generator three")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight {weight}: expected 0 to 1")
        self.scale, self.weight = 1 / checked_temperature(temperature), weight
        width = 32
        self.heads = nn.ModuleList(Linear(encoders.dim, width) for _ in encoders)
        self.pairs = list(combinations(range(3), 2))
        self.fusions = nn.ModuleList(mlp(2 * encoders.dim, encoders.hidden, width) for _ in self.pairs)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch of triples."""
        codes = self.encode(batch.x)
        z = [head(code) for head, code in zip(self.heads, codes, strict=True)]
        scale = torch.as_tensor(self.scale)
        pairwise = torch.stack([clip_loss(z[i], z[j], scale) for i, j in self.pairs]).sum()
        if not self.weight:
            return pairwise / 3
        fused = []
        for fusion, (i, j) in zip(self.fusions, self.pairs, strict=True):
            (k,) = {0, 1, 2} - {i, j}
            fused.append(clip_loss(fusion(torch.cat([codes[i], codes[j]], -1)), z[k], scale))
        return (self.weight * torch.stack(fused).sum() + (1 - self.weight) * pairwise) / 6
