"""CLIP: contrast between the two modalities of a sample."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear
from pidlab.objectives.contrastive import checked_temperature, clip_loss, over_pairs
from pidlab.objectives.objective import Batch, BuiltIn, check_option, projection

WIDTH = 32  # of the space in which modalities are compared


def linear_head(inputs: int) -> nn.Module:
    """Return a linear projection without a bias, as in CLIP's released code."""
    return Linear(inputs, WIDTH, bias=False)


HEADS = {"linear": linear_head, "mlp": projection}


class Cross(BuiltIn):
    """Symmetric InfoNCE between modalities with a learned scale (CLIP, Radford et al. 2021).

    loss = ½ CE(rows of S) + ½ CE(columns of S), S = scale · cos(g1(e1(x1)), g2(e2(x2))), in nats.

    Args:
        encoders: The encoders e_i. More than two modalities are averaged over pairs.
        temperature: Inverse of the initial scale. The scale is learned, with a maximum of 100.
        head: Projections g_i: `"linear"`: without a bias, as in CLIP. `"mlp"`: one hidden layer.

    Departures: none known in the loss, which is the paper's pseudocode, or in the heads; the released code
    (github.com/openai/CLIP) has the model but no training. The paper clips the learned parameter so that the
    scale is at most 100; here the scale is clipped in the loss. The compared embeddings have 32 dimensions.

    Raises:
        ValueError: If the temperature is lower than 0.0125 or `head` is unknown.

    Example:
        >>> from pidlab import fit
        >>> fit("cross(temperature=0.1)", "atoms", steps=2, batch=16).losses.shape
        torch.Size([2])
    """

    name = "cross"
    stackable = True

    def __init__(self, encoders: Encoders, *, temperature: float = 0.07, head: str = "linear") -> None:
        super().__init__(encoders)
        check_option("head", head, HEADS)
        self.heads = nn.ModuleList(HEADS[head](encoders.dim) for _ in encoders)
        self.log_scale = nn.Parameter(torch.full((), -math.log(checked_temperature(temperature))))

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch of pairs."""
        # 100 is the limit in the CLIP paper: without it the scale can grow until float32 overflows.
        scale = self.log_scale.exp().clamp(max=100.0)
        return over_pairs(self.project(batch.x), lambda a, b: clip_loss(a, b, scale))
