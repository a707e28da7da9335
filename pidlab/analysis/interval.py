"""The interval of a mean over test rows, right for skewed losses too."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

# Two-sided 95 % of a normal.
Z95 = 1.959963984540054


def interval(bits: Float[Tensor, "*batch n"]) -> Float[np.ndarray, "*batch 3"]:
    r"""The mean over rows and the bounds of its 95 % interval, corrected for skewness.

    With T = √n (mean - μ) / s of sample deviation s and skewness γ, and a = γ / (3 √n),

        g(T) = T + a T² + a² T³ / 3 + a / 2

    is normal up to terms of order 1/n, where T itself is so up to 1/√n only; g grows everywhere, and
    solving g(T) = ±1.96 gives the bounds. Without skewness they are the usual ones. Scores of a bit that
    is nearly always known are skewed: most rows score 1, a few lose many bits, and a sample without its
    share of those has a mean too high and a deviation too low.

    Returns:
        (mean, low, high) along the last axis.

    Source: P. Hall, On the removal of skewness by transformation, JRSS B 54 (1992), equation for g2.
    """
    n = bits.shape[-1]
    mean, deviation = bits.mean(-1), bits.std(-1)
    centred = bits - mean[..., None]
    third = (centred * centred * centred).mean(-1)
    # From here on numpy's, whose functions give a number the same bits whatever stands beside it.
    mean, deviation, third = (moment.double().cpu().numpy() for moment in (mean, deviation, third))
    varies = deviation > 0
    cubed = deviation * deviation * deviation
    a = np.divide(third, cubed, out=np.zeros_like(third), where=varies) / (3.0 * n**0.5)
    curved = np.abs(a) > 1e-9
    found = [mean]
    for quantile in (Z95, -Z95):
        t = np.full_like(a, quantile)
        np.divide(np.cbrt(1.0 + 3.0 * a * (quantile - a / 2.0)) - 1.0, a, out=t, where=curved)
        found.append(mean - t * deviation / n**0.5)
    return np.stack(found, axis=-1)
