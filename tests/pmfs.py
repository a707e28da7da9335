"""Distributions that the tests of exact information share."""

import numpy as np
from golden_numbers import golden_cases as golden

__all__ = ["golden", "golden_pmf", "independent_product", "random_pmf", "table"]


def table(rows, shape):
    pmf = np.zeros(shape)
    for x1, x2, y, p in rows:
        pmf[x1, x2, y] = p
    return pmf


def independent_product(a, b):
    """Two independent parts as one distribution, the first the most significant on every axis."""
    product = np.einsum("...abc,...def->...adbecf", a, b)
    return product.reshape(
        *product.shape[:-6], *(m * n for m, n in zip(a.shape[-3:], b.shape[-3:], strict=True))
    )


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
    """Dirichlet of concentration .1, .3 or 1 on 2 to 6 symbols an axis, a third of them with exact zeros."""
    shape = tuple(rng.integers(2, 7, 3)) if shape is None else shape
    concentration = rng.choice([0.1, 0.3, 1.0]) if concentration is None else concentration
    zeros = rng.random() < 1 / 3 if zeros is None else zeros
    pmf = rng.dirichlet(np.full(np.prod(shape), concentration))
    if zeros:
        kept = rng.random(pmf.size) < 0.6
        kept[pmf.argmax()] = True
        pmf = pmf * kept / (pmf * kept).sum()
    return pmf.reshape(shape)
