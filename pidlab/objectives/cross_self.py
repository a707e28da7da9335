"""Cross-modal and self-supervised contrast together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection
from pidlab.objectives.similarity import checked_temperature, nt_xent, over_pairs


class CrossSelf(BuiltIn):
    """NTXent(x1, x2) + λ ½ [NTXent(x1′, x1″) + NTXent(x2′, x2″)], in nats (FactorCL, CoMM baselines).

    Towers and heads are shared between the two parts.

    Args:
        encoders: the towers.
        temperature: of all similarities.
        weight: λ.
    """

    name = "cross+self"
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, weight: float = 1.0) -> None:
        super().__init__(encoders)
        self.temperature, self.weight = checked_temperature(temperature), weight
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch with two views."""
        clean, within = [], []
        for i, (x, first, second) in enumerate(zip(batch.x, *batch.views, strict=True)):
            z, a, b = self.heads[i](self.encoders[i](torch.cat([x, first, second]))).chunk(3)
            clean.append(z)
            within.append(nt_xent(a, b, self.temperature))
        across = over_pairs(clean, lambda a, b: nt_xent(a, b, self.temperature))
        return across + self.weight * torch.stack(within).mean()
