"""Exact decomposition of a known distribution under each definition of redundancy."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest, nearest
from pidlab.info.broja import broja
from pidlab.info.maximum_entropy import maximum_entropy
from pidlab.info.pmf import as_pmf, joint_information, mutual_information, source_informations
from pidlab.info.pmf_files import load_pmf

Pmf: TypeAlias = Float[np.ndarray, "... n1 n2 ny"]
Bits: TypeAlias = Float[np.ndarray, "..."]

# Local terms below this are zeros of the maximum-entropy law, up to rounding.
LOCAL_ZERO = 1e-7


def decompose(pmf: Any, measure: str = "broja", *, normalize: bool = False) -> Decomposition:
    """Decompose I(X1,X2;Y) into redundant, unique and synergistic information, in bits.

    redundant = R, unique_i = I(Xi;Y) - R and synergy = I(X1,X2;Y) - I(X1;Y) - I(X2;Y) + R, with R the
    redundancy of the measure (Williams & Beer 2010). `broja` is solved to a certified gap. `ccs` and `dep`
    use an iterative maximum-entropy law and report its entropy gap. The others are closed forms.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny), the target Y last; or the name of a gate
            (`pidlab list gates`); or the path of a .csv, .json or .npy file.
        measure: `broja`, `imin`, `mmi`, `ccs`, `dep`, `sx` or `gk` (`pidlab list measures`).
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        The terms in bits: floats for one pmf, float64 arrays of the batch shape otherwise.

    Raises:
        InvalidRequest: If ``pmf`` is not a pmf, gate or readable file, or the measure is unknown.

    Example:
        >>> import pidlab
        >>> pidlab.decompose("xor").synergy
        1.0
        >>> pidlab.decompose([[[2, 0], [0, 0]], [[0, 0], [0, 2]]], "mmi", normalize=True).redundant
        1.0
    """
    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(str(measure), MEASURES)}")
    checked = _checked(pmf, normalize)
    redundancy, how = MEASURES[measure].redundancy, MEASURES[measure].how
    if redundancy is None:
        return broja(checked)
    redundant, gap = redundancy(checked)
    first, second = source_informations(checked)
    both = joint_information(checked)
    terms = (redundant, first - redundant, second - redundant, both - first - second + redundant)
    if checked.ndim == 3:
        return Decomposition(*map(float, terms), measure=measure, how=how, gap=float(gap))
    arrays = (np.asarray(term, dtype=np.float64) for term in terms)
    return Decomposition(*arrays, measure=measure, how=how, gap=gap)


def pointwise(pmf: Any, measure: str = "sx", *, normalize: bool = False) -> dict[str, np.ndarray]:
    """Compute the local terms of each outcome (x1, x2, y) for `sx` or `ccs`, in bits.

    With i the local informations and r the local redundancy, unique_i = i(xi;y) - r and synergy =
    i(x1,x2;y) - i(x1;y) - i(x2;y) + r. For `sx` the law is p. For `ccs` it is the law q of maximum entropy
    with p's pairwise marginals; the mean synergy is then smaller than in `decompose` by I_p(X1,X2;Y) -
    I_q(X1,X2;Y).

    Args:
        pmf: Joint probabilities, shape (n1, n2, ny), or a gate or path, as in `decompose`.
        measure: `sx` or `ccs`.
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        Arrays of shape (n1, n2, ny): `p`, the law whose means are the terms, and the local terms by name, 0
        where the law is 0.

    Raises:
        InvalidRequest: If ``pmf`` is not one pmf, or the measure has no local terms.

    Example:
        >>> local = pointwise("xor")
        >>> round(float((local["p"] * local["redundant"]).sum()), 4)
        -0.585
    """
    if measure not in ("sx", "ccs"):
        raise InvalidRequest(f"measure {measure!r}: has no pointwise terms; use sx or ccs")
    law = _checked(pmf, normalize)
    if law.ndim != 3:
        raise InvalidRequest(f"pmf of shape {law.shape}: pointwise terms need 3 axes (n1, n2, ny)")
    if measure == "ccs":
        law, _ = maximum_entropy(law)
    one, two, both = _local_informations(law)
    if measure == "sx":
        shared = np.where(law > 0, _shared_exclusions(law) / np.log(2.0), 0.0)
    else:
        co_information = one + two - both
        shared = np.where(_have_one_sign(np.stack([one, two, both, co_information])), co_information, 0.0)
    terms = {
        "redundant": shared,
        "unique1": one - shared,
        "unique2": two - shared,
        "synergy": both - one - two + shared,
    }
    return {"p": law} | {name: np.where(law > 0, local, 0.0) for name, local in terms.items()}


def _checked(pmf: Any, normalize: bool) -> Pmf:
    """Return the pmfs of an array, gate or path."""
    if isinstance(pmf, str | os.PathLike):
        pmf, normalize = load_pmf(os.fspath(pmf), normalize).values, False
    return as_pmf(pmf, normalize)


def imin(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R = sum_y p(y) min_i D(p(xi|y) || p(xi)), the mean of the minimal specific information.

    Williams & Beer (2010), "Nonnegative decomposition of multivariate information", eq. 5.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    least = np.minimum(_specific(pmf.sum(-2)), _specific(pmf.sum(-3)))
    return _exact(least.sum(-1))


def mmi(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R = min(I(X1;Y), I(X2;Y)).

    Barrett (2015), "Exploration of synergistic and redundant information sharing in static and dynamical
    Gaussian systems", eq. 17.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    return _exact(np.minimum(*source_informations(pmf)))


def sx(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R = sum p(x1,x2,y) log2 [P(y and (x1 or x2)) / (P(y) P(x1 or x2))], which may be negative.

    Makkeh, Gutknecht & Wibral (2021), "Introducing a differentiable measure of pointwise shared
    information", eq. 7.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    return _exact((pmf * _shared_exclusions(pmf)).sum((-3, -2, -1)) / np.log(2.0))


def gk(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R = I(C;Y), C the common variable of X1 and X2: the component of the support of p(x1,x2).

    Griffith et al. (2014), "Intersection information based on common randomness", eq. 12; C is due to
    Gács & Körner (1973). Components of a product are products of components, so R is additive.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    return _per_pmf(_common_information, pmf)


def ccs(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R, the mean pointwise co-information over events where it and all local terms share one sign.

    The mean is over the law q of maximum entropy with p's pairwise marginals. The local terms are i(x1;y),
    i(x2;y) and i(x1,x2;y) under q. R is discontinuous where a term changes sign; values below 1e-7 count as
    0. The gap is that of q's entropy.

    Ince (2017), "Measuring multivariate redundant information with pointwise common change in surprisal",
    sec. 4.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    return _per_pmf(_common_surprisal, pmf)


def dep(pmf: Pmf) -> tuple[Bits, Bits]:
    """Compute R = I(X1;Y) - unique1, unique1 the minimal gain in I(X1,X2;Y) from adding the X1-Y constraint.

    The gain is over the lattice of pairwise constraints, with I taken at the law of maximum entropy of each
    node. With I1 and I2 the informations of the sources, J that of the chain X1-Y-X2 and K that under all
    three pairwise marginals, the gains are I1, I1, J - I2 and K - I2, so R = max(0, I1 + I2 - min(J, K)). R
    of independent parts adds up only if the same gain is minimal in all of them; otherwise R of the whole is
    smaller. The gap is that of the entropy behind K.

    James, Emenheiser & Crutchfield (2018), "Unique information via dependency constraints", sec. 4.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny).

    Returns:
        R and its gap in bits, each of shape (...).
    """
    return _per_pmf(_dependency, pmf)


@dataclass(frozen=True)
class Measure:
    """Definition of redundancy.

    Args:
        name: Name in options and results.
        definition: Definition in one line.
        source: Publication that introduced it.
        how: How its values are computed, as in `Decomposition.how`.
        redundancy: Function from pmfs to (R, gap) in bits; None for BROJA, whose solver returns all terms.
        nonnegative: Whether all four terms are nonnegative for every pmf.
        additive: Whether the terms of independent parts always add up.
    """

    name: str
    definition: str
    source: str
    how: str
    redundancy: Callable[[Pmf], tuple[Bits, Bits]] | None
    nonnegative: bool = False
    additive: bool = False

    @property
    def properties(self) -> str:
        """Properties in words."""
        sign = "non-negative" if self.nonnegative else "terms may be negative"
        return f"{sign}, {'additive' if self.additive else 'not additive'}"


_ALL = (
    Measure(
        "broja",
        "I1 + I2 - least I(X1,X2;Y) over laws with p(x1,y) and p(x2,y)",
        "Bertschinger, Rauh, Olbrich, Jost & Ay 2014",
        "solver",
        None,
        nonnegative=True,
        additive=True,
    ),
    Measure(
        "imin",
        "least specific information of the sources, averaged over Y",
        "Williams & Beer 2010",
        "closed form",
        imin,
        nonnegative=True,
    ),
    Measure("mmi", "min(I(X1;Y), I(X2;Y))", "Barrett 2015", "closed form", mmi, nonnegative=True),
    Measure(
        "ccs",
        "mean pointwise co-information where all local terms share its sign",
        "Ince 2017",
        "solver",
        ccs,
    ),
    Measure(
        "dep",
        "unique_i is the least gain from the Xi-Y constraint over the lattice",
        "James, Emenheiser & Crutchfield 2018",
        "solver",
        dep,
        nonnegative=True,
    ),
    Measure(
        "sx",
        "information about y in the event (x1 or x2), averaged",
        "Makkeh, Gutknecht & Wibral 2021",
        "closed form",
        sx,
    ),
    Measure(
        "gk",
        "I(C;Y), C the common variable of X1 and X2 (Gács & Körner)",
        "Griffith, Chong, James, Ellison & Crutchfield 2014",
        "closed form",
        gk,
        additive=True,
    ),
)
MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}


def _exact(bits: Any) -> tuple[Bits, Bits]:
    """Return values that have no error, with their gap of 0."""
    return np.asarray(bits), np.zeros_like(bits)


def _per_pmf(redundancy: Callable[[np.ndarray], tuple[float, float]], pmf: Pmf) -> tuple[Bits, Bits]:
    """Apply a function of one pmf to each pmf of a batch."""
    flat = pmf.reshape(-1, *pmf.shape[-3:])
    found = np.array([redundancy(p) for p in flat], dtype=np.float64).reshape(*pmf.shape[:-3], 2)
    return found[..., 0], found[..., 1]


def _specific(joint: Float[np.ndarray, "... n ny"]) -> Float[np.ndarray, "... ny"]:
    """Compute p(y) D(p(x|y) || p(x)) for every y, in bits."""
    x, y = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    has_mass = joint > 0
    local = _log_where(has_mass, joint) - _log_where(has_mass, x) - _log_where(has_mass, y)
    return (joint * local).sum(-2) / np.log(2.0)


def _log_where(has_mass: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compute ln of ``values``, and 0 elsewhere."""
    return np.log(np.where(has_mass, values, 1.0))


def _shared_exclusions(pmf: Pmf) -> Pmf:
    """Compute ln [P(y and (x1 or x2)) / (P(y) P(x1 or x2))] of each cell, and 0 where p = 0."""
    either_y = pmf.sum(-2, keepdims=True) + pmf.sum(-3, keepdims=True) - pmf
    either = either_y.sum(-1, keepdims=True)
    y = pmf.sum((-3, -2), keepdims=True)
    # All factors are positive where p > 0.
    return _log_where(pmf > 0, either_y) - _log_where(pmf > 0, either) - _log_where(pmf > 0, y)


def _common_information(pmf: Float[np.ndarray, "n1 n2 ny"]) -> tuple[float, float]:
    """Compute I(C;Y) of one pmf for `gk`."""
    n1, n2, ny = pmf.shape
    first, second = np.nonzero(pmf.sum(-1) > 0)
    edges = coo_array((np.ones(first.size), (first, n1 + second)), shape=(n1 + n2, n1 + n2))
    count, component = connected_components(edges, directed=False)
    common = np.zeros((count, ny))
    np.add.at(common, component[:n1], pmf.sum(1))
    return float(mutual_information(common)), 0.0


def _common_surprisal(pmf: Float[np.ndarray, "n1 n2 ny"]) -> tuple[float, float]:
    """Compute R of one pmf for `ccs`."""
    q, gap = maximum_entropy(pmf)
    terms = np.stack([*_local_informations(q), np.zeros_like(q)])
    terms[3] = terms[0] + terms[1] - terms[2]
    return float((q * terms[3])[_have_one_sign(terms) & (q > 0)].sum()), gap


def _have_one_sign(terms: Float[np.ndarray, "terms n1 n2 ny"]) -> np.ndarray:
    """Return the cells in which all terms are positive or all are negative."""
    return np.asarray((terms > LOCAL_ZERO).all(0) | (terms < -LOCAL_ZERO).all(0))


def _local_informations(law: Float[np.ndarray, "n1 n2 ny"]) -> list[Float[np.ndarray, "n1 n2 ny"]]:
    """Compute i(x1;y), i(x2;y) and i(x1,x2;y) of each cell in bits, and 0 where the law is 0."""
    has_mass = law > 0
    y = _log_where(has_mass, law.sum((0, 1), keepdims=True))
    joints = (law.sum(1, keepdims=True), law.sum(0, keepdims=True), law)
    return [
        (_log_where(has_mass, joint) - _log_where(has_mass, joint.sum(-1, keepdims=True)) - y) / np.log(2.0)
        for joint in joints
    ]


def _dependency(pmf: Float[np.ndarray, "n1 n2 ny"]) -> tuple[float, float]:
    """Compute R of one pmf for `dep`."""
    x1y, x2y = pmf.sum(1), pmf.sum(0)
    y = pmf.sum((0, 1))
    chain = x1y[:, None] * np.divide(x2y, y, out=np.zeros_like(x2y), where=y > 0)
    q, gap = maximum_entropy(pmf)
    least = min(float(joint_information(chain)), float(joint_information(q)))
    return max(0.0, float(mutual_information(x1y) + mutual_information(x2y)) - least), gap
