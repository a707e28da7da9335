"""Noise that generators share."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.generators.base import Sample
from pidlab.seeds import child, torch_generator

# Noise stops at this part of half the gap, so that rounding cannot carry a symbol across it.
MARGIN = 0.98

# The `generic` view: normal noise of this size, then coordinates dropped with this probability.
GENERIC_NOISE, GENERIC_DROP = 0.1, 0.2


def truncated_normal(
    uniform: Float[Tensor, "..."], sd: float, half_gap: float | Tensor = 1.0
) -> Float[Tensor, "..."]:
    """Normal noise truncated to ±MARGIN half gaps, by the inverse of its distribution function.

    Args:
        uniform: draws from [0, 1).
        sd: standard deviation before truncation, in units of half the gap.
        half_gap: half the distance between two values that must stay apart.
    """
    if sd == 0.0:
        return torch.zeros_like(uniform)
    scale = sd * math.sqrt(2.0)
    normal = torch.erfinv((2.0 * uniform - 1.0) * math.erf(MARGIN / scale))
    return scale * half_gap * normal


def corruption(shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the `generic` view adds to observations, and which coordinates it keeps."""
    noise = torch.randn(shape, generator=generator, device=generator.device)
    kept = torch.rand(shape, generator=generator, device=generator.device) >= GENERIC_DROP
    return GENERIC_NOISE * noise, kept


def corrupted(sample: Sample, seed: int) -> Sample:
    """The `generic` view of one member's sample: works on the observations, knows nothing of latents."""
    x = []
    for m, clean in enumerate(sample.x):
        noise, kept = corruption(clean.shape, torch_generator(child(seed, "generic", m), clean.device))
        x.append((clean + noise) * kept)
    return Sample(tuple(x), sample.targets, sample.classes, sample.latents, sample.symbols)
