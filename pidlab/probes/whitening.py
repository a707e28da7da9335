"""Whitening: an affine map to zero mean and unit covariance."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Standardized directions with less than this share of the variance are float32 rounding noise.
MIN_VARIANCE = 1e-10
# Coordinates that deviate from their mean by fewer float32 spacings than this are constant.
MIN_SPACINGS = 4.0


@dataclass(frozen=True)
class Whitening:
    """An affine map fitted on training rows.

    Linear probes on whitened rows are the same family as on raw rows, and better conditioned.

    Args:
        mean: Mean of the training rows, shape (members, 1, d).
        transform: Linear map, shape (members, d, d); constant directions map to 0.
    """

    mean: Float[Tensor, "members 1 d"]
    transform: Float[Tensor, "members d d"]

    def __call__(self, z: Float[Tensor, "members n d"]) -> Float[Tensor, "members n d"]:
        """Return centered rows of unit covariance."""
        return (z - self.mean) @ self.transform


def whiten(z: Float[Tensor, "members n d"]) -> Whitening:
    """Fit the whitening of each member's rows.

    Args:
        z: Training rows, shape (members, n, d).

    Returns:
        The affine map x -> (x - mean) D C^(-1/2), with the diagonal matrix D of inverse standard
        deviations and the correlation matrix C.

    Example:
        >>> z = torch.tensor([[[1.0], [3.0]]])
        >>> whiten(z)(z).flatten().tolist()
        [-1.0, 1.0]
    """
    # Moments in float64: a small deviation around a large mean cancels in float32.
    rows = z.double()
    mean = rows.mean(1, keepdim=True)
    centered = rows - mean
    variance = centered.square().mean(1)
    varies = variance > (MIN_SPACINGS * torch.finfo(z.dtype).eps * mean[:, 0]).square()
    # Standardize before the eigendecomposition, so that a small scale alone does not remove a coordinate.
    scale = torch.where(varies, variance.rsqrt(), 0.0)
    standardized = centered * scale[:, None]
    eigenvalues, axes = torch.linalg.eigh(standardized.mT @ standardized / z.shape[1])
    inverse = torch.where(eigenvalues > MIN_VARIANCE, eigenvalues.clamp_min(MIN_VARIANCE).rsqrt(), 0.0)
    transform = scale[:, :, None] * (axes * inverse[:, None, :]) @ axes.mT
    return Whitening(mean.to(z.dtype), transform.to(z.dtype))
