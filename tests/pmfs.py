"""Distributions shared by the tests of exact information."""

import numpy as np
from golden_numbers import golden_cases as golden
from scipy.special import ndtri

from pidlab.info.gates import independent_product
from pidlab.info.gaussian_decomposition import bin_probabilities, equal_edges

__all__ = ["golden", "golden_pmf", "independent_product", "quantized_source", "random_pmf", "table"]


def table(rows, shape):
    pmf = np.zeros(shape)
    for x1, x2, y, p in rows:
        pmf[x1, x2, y] = p
    return pmf


def golden_pmf(case):
    if "components" in case:
        pmf = np.ones((1, 1, 1))
        for part in case["components"]:
            pmf = independent_product(pmf, table(part["pmf"], part["shape"]))
        return pmf
    if "pmf" in case:
        return table(case["pmf"], case["shape"])
    return np.array(case["counts"], dtype=np.float64).reshape(case["shape"]) / case["denominator"]


def random_pmf(rng, shape=None, concentration=None, zeros=None):
    """Draw a Dirichlet pmf with 2 to 6 symbols per axis; a third have exact zeros."""
    shape = tuple(rng.integers(2, 7, 3)) if shape is None else shape
    concentration = rng.choice([0.1, 0.3, 1.0]) if concentration is None else concentration
    zeros = rng.random() < 1 / 3 if zeros is None else zeros
    pmf = rng.dirichlet(np.full(np.prod(shape), concentration))
    if zeros:
        kept = rng.random(pmf.size) < 0.6
        kept[pmf.argmax()] = True
        pmf = pmf * kept / (pmf * kept).sum()
    return pmf.reshape(shape)


def quantized_source(r2, classes, bins):
    """Return p(bin of T, Y) for T cut into bins of equal mass and Y as in `quantized_information`.

    Merging values of T never adds information, so informations of this law are lower bounds that converge as
    bins are added.
    """
    edges = equal_edges(classes)
    if r2 >= 1.0:
        low = np.maximum.outer(np.arange(bins) / bins, np.arange(classes) / classes)
        high = np.minimum.outer(np.arange(1, bins + 1) / bins, np.arange(1, classes + 1) / classes)
        return np.maximum(high - low, 0.0)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    # In quantiles of T every bin is an interval of equal length.
    u = (np.arange(bins)[:, None] + (nodes + 1.0) / 2.0) / bins
    probabilities = bin_probabilities(np.sqrt(r2) * ndtri(u), np.sqrt(1.0 - r2), edges)
    return np.einsum("bnc,n->bc", probabilities, weights / 2.0) / bins
