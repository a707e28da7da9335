"""Result rows: one captured-bits value with its interval and labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

Row = dict[str, Any]

# The 0.975 quantile of the standard normal distribution.
Z95 = 1.959963984540054


def make_row(
    readout: str,
    term: str,
    truth: float | None,
    score: Sequence[float | None],
    probe: str,
    headline: bool = True,
    converged: bool | None = None,
    quantity: str = "mi",
    accuracies: Sequence[float | None] = (None, None),
) -> Row:
    """Return a result row.

    Args:
        readout: Name of the readout.
        term: Name of the target.
        truth: Exact information in bits, or None if it is unknown.
        score: Captured bits and the bounds of their 95 % interval (`interval`), or None.
        probe: Name of the probe.
        headline: Whether the probe is the best one on validation rows.
        converged: Result of the convergence check, or None if it was not run.
        quantity: Kind of the value; ``mi`` is mutual information, ``bounds`` a lower bound of the truth.
        accuracies: Accuracy and balanced accuracy of the probe on test rows, or None.
    """
    captured, low, high = score
    return {
        "readout": readout,
        "term": term,
        "quantity": quantity,
        "truth": truth,
        "captured": captured,
        "low": low,
        "high": high,
        "probe": probe,
        "headline": headline,
        "converged": converged,
        "accuracy": accuracies[0],
        "balanced_accuracy": accuracies[1],
    }


def modalities_of(readout: str, modalities: int) -> tuple[int, ...]:
    """Return the indices of the modalities that a readout depends on.

    Args:
        readout: Name of the readout.
        modalities: Number of modalities of the generator.

    Example:
        >>> modalities_of("z2", 2), modalities_of("z12", 2)
        ((1,), (0, 1))
    """
    single = {f"z{i + 1}": (i,) for i in range(modalities)}
    return single.get(readout, tuple(range(modalities)))


def interval(bits: Float[Tensor, "*batch n"]) -> Float[np.ndarray, "*batch 3"]:
    r"""Compute the mean over rows and its 95 % confidence interval, corrected for skewness.

    With T = √n (mean - μ) / s for the sample deviation s and skewness γ, and a = γ / (3 √n),

        g(T) = T + a T² + a² T³ / 3 + a / 2

    is normal up to terms of order 1/n; T itself is normal only up to terms of order 1/√n. The bounds
    solve g(T) = ±1.96; g is increasing. Without skewness they are the normal ones. The scores of an
    almost certain bit are skewed: most rows score 1 and a few lose many bits. A sample that lacks such
    rows has too high a mean and too small a deviation.

    Args:
        bits: Scores of the rows, in bits, shape (..., n).

    Returns:
        Mean, lower bound and upper bound in bits, shape (..., 3).

    Source: P. Hall, On the removal of skewness by transformation, JRSS B 54 (1992), equation for g2.

    Example:
        >>> import torch
        >>> interval(torch.tensor([0.0, 2.0] * 50)).round(3).tolist()
        [1.0, 0.803, 1.197]
    """
    n = bits.shape[-1]
    mean, deviation = bits.mean(-1), bits.std(-1)
    centered = bits - mean[..., None]
    third = (centered * centered * centered).mean(-1)
    # numpy from here: its results do not depend on the number of batch entries, those of torch do.
    mean, deviation, third = (moment.double().cpu().numpy() for moment in (mean, deviation, third))
    varies = deviation > 0
    cubed = deviation * deviation * deviation
    a = np.divide(third, cubed, out=np.zeros_like(third), where=varies) / (3.0 * n**0.5)
    # Below this skewness the closed form divides two rounding errors.
    skewed = np.abs(a) > 1e-9
    values = [mean]
    for quantile in (Z95, -Z95):
        t = np.full_like(a, quantile)
        np.divide(np.cbrt(1.0 + 3.0 * a * (quantile - a / 2.0)) - 1.0, a, out=t, where=skewed)
        values.append(mean - t * deviation / n**0.5)
    return np.stack(values, axis=-1)
