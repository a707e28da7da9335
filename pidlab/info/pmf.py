"""What counts as a joint pmf of (X1, X2, Y)."""

from typing import Any

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest

# How far from 1 a pmf may sum.
SUM_TOLERANCE = 1e-9


def as_pmf(values: Any, normalize: bool = False) -> Float[np.ndarray, "... n1 n2 ny"]:
    """`values` as float64 pmfs over the last three axes (X1, X2, Y), each of sum 1.

    Args:
        values: an array of probabilities, or of counts when `normalize` says so.
        normalize: divide by the sum, whatever it is.

    Raises:
        InvalidRequest: not numbers, fewer than three axes, an empty axis, a value that is negative or not
            finite, or a sum that is not finite or further than 1e-9 from 1.
    """
    try:
        pmf = np.asarray(values)
        if pmf.dtype.kind not in "biuf":
            raise TypeError
        pmf = pmf.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidRequest("a pmf: expected an array of real numbers of shape (..., n1, n2, ny)") from None
    if pmf.ndim < 3:
        raise InvalidRequest(
            f"a pmf of shape {pmf.shape}: expected 3 axes (n1, n2, ny) or more, Y on the last one"
        )
    if 0 in pmf.shape[-3:]:
        raise InvalidRequest(f"a pmf of shape {pmf.shape}: every variable needs a symbol")
    if not np.isfinite(pmf).all():
        raise InvalidRequest(f"probabilities: {_first(pmf, ~np.isfinite(pmf))} is not finite")
    if (pmf < 0).any():
        raise InvalidRequest(f"probabilities: {_first(pmf, pmf < 0)} is negative")
    with np.errstate(over="ignore"):
        total = pmf.sum((-3, -2, -1), keepdims=True)
    if not np.isfinite(total).all():
        raise InvalidRequest(
            "probabilities: their sum is beyond what float64 holds; divide them by the largest"
        )
    if normalize:
        if (total == 0).any():
            raise InvalidRequest("probabilities are all 0: there is nothing to normalise")
    elif (off := np.abs(total - 1.0) > SUM_TOLERANCE).any():
        raise InvalidRequest(
            f"probabilities sum to {total[off][0]:.12g}, not 1 (within {SUM_TOLERANCE:g}): "
            "normalize=True (--normalize) accepts counts and weights"
        )
    return pmf / total


def _first(values: np.ndarray, wrong: np.ndarray) -> str:
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{values[place]:g} at {place}"
