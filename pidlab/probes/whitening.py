"""Whitening: an affine map to zero mean and unit covariance."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Standardized directions whose standard deviation is below this number of spacings of the numbers are
# rounding noise, and so are eigenvalues below MIN_EIGENVALUE, which float64 moments do not resolve.
MIN_DEVIATION, MIN_EIGENVALUE = 4.0, 1e-13
# Below this eigenvalue the map amplifies the rounding of float32 products, so that it is applied in float64.
FLOAT32_EIGENVALUE = 1e-10
# Coordinates that deviate from their mean by fewer float32 spacings than this are constant.
MIN_SPACINGS = 4.0
# Smaller singular values of float64 rows are rounding errors of the factorization.
MIN_PRECISION = 1e-12


@dataclass(frozen=True)
class Whitening:
    """An affine map fitted on training rows.

    Linear probes on whitened rows are the same family as on raw rows, and better conditioned.

    Args:
        mean: Mean of the training rows, shape (members, 1, d).
        transform: Linear map, shape (members, d, d); constant directions map to 0.
        precise: Members whose map is applied in float64, since they have directions of tiny variance.
    """

    mean: Float[Tensor, "members 1 d"]
    transform: Float[Tensor, "members d d"]
    precise: tuple[int, ...] = ()

    def __call__(self, z: Float[Tensor, "members n d"]) -> Float[Tensor, "members n d"]:
        """Return centered rows of unit covariance."""
        white = (z - self.mean.to(z.dtype)) @ self.transform.to(z.dtype)
        # One member at a time: the rounding of a member must not depend on the others.
        for k in self.precise:
            white[k] = ((z[k].double() - self.mean[k]) @ self.transform[k]).to(z.dtype)
        return white


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
    least = max((MIN_DEVIATION * torch.finfo(z.dtype).eps) ** 2, MIN_EIGENVALUE)
    inverse = torch.where(eigenvalues > least, eigenvalues.clamp_min(least).rsqrt(), 0.0)
    transform = scale[:, :, None] * (axes * inverse[:, None, :]) @ axes.mT
    tiny = ((eigenvalues > least) & (eigenvalues < FLOAT32_EIGENVALUE)).any(-1)
    return Whitening(mean, transform, tuple(tiny.nonzero()[:, 0].tolist()))


def whiten_precisely(z: Float[Tensor, "members n d"], precision: float) -> Whitening:
    """Fit the whitening of each member's rows and keep directions of tiny variance.

    The singular values of the rows are computed from the rows and not from their covariance, which
    would square their ratio.

    Args:
        z: Training rows in float64, shape (members, n, d).
        precision: Relative spacing of the numbers that the rows were stored in. Standardized directions
            of a smaller standard deviation are rounding noise and map to 0.
    """
    means, transforms = [], []
    for rows in z:  # one member at a time bounds the memory
        mean = rows.mean(0, keepdim=True)
        deviation = (rows - mean).square().mean(0).sqrt()
        scale = torch.where(deviation > 0, 1.0 / deviation.clamp_min(1e-300), 0.0)
        r = torch.linalg.qr((rows - mean) * scale / len(rows) ** 0.5, mode="r").R
        _, singular, axes = torch.linalg.svd(r, full_matrices=False)
        kept = singular > max(precision, MIN_PRECISION)
        inverse = torch.where(kept, 1.0 / singular.clamp_min(1e-300), 0.0)
        means.append(mean)
        transforms.append(scale[:, None] * (axes.mT * inverse) @ axes)
    return Whitening(torch.stack(means), torch.stack(transforms))
