"""What jointly Gaussian variables tell of a quantised one, in bits."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import entr, ndtr, ndtri

from pidlab.decomposition import Decomposition

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
