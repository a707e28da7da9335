"""Redundancies of two sources about a target, each from its definition, in bits.

Every measure maps pmfs (..., n1, n2, ny) to its redundancy R; the other terms follow from R by
unique_i = I(Xi;Y) - R and synergy = I(X1,X2;Y) - I(X1;Y) - I(X2;Y) + R (`pidlab.info.decompose`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pidlab.info.entropies import joint_information, mutual_information, source_informations
from pidlab.info.maxent import pairwise_maximum_entropy

Pmf = Float[np.ndarray, "... n1 n2 ny"]
Bits = Float[np.ndarray, "..."]

# Local terms below this are zeros of the maximum-entropy law, met to rounding only.
LOCAL_ZERO = 1e-7


@dataclass(frozen=True)
class Measure:
    """A definition of redundancy.

    Args:
        name: how it is asked for.
        definition: what it is, in a line.
        source: where it was defined.
        nonnegative: whether all four terms are 0 or more for every pmf.
        additive: whether the terms of independent parts always add up.
        how: how its numbers are known, as in `Decomposition.how`.
        redundancy: pmfs to (R, gap) in bits; None for BROJA, which has a solver of its own.
    """

    name: str
    definition: str
    source: str
    nonnegative: bool
    additive: bool
    how: str
    redundancy: Callable[[Pmf], tuple[Bits, Bits]] | None

    @property
    def properties(self) -> str:
        """Its properties in words."""
        sign = "non-negative" if self.nonnegative else "terms may be negative"
        return f"{sign}, {'additive' if self.additive else 'not additive'}"


def imin(pmf: Pmf) -> Bits:
    """R = sum_y p(y) min_i D(p(xi|y) || p(xi)): the least specific information, on the average.

    Williams & Beer (2010), "Nonnegative decomposition of multivariate information", eq. 5.
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    least = np.minimum(_specific(pmf.sum(-2)), _specific(pmf.sum(-3)))
    return np.asarray(least.sum(-1))


def mmi(pmf: Pmf) -> Bits:
    """R = min(I(X1;Y), I(X2;Y)).

    Barrett (2015), "Exploration of synergistic and redundant information sharing in static and
    dynamical Gaussian systems", eq. 17.
    """
    return np.asarray(np.minimum(*source_informations(pmf)))


def sx(pmf: Pmf) -> Bits:
    """R = sum p(x1,x2,y) log2 [P(y and (x1 or x2)) / (P(y) P(x1 or x2))]; may be negative.

    Makkeh, Gutknecht & Wibral (2021), "Introducing a differentiable measure of pointwise shared
    information", eq. 7.
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    either_y = pmf.sum(-2, keepdims=True) + pmf.sum(-3, keepdims=True) - pmf
    either = either_y.sum(-1, keepdims=True)
    y = pmf.sum((-3, -2), keepdims=True)
    # Where p > 0 every factor is; the sum runs over these cells only.
    local = _log_where(pmf > 0, either_y) - _log_where(pmf > 0, either) - _log_where(pmf > 0, y)
    return np.asarray((pmf * local).sum((-3, -2, -1)) / np.log(2.0))


def gk(pmf: Pmf) -> Bits:
    """R = I(C;Y), C the common variable of X1 and X2: the component of the support of p(x1,x2).

    Griffith et al. (2014), "Intersection information based on common randomness", eq. 12; C is that of
    Gács & Körner (1973). Components of a product are products of components, so R adds up.
    """
    return _loop(_common_information, pmf)


def ccs(pmf: Pmf) -> tuple[Bits, Bits]:
    """R = mean pointwise co-information over events where it and all local terms share one sign.

    The mean is over the law q of greatest entropy with p's pairwise marginals, the local terms are
    i(x1;y), i(x2;y) and i(x1,x2;y) under q. R jumps where a term changes sign; values below 1e-7 count as
    0. The gap is that of q's entropy.

    Ince (2017), "Measuring multivariate redundant information with pointwise common change in
    surprisal", sec. 4.
    """
    return _loop_with_gap(_common_surprisal, pmf)


def dep(pmf: Pmf) -> tuple[Bits, Bits]:
    """R = I(X1;Y) - unique1, unique1 the least gain in I(X1,X2;Y) when the X1-Y constraint is added.

    The gain is over the lattice of pairwise constraints, I that of the law of greatest entropy at each
    node. With I1 and I2 the sources' informations, J that of the chain X1-Y-X2 and K that under all three
    pairwise marginals, the four gains are I1, I1, J - I2 and K - I2, so R = max(0, I1 + I2 - min(J, K)).
    Parts add up when the same of the three is taken in all of them, else R of the whole is less.
    The gap is that of the entropy behind K.

    James, Emenheiser & Crutchfield (2018), "Unique information via dependency constraints", sec. 4.
    """
    return _loop_with_gap(_dependency, pmf)


def _exact(redundancy: Callable[[Pmf], Bits]) -> Callable[[Pmf], tuple[Bits, Bits]]:
    def with_gap(pmf: Pmf) -> tuple[Bits, Bits]:
        bits = redundancy(pmf)
        return bits, np.zeros_like(bits)

    return with_gap


def _specific(joint: Float[np.ndarray, "... n ny"]) -> Float[np.ndarray, "... ny"]:
    """p(y) D(p(x|y) || p(x)) for every y, in bits."""
    x, y = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    held = joint > 0
    local = _log_where(held, joint) - _log_where(held, x) - _log_where(held, y)
    return (joint * local).sum(-2) / np.log(2.0)


def _log_where(held: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.log(np.where(held, values, 1.0))


def _common_information(pmf: Float[np.ndarray, "n1 n2 ny"]) -> float:
    n1, n2, ny = pmf.shape
    first, second = np.nonzero(pmf.sum(-1) > 0)
    edges = coo_array((np.ones(first.size), (first, n1 + second)), shape=(n1 + n2, n1 + n2))
    count, component = connected_components(edges, directed=False)
    common = np.zeros((count, ny))
    np.add.at(common, component[:n1], pmf.sum(1))
    return float(mutual_information(common))


def _common_surprisal(pmf: Float[np.ndarray, "n1 n2 ny"]) -> tuple[float, float]:
    q, gap = pairwise_maximum_entropy(pmf)
    held = q > 0
    y = _log_where(held, q.sum((0, 1), keepdims=True))

    def local(*hidden: int) -> np.ndarray:
        joint = q.sum(hidden, keepdims=True) if hidden else q
        source = joint.sum(-1, keepdims=True)
        return (_log_where(held, joint) - _log_where(held, source) - y) / np.log(2.0)

    one, two, both = local(1), local(0), local()
    terms = np.stack([one, two, both, one + two - both])
    agree = (terms > LOCAL_ZERO).all(0) | (terms < -LOCAL_ZERO).all(0)
    return float((q * terms[3])[agree & held].sum()), gap


def _dependency(pmf: Float[np.ndarray, "n1 n2 ny"]) -> tuple[float, float]:
    x1y, x2y = pmf.sum(1), pmf.sum(0)
    y = pmf.sum((0, 1))
    chain = x1y[:, None] * np.divide(x2y, y, out=np.zeros_like(x2y), where=y > 0)
    q, gap = pairwise_maximum_entropy(pmf)
    least = min(float(joint_information(chain)), float(joint_information(q)))
    return max(0.0, float(mutual_information(x1y) + mutual_information(x2y)) - least), gap


def _loop(one: Callable[[np.ndarray], float], pmf: Pmf) -> Bits:
    pmf = np.asarray(pmf, dtype=np.float64)
    flat = pmf.reshape(-1, *pmf.shape[-3:])
    return np.array([one(p) for p in flat], dtype=np.float64).reshape(pmf.shape[:-3])


def _loop_with_gap(one: Callable[[np.ndarray], tuple[float, float]], pmf: Pmf) -> tuple[Bits, Bits]:
    pmf = np.asarray(pmf, dtype=np.float64)
    flat = pmf.reshape(-1, *pmf.shape[-3:])
    found = np.array([one(p) for p in flat], dtype=np.float64).reshape(*pmf.shape[:-3], 2)
    return found[..., 0], found[..., 1]


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "broja",
            "I1 + I2 - least I(X1,X2;Y) over laws with p(x1,y) and p(x2,y)",
            "Bertschinger, Rauh, Olbrich, Jost & Ay 2014",
            nonnegative=True,
            additive=True,
            how="solver",
            redundancy=None,
        ),
        Measure(
            "imin",
            "least specific information of the sources, averaged over Y",
            "Williams & Beer 2010",
            nonnegative=True,
            additive=False,
            how="closed form",
            redundancy=_exact(imin),
        ),
        Measure(
            "mmi",
            "min(I(X1;Y), I(X2;Y))",
            "Barrett 2015",
            nonnegative=True,
            additive=False,
            how="closed form",
            redundancy=_exact(mmi),
        ),
        Measure(
            "ccs",
            "mean pointwise co-information where all local terms share its sign",
            "Ince 2017",
            nonnegative=False,
            additive=False,
            how="solver",
            redundancy=ccs,
        ),
        Measure(
            "dep",
            "unique_i is the least gain from the Xi-Y constraint over the lattice",
            "James, Emenheiser & Crutchfield 2018",
            nonnegative=True,
            additive=False,
            how="solver",
            redundancy=dep,
        ),
        Measure(
            "sx",
            "information about y in the event (x1 or x2), averaged",
            "Makkeh, Gutknecht & Wibral 2021",
            nonnegative=False,
            additive=False,
            how="closed form",
            redundancy=_exact(sx),
        ),
        Measure(
            "gk",
            "I(C;Y), C the common variable of X1 and X2 (Gács & Körner)",
            "Griffith, Chong, James, Ellison & Crutchfield 2014",
            nonnegative=False,
            additive=True,
            how="closed form",
            redundancy=_exact(gk),
        ),
    )
}
