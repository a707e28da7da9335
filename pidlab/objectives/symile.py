"""Symile: the multilinear inner product of all modalities."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature
from pidlab.objectives.losses import symile_loss
from pidlab.objectives.objective import Batch, BuiltIn, check_option, projection


class Symile(BuiltIn):
    """Contrast of whole tuples by `symile_loss` (arXiv 2411.01053, code rajesh-lab/symile), in nats.

    The negatives of an anchor are tuples of shuffled rows of the other modalities (`negatives="n"`, n - 1 of
    them) or all tuples (`"n_squared"`, n² - 1 with three modalities). With two modalities and all tuples it
    is CLIP.

    Args:
        encoders: One encoder for each modality.
        temperature: Inverse of the initial scale; the scale is learned, up to 100.
        negatives: `"n"` or `"n_squared"`.

    Departures from the released code (github.com/rajesh-lab/symile): the loss normalizes embeddings to unit
    length, where the code's loss takes them as they are (its README normalizes them before); the scale has
    the maximum 100, where the code has none; the heads are MLPs with one hidden layer. On unit vectors the
    value equals that of the code.

    Raises:
        ValueError: If `negatives` is unknown.
    """

    name = "symile"
    needs = ("random",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, negatives: str = "n") -> None:
        super().__init__(encoders)
        check_option("negatives", negatives, ("n", "n_squared"))
        self.negatives = negatives
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)
        self.log_scale = nn.Parameter(torch.full((), -math.log(checked_temperature(temperature))))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch of tuples."""
        z = self.project(batch.x)
        # One random permutation of the rows per modality.
        orders = batch.uniform(len(z)).argsort(0).mT if self.negatives == "n" else None
        return symile_loss(z, self.log_scale.exp().clamp(max=100.0), orders)
