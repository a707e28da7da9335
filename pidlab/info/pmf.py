"""What jointly Gaussian variables tell of a quantised one, in bits."""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import entr, ndtr, ndtri

from pidlab.decomposition import Decomposition
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


def entropy(pmf: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "..."]:
    """Shannon entropy -sum p log2 p over the last axis, in bits; zero cells count nothing."""
    return np.asarray(entr(np.asarray(pmf, dtype=np.float64)).sum(-1) / np.log(2.0))


def mutual_information(pmf: Float[np.ndarray, "... a b"]) -> Float[np.ndarray, "..."]:
    """I(A;B) = H(A) + H(B) - H(A,B) of joint pmfs over the last two axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, a, b = pmf.shape
    joint = entropy(pmf.reshape(*batch, a * b))
    return np.asarray(entropy(pmf.sum(-1)) + entropy(pmf.sum(-2)) - joint)


def conditional_mutual_information(pmf: Float[np.ndarray, "... a b c"]) -> Float[np.ndarray, "..."]:
    """I(A;C|B) = I(A,B;C) - I(B;C) of joint pmfs over the last three axes, in bits.

    Of a pmf (..., n1, n2, ny) this is I(X1;Y|X2), unique1 + synergy of every decomposition.
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    return np.asarray(joint_information(pmf) - mutual_information(pmf.sum(-3)))


def joint_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """I(X1,X2;Y) of pmfs over the last three axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, n1, n2, ny = pmf.shape
    return mutual_information(pmf.reshape(*batch, n1 * n2, ny))


def source_informations(
    pmf: Float[np.ndarray, "... n1 n2 ny"],
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """I(X1;Y) and I(X2;Y) of pmfs over the last three axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    return mutual_information(pmf.sum(-2)), mutual_information(pmf.sum(-3))


def co_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """I(X1;Y) + I(X2;Y) - I(X1,X2;Y) over the last three axes, in bits; redundant - synergy.

    Symmetric in the three variables; -1 for an XOR (McGill 1954).
    """
    first, second = source_informations(pmf)
    return np.asarray(first + second - joint_information(pmf))


def binary_entropy(p: float) -> float:
    """h(p) = -p log2 p - (1-p) log2(1-p), in bits."""
    return float(entropy(np.array([p, 1.0 - p])))


@lru_cache(maxsize=65536)  # the points of a sweep share theirs
def inverse_binary_entropy(bits: float) -> float:
    """The p in [0, 1/2] with h(p) = `bits`.

    Raises:
        ValueError: `bits` is not in [0, 1].
    """
    if not 0.0 <= bits <= 1.0:
        raise ValueError(f"a binary entropy lies in [0, 1] bits, got {bits}")
    if bits in (0.0, 1.0):
        return bits / 2.0
    return float(brentq(lambda p: binary_entropy(p) - bits, 0.0, 0.5, xtol=1e-300, rtol=1e-15, maxiter=5000))


ACCURACY = 1e-9  # bits
FAR = 10.0  # standard deviations; what lies beyond has less than 1e-22 of the mass


def equal_edges(classes: int) -> Float[np.ndarray, " edges"]:
    """The inner edges that cut a standard normal into `classes` bins of equal mass."""
    return ndtri(np.arange(1, classes) / classes)


def bin_probabilities(
    mean: Float[np.ndarray, "*n"], sd: float, edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, "*n bins"]:
    """Probability of every bin between `edges` under N(mean, sd^2)."""
    below = ndtr((edges - np.asarray(mean)[..., None]) / sd)
    ends = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([ends, below, ends + 1.0], axis=-1), axis=-1)


@lru_cache(maxsize=4096)
def quantised_information(r2: float, classes: int) -> float:
    """I(T;Y) for Y the equal-mass bin of Z, where T, Z are standard normal with correlation^2 `r2`.

    I = log2 k - E_T H(N(r T, 1 - r^2) in bins), by quadrature to 1e-9 bits. For two bins
    I = 1 - E h(Phi(T r / sqrt(1 - r^2))).

    Args:
        r2: squared correlation of T and Z; a vector T counts by what it explains of Z's variance.
        classes: number of bins.
    """
    if r2 <= 0.0 or classes == 1:
        return 0.0
    if r2 >= 1.0:
        return float(np.log2(classes))
    edges, r, sd = equal_edges(classes), np.sqrt(r2), np.sqrt(1.0 - r2)

    def doubt(t: float) -> float:
        held = bin_probabilities(np.asarray(r * t), sd, edges)
        return float(entr(held).sum() * np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi))

    # Doubt is greatest where r T meets an edge, in a spike as narrow as sd / r.
    turns = {float(np.clip(edge / r + k * sd / r, -FAR, FAR)) for edge in edges for k in (-8, 0, 8)}
    points = sorted({-FAR, FAR, 0.0} | turns)
    pieces = [quad(doubt, a, b, epsabs=ACCURACY / len(points), limit=200)[0] for a, b in pairwise(points)]
    return float(np.log2(classes) - sum(pieces) / np.log(2.0))


def quantised_decomposition(r2_1: float, r2_2: float, r2_12: float, classes: int) -> Decomposition:
    """BROJA of Y, the equal-mass bin of Z, from Gaussian sources that explain these parts of Z's variance.

    Each source tells of Z what one normal variable tells, and the one that explains less has the law of a
    degraded copy of the other. BROJA looks at the pairs (X_i, Y) alone, so the weaker source's unique
    information is 0 (Blackwell order; Bertschinger et al. 2014): redundant = min(I1, I2),
    synergy = I12 - max(I1, I2), however the sources depend on each other.
    """
    one, two, both = (quantised_information(r2, classes) for r2 in (r2_1, r2_2, r2_12))
    weak, strong = min(one, two), max(one, two)
    exact = all(r2 in (0.0, 1.0) for r2 in (r2_1, r2_2, r2_12))
    gap = 0.0 if exact else 2.0 * ACCURACY
    return Decomposition(weak, one - weak, two - weak, max(both - strong, 0.0), how="quadrature", gap=gap)


def quantised_source(r2: float, classes: int, bins: int) -> Float[np.ndarray, "bins classes"]:
    """p(bin of T, Y): T cut into bins of equal mass, Y as in `quantised_information`.

    Merging values of T never adds information, so what a solver finds on such laws bounds the terms'
    sums from below and tends to them as bins are added.
    """
    edges = equal_edges(classes)
    if r2 >= 1.0:
        return _overlap(bins, classes)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    # Quantiles of T, so that a bin is an interval of equal length.
    u = (np.arange(bins)[:, None] + (nodes + 1.0) / 2.0) / bins
    held = bin_probabilities(np.sqrt(r2) * ndtri(u), np.sqrt(1.0 - r2), edges)
    return np.einsum("bnc,n->bc", held, weights / 2.0) / bins


def _overlap(bins: int, classes: int) -> Float[np.ndarray, "bins classes"]:
    low = np.maximum.outer(np.arange(bins) / bins, np.arange(classes) / classes)
    high = np.minimum.outer(np.arange(1, bins + 1) / bins, np.arange(1, classes + 1) / classes)
    return np.maximum(high - low, 0.0)
