"""Probability mass functions and their Shannon information, in bits."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import entr

from pidlab.errors import InvalidRequest

# Largest accepted distance of a pmf's sum from 1.
SUM_TOLERANCE = 1e-9


def as_pmf(values: Any, normalize: bool = False) -> Float[np.ndarray, "... n1 n2 ny"]:
    """Validate an array as pmfs over its last three axes and scale each sum to 1.

    Args:
        values: Array or tensor of probabilities, or of counts or weights with ``normalize``, shape
            (..., n1, n2, ny); the target Y is the last axis, leading axes are a batch.
        normalize: Whether to accept any positive sum.

    Returns:
        The pmfs as float64, shape (..., n1, n2, ny).

    Raises:
        InvalidRequest: If the values are not numbers, an axis is missing or empty, a value is negative or
            not finite, or a sum differs from 1 by more than 1e-9 (without ``normalize``).

    Example:
        >>> as_pmf([[[3, 1]]], normalize=True).tolist()
        [[[0.75, 0.25]]]
    """
    if np.ma.is_masked(values):
        raise InvalidRequest("pmf: has masked entries; fill them, for example with pmf.filled(0)")
    if hasattr(values, "detach"):
        # A tensor: numpy takes no gradient and no bfloat16.
        values = values.detach().cpu()
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    try:
        pmf = np.asarray(values)
        if pmf.dtype.kind not in "biuf":
            raise TypeError
        pmf = pmf.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidRequest("pmf: expected an array of real numbers of shape (..., n1, n2, ny)") from None
    if pmf.ndim < 3:
        raise InvalidRequest(f"pmf of shape {pmf.shape}: expected 3 axes (n1, n2, ny) or more, Y last")
    if 0 in pmf.shape[-3:]:
        raise InvalidRequest(f"pmf of shape {pmf.shape}: every variable needs a symbol")
    if not np.isfinite(pmf).all():
        raise InvalidRequest(f"probabilities: {_first(pmf, ~np.isfinite(pmf))} is not finite")
    if (pmf < 0).any():
        raise InvalidRequest(f"probabilities: {_first(pmf, pmf < 0)} is negative")
    with np.errstate(over="ignore"):
        total = pmf.sum((-3, -2, -1), keepdims=True)
    if not np.isfinite(total).all():
        raise InvalidRequest("probabilities: the sum is beyond float64; divide them by the largest")
    if normalize:
        if (total == 0).any():
            raise InvalidRequest("probabilities: all 0; at least one must be positive")
    elif (off := np.abs(total - 1.0) > SUM_TOLERANCE).any():
        raise InvalidRequest(
            f"probabilities sum to {total[off][0]:.12g}, not 1 (within {SUM_TOLERANCE:g}); divide counts or "
            "weights by their sum (decompose: --normalize or normalize=True)"
        )
    return pmf / total


def _first(values: np.ndarray, wrong: np.ndarray) -> str:
    """Return the first wrong value and its index as text."""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{values[place]:g} at {place}"


def entropy(pmf: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "..."]:
    """Compute the Shannon entropy -sum p log2 p over the last axis, in bits.

    Args:
        pmf: Probabilities, shape (..., n); a zero contributes 0.

    Returns:
        H in bits, shape (...).

    Example:
        >>> float(entropy(np.full(8, 1 / 8)))
        3.0
    """
    return np.asarray(entr(np.asarray(pmf, dtype=np.float64)).sum(-1) / np.log(2.0))


def mutual_information(pmf: Float[np.ndarray, "... a b"]) -> Float[np.ndarray, "..."]:
    """Compute I(A;B) = H(A) + H(B) - H(A,B), in bits.

    Args:
        pmf: Joint pmfs over the last two axes, shape (..., a, b).

    Returns:
        I(A;B) in bits, shape (...).

    Example:
        >>> float(mutual_information(np.eye(4) / 4))
        2.0
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, a, b = pmf.shape
    joint = entropy(pmf.reshape(*batch, a * b))
    return np.asarray(entropy(pmf.sum(-1)) + entropy(pmf.sum(-2)) - joint)


def conditional_mutual_information(pmf: Float[np.ndarray, "... a b c"]) -> Float[np.ndarray, "..."]:
    """Compute I(A;C|B) = I(A,B;C) - I(B;C), in bits.

    For a pmf (..., n1, n2, ny) this is I(X1;Y|X2), which is unique1 + synergy of every decomposition.

    Args:
        pmf: Joint pmfs over the last three axes, shape (..., a, b, c).

    Returns:
        I(A;C|B) in bits, shape (...).

    Example:
        >>> from pidlab.info import gate
        >>> float(conditional_mutual_information(gate("xor")))
        1.0
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    return np.asarray(joint_information(pmf) - mutual_information(pmf.sum(-3)))


def joint_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """Compute I(X1,X2;Y), in bits.

    Args:
        pmf: Joint pmfs over the last three axes, shape (..., n1, n2, ny).

    Returns:
        I(X1,X2;Y) in bits, shape (...).

    Example:
        >>> from pidlab.info import gate
        >>> float(joint_information(gate("xor")))
        1.0
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, n1, n2, ny = pmf.shape
    return mutual_information(pmf.reshape(*batch, n1 * n2, ny))


def source_informations(
    pmf: Float[np.ndarray, "... n1 n2 ny"],
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Compute I(X1;Y) and I(X2;Y), in bits.

    Args:
        pmf: Joint pmfs over the last three axes, shape (..., n1, n2, ny).

    Returns:
        I(X1;Y) and I(X2;Y) in bits, each of shape (...).

    Example:
        >>> from pidlab.info import gate
        >>> [float(bits) for bits in source_informations(gate("unq1"))]
        [0.0, 1.0]
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    return mutual_information(pmf.sum(-2)), mutual_information(pmf.sum(-3))


def co_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """Compute I(X1;Y) + I(X2;Y) - I(X1,X2;Y) = redundant - synergy, in bits.

    It is symmetric in the three variables (McGill 1954).

    Args:
        pmf: Joint pmfs over the last three axes, shape (..., n1, n2, ny).

    Returns:
        The co-information in bits, shape (...).

    Example:
        >>> from pidlab.info import gate
        >>> float(co_information(gate("xor")))
        -1.0
    """
    first, second = source_informations(pmf)
    return np.asarray(first + second - joint_information(pmf))


def binary_entropy(p: float) -> float:
    """Compute h(p) = -p log2 p - (1-p) log2(1-p), in bits.

    Args:
        p: Probability of one of two outcomes.

    Returns:
        The entropy in bits.

    Example:
        >>> round(binary_entropy(0.11), 4)
        0.4999
    """
    return float(entropy(np.array([p, 1.0 - p])))


@lru_cache(maxsize=65536)  # points of one sweep share their values
def inverse_binary_entropy(bits: float) -> float:
    """Solve h(p) = ``bits`` for p in [0, 1/2].

    Args:
        bits: Entropy in [0, 1] bits.

    Returns:
        The probability p.

    Raises:
        ValueError: If ``bits`` lies outside [0, 1].

    Example:
        >>> round(inverse_binary_entropy(0.5), 4)
        0.11
    """
    if not 0.0 <= bits <= 1.0:
        raise ValueError(f"{bits} bits: a binary entropy lies in [0, 1] bits")
    if bits in (0.0, 1.0):
        return bits / 2.0
    # p can be as small as 1e-300, so only the relative tolerance may end the search.
    return float(brentq(lambda p: binary_entropy(p) - bits, 0.0, 0.5, xtol=1e-300, rtol=1e-15, maxiter=5000))
