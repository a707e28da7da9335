"""Features that make heavy tails and oscillations readable: normal scores and random Fourier features."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.seeds import child, torch_generator

# Number of random Fourier features, and their scales in radians per standard deviation.
FEATURES, SCALES = 256, (1.0, 2.0, 4.0, 8.0)


def normal_scores(
    rows: Float[Tensor, "members n d"], reference: Float[Tensor, "members m d"]
) -> Float[Tensor, "members n d"]:
    """Map each coordinate to the normal quantile of its rank among reference rows.

    The map is increasing in every coordinate, so it preserves information; heavy tails become normal.

    Args:
        rows: Rows to map, shape (members, n, d).
        reference: Rows that define the ranks, shape (members, m, d).

    Returns:
        The scores, shape (members, n, d).

    Example:
        >>> rows = torch.tensor([[[0.0], [10.0], [-3.0]]])
        >>> [round(v, 3) for v in normal_scores(rows, rows).flatten().tolist()]
        [0.0, 0.674, -0.674]
    """
    m = reference.shape[1]
    ordered = reference.mT.sort(-1).values.contiguous()
    values = rows.mT.contiguous()
    place = (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)) / 2.0
    # Interpolate between neighboring reference values, so that ranks of distinct rows stay distinct.
    low = torch.searchsorted(ordered, values, right=True).clamp(1, m - 1)
    left, right = ordered.gather(-1, low - 1), ordered.gather(-1, low)
    part = ((values - left) / (right - left).clamp_min(1e-30)).clamp(0.0, 1.0)
    inside = (values > ordered[..., :1]) & (values < ordered[..., -1:])
    place = torch.where(inside, low - 0.5 + part, place)
    # Half a rank of padding keeps the quantiles of the extremes finite.
    return torch.special.ndtri(((place + 0.5) / (m + 1)).double()).to(rows.dtype).mT


class FourierFeatures:
    """Random features cos(w·z + b) of whitened rows (Rahimi and Recht 2007).

    Half of the frequencies w have random directions and half are along one coordinate, where
    oscillations of single units are found. Their lengths cover several scales.

    Args:
        d: Width of the rows.
        seed: Seed of the frequencies and phases.
    """

    def __init__(self, d: int, seed: int) -> None:
        generator = torch_generator(child(seed, "fourier"))
        direction = torch.randn(d, FEATURES, generator=generator)
        direction /= direction.norm(dim=0)
        index = torch.arange(FEATURES)
        direction[:, : FEATURES // 2] = torch.eye(d)[:, index[: FEATURES // 2] % d]
        # The scale changes after each round of the coordinates, so that each one gets every scale.
        scale = torch.tensor(SCALES)[index // min(d, FEATURES // 8) % len(SCALES)]
        length = scale * (0.5 + torch.rand(FEATURES, generator=generator))
        self.frequencies = direction * length
        self.phases = 2.0 * math.pi * torch.rand(FEATURES, generator=generator)

    def __call__(self, z: Float[Tensor, "members n d"]) -> Float[Tensor, "members n features"]:
        """Return the features of whitened rows, scaled to unit variance."""
        return math.sqrt(2.0) * torch.cos(z @ self.frequencies.to(z) + self.phases.to(z))
