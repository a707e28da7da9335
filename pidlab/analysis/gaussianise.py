"""Invertible changes of continuous variables, which leave information as it is and make it easier to find."""

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest

# Canonical correlations nearer to 1 than this are a variable copied without noise.
NOISELESS = 1e-7


def normal_scores(
    rows: Float[Tensor, "members n d"], reference: Float[Tensor, "members m d"]
) -> Float[Tensor, "members n d"]:
    """Each coordinate's rank among the reference rows as the quantile of a normal.

    Increasing in every coordinate, so no information changes; heavy tails become those of a normal.
    """
    m = reference.shape[1]
    ordered = reference.mT.sort(-1).values.contiguous()
    values = rows.mT.contiguous()
    place = (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)) / 2.0
    # Between two reference values a row keeps its place in their interval, so that ranks stay distinct.
    low = torch.searchsorted(ordered, values, right=True).clamp(1, m - 1)
    left, right = ordered.gather(-1, low - 1), ordered.gather(-1, low)
    part = ((values - left) / (right - left).clamp_min(1e-30)).clamp(0.0, 1.0)
    inside = (values > ordered[..., :1]) & (values < ordered[..., -1:])
    place = torch.where(inside, low - 0.5 + part, place)
    return torch.special.ndtri(((place + 0.5) / (m + 1)).double()).to(rows.dtype).mT


class Canonical:
    """Both variables in canonical coordinates (Hotelling 1936): white, and correlated in pairs only.

    Args:
        x: (members, n, dx), training rows.
        y: (members, n, dy).

    Raises:
        InvalidRequest: a canonical correlation of 1: the information is infinite.
    """

    def __init__(self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]) -> None:
        n = x.shape[1]
        self._means = [z.double().mean(1, keepdim=True) for z in (x, y)]
        centred = [z.double() - mean for z, mean in zip((x, y), self._means, strict=True)]
        roots = []
        for z in centred:
            power, axes = torch.linalg.eigh(z.mT @ z / n)
            roots.append(axes * power.clamp_min(1e-12).rsqrt()[:, None])
        cross = (centred[0] @ roots[0]).mT @ (centred[1] @ roots[1]) / n
        u, s, v = torch.linalg.svd(cross)
        if float(s.max()) > 1.0 - NOISELESS:
            raise InvalidRequest(
                "one variable holds a coordinate of the other without noise: the information of continuous "
                "variables is infinite then; add noise, or ask for a discrete target"
            )
        self._maps = [roots[0] @ u, roots[1] @ v.mT]
        # What chance alone gives to n rows is no correlation: the edge of the law of singular values
        # (Wachter 1980), (√dx + √dy)² / n.
        edge = (x.shape[2] ** 0.5 + y.shape[2] ** 0.5) ** 2 / n
        self.correlations = torch.where(s**2 > 1.1 * edge, s, 0.0)

    def __call__(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> tuple[Float[Tensor, "members n dx"], Float[Tensor, "members n dy"]]:
        """Rows in canonical coordinates, the most correlated first."""
        found = [
            ((z.double() - mean) @ change).to(z.dtype)
            for z, mean, change in zip((x, y), self._means, self._maps, strict=True)
        ]
        return found[0], found[1]

    def log_ratio(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> Float[Tensor, "members n"]:
        """Ln p(x,y) / p(x)p(y) of rows in canonical coordinates, were they normal.

        Its mean over the training rows is -½ Σ ln(1 - ρ²), the information of normal variables.
        """
        rho = self.correlations[:, None]
        x, y = (z[..., : rho.shape[-1]].double() for z in (x, y))
        exponent = rho * x * y - rho**2 * (x**2 + y**2) / 2.0
        return (exponent / (1.0 - rho**2) - 0.5 * torch.log1p(-(rho**2))).sum(-1)
