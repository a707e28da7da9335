"""CLIP: the two modalities of a sample against those of the others."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection
from pidlab.objectives.contrastive import checked_temperature, clip_loss, over_pairs


class Cross(BuiltIn):
    """Symmetric InfoNCE between modalities with a learnt scale (CLIP, Radford et al. 2021).

    loss = ½ CE(rows of S) + ½ CE(columns of S), S = scale · cos(g1(e1(x1)), g2(e2(x2))), in nats.

    Args:
        encoders: the towers e_i; more than two are averaged over pairs.
        temperature: inverse of the scale at the start; the scale is learnt, up to 100.
    """

    name = "cross"

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2) -> None:
        super().__init__(encoders)
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)
        self.log_scale = nn.Parameter(torch.full((), -math.log(checked_temperature(temperature))))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch of pairs."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        z = [head(tower(x)) for head, tower, x in triples]
        scale = self.log_scale.exp().clamp(max=100.0)
        return over_pairs(z, lambda a, b: clip_loss(a, b, scale))
