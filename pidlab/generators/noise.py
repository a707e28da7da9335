"""Noise that generators share."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.generators.base import Sample
from pidlab.seeds import child, torch_generator

# Noise stops at this part of half the gap, so that rounding cannot carry a symbol across it.
MARGIN = 0.98

# The `generic` view: normal noise of this size, then coordinates dropped with this probability.
GENERIC_NOISE, GENERIC_DROP = 0.1, 0.2

# The `independent` view of FactorCL's released code: one of these for each row, with noise of this size
# or with this part of the numbers dropped.
CHOICES = ("swap", "noise", "drop", "same")
INDEPENDENT_NOISE, DROPPED_PART = 0.01, 10


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
    limit = torch.as_tensor(MARGIN * half_gap, device=uniform.device)
    # A draw of exactly 0 is infinitely far out where the distribution function rounds to 1.
    return (scale * half_gap * normal).clamp(-limit, limit)


def independent_draws(rows: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What an `independent` view draws: each row's choice of four, its noise, and which numbers stay."""
    device = generator.device
    choice = torch.randint(len(CHOICES), (rows,), generator=generator, device=device)
    noise = torch.randn((rows, width), generator=generator, device=device)
    rank = torch.rand((rows, width), generator=generator, device=device).argsort(-1).argsort(-1)
    return choice, INDEPENDENT_NOISE * noise, rank >= width // DROPPED_PART


def independent_view(
    x: Float[Tensor, "*members n d"], choice: Tensor, noise: Tensor, kept: Tensor
) -> Float[Tensor, "*members n d"]:
    """Each row on its own is swapped (its halves), noised, thinned or left as it is (FactorCL's code).

    A swap and the identity keep all information, the noise nearly all, so I(X;X') is far above I(X;Y).
    """
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    options = torch.stack([swapped, x + noise, x * kept, x])
    picked = choice[None, ..., None].expand(1, *x.shape)
    return options.gather(0, picked)[0]


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
    return replace(sample, x=tuple(x))
