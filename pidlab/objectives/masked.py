"""Masked multimodal autoencoding."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, mlp
from pidlab.objectives.objective import Batch, BuiltIn


class Masked(BuiltIn):
    """Reconstruction of masked coordinates of all modalities from the fused code.

    loss = mean over modalities of the mean squared error of the masked coordinates, without a unit. A share
    `mask` of the coordinates of every modality is set to 0, at random for each sample; decoders read the
    fused code.

    Args:
        encoders: One encoder for each modality.
        mask: Share of the coordinates that is masked.

    Departures from masked autoencoders (He et al. 2022, github.com/facebookresearch/mae): coordinates are
    masked instead of patches, each independently, so that their share varies between samples; they are set
    to 0, where the released encoder does not get them; encoders and decoders are MLPs instead of
    transformers. The loss is also on masked positions only.

    Raises:
        ValueError: If `mask` is not between 0 and 1.
    """

    name = "masked"
    needs = ("random",)

    def __init__(self, encoders: Encoders, *, mask: float = 0.75) -> None:
        super().__init__(encoders)
        if not 0 < mask < 1:
            raise ValueError(f"mask {mask}: expected a share between 0 and 1")
        self.mask = mask
        width = encoders.dim * len(encoders)
        self.fusion = mlp(width, encoders.hidden, width)
        self.decoders = nn.ModuleList(
            mlp(width, encoders.hidden, math.prod(m.shape)) for m in encoders.modalities
        )

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch."""
        hidden = [(batch.uniform(*x.shape[1:]) < self.mask).to(x.dtype) for x in batch.x]
        shown = tuple(x * (1 - m) for x, m in zip(batch.x, hidden, strict=True))
        fused = self.represent(*shown)["z12"]
        losses = []
        for decoder, x, m in zip(self.decoders, batch.x, hidden, strict=True):
            error = (decoder(fused).reshape(x.shape) - x).square() * m
            losses.append(error.sum() / m.sum().clamp_min(1))
        return torch.stack(losses).mean()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Compute z1, z2, ... (embeddings) and z12 (the fused code)."""
        codes = self.encode(x)
        return {**{f"z{i + 1}": z for i, z in enumerate(codes)}, "z12": self.fusion(torch.cat(codes, -1))}
