"""SigLIP: an independent yes-or-no question for each pair of samples."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.losses import siglip_loss
from pidlab.objectives.pairwise import Pairwise


class SigLIP(Pairwise):
    """Pairwise sigmoid loss, `siglip_loss` (Zhai et al. 2023, arXiv 2303.15343), in nats.

    Args:
        encoders: One encoder for each modality.
        temperature: Inverse of the initial scale; the scale is learned, up to 100.
        bias: Initial bias of the logits, learned.
        pairs: `"modalities"` or `"views"`.
    Departures from the released code (github.com/google-research/big_vision, trainers/proj/image_text/
    siglip.py): the scale has the maximum 100, where the code has none; the heads are MLPs with one hidden
    layer. The value of the loss and the initial scale 10 and bias -10 are the paper's.

    """

    name = "siglip"

    def __init__(
        self, encoders: Encoders, *, temperature: float = 0.1, bias: float = -10.0, pairs: str = "modalities"
    ) -> None:
        super().__init__(encoders, pairs)
        self.log_scale = nn.Parameter(torch.full((), -math.log(temperature)))
        self.bias = nn.Parameter(torch.full((), float(bias)))

    def loss(self, a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Compute the loss of two embeddings of the same samples."""
        return siglip_loss(a, b, self.log_scale.exp().clamp(max=100.0), self.bias)
