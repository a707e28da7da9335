"""Redundancy and union information of more than two sources."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pidlab.errors import InvalidRequest, nearest, shorten
from pidlab.info.maximum_entropy import maximum_entropy
from pidlab.info.measures import LOCAL_ZERO
from pidlab.info.pmf import as_pmf, mutual_information
from pidlab.info.union import Law, union_information


def decompose_sources(pmf: Any, measure: str = "imin", *, normalize: bool = False) -> dict[str, float | None]:
    """Compute the redundancy and the union information of two or more sources, in bits.

    The redundancy R is shared by all sources. The union is contained in at least one source, by inclusion and
    exclusion: the sum over nonempty sets A of sources of (-1)^(|A| + 1) R(A), with R({i}) = I(Xi;Y). The rest
    of the total is synergy. For two sources these are `redundant`, `total` - `synergy` and `synergy` of
    `decompose`. A full decomposition of three sources would have 18 terms (Williams & Beer 2010).

    `broja` defines the union information of any number of sources (`union_information`), but a redundancy of
    two only. `dep` defines the unique information of each source, which determines the other terms of two
    sources only (James et al. 2018).

    Args:
        pmf: Joint probabilities, shape (n1, ..., nk, ny), the target Y last.
        measure: `broja`, `imin`, `mmi`, `ccs`, `sx` or `gk`.
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        `redundancy`, `union`, `synergy` and `total`, and the bound `gap` on the error of the first three, in
        bits. The redundancy of `broja` is None.

    Raises:
        InvalidRequest: If ``pmf`` is not one pmf of two or more sources, or the measure is not defined for
            more than two.

    Example:
        >>> parity = np.zeros((2, 2, 2, 2))
        >>> for a, b, c in np.ndindex(2, 2, 2):
        ...     parity[a, b, c, a ^ b ^ c] = 1 / 8
        >>> decompose_sources(parity, "mmi")
        {'redundancy': 0.0, 'union': 0.0, 'synergy': 1.0, 'total': 1.0, 'gap': 0.0}
    """
    check_measure(measure)
    shape = np.shape(pmf)
    if len(shape) < 3:
        raise InvalidRequest(f"pmf of shape {shape}: expected axes (n1, ..., nk, ny) of two or more sources")
    law = as_pmf(np.reshape(pmf, (shape[0], -1, shape[-1])), normalize).reshape(shape)
    total = float(mutual_information(law.reshape(-1, shape[-1])))
    if measure == "broja":
        union, gap = union_information(law)
        return {"redundancy": None, "union": union, "synergy": total - union, "total": total, "gap": gap}
    redundancy = REDUNDANCIES[measure]
    k = law.ndim - 1
    by_set = {
        chosen: redundancy(law.sum(tuple(set(range(k)) - set(chosen))))
        for size in range(1, k + 1)
        for chosen in combinations(range(k), size)
    }
    union = math.fsum((-1) ** (len(chosen) + 1) * bits for chosen, (bits, _) in by_set.items())
    return {
        "redundancy": by_set[tuple(range(k))][0],
        "union": union,
        "synergy": total - union,
        "total": total,
        "gap": math.fsum(gap for _, gap in by_set.values()),
    }


def check_measure(measure: str) -> None:
    """Require a measure that defines terms of more than two sources.

    Args:
        measure: Name of the measure.

    Raises:
        InvalidRequest: If it does not; the message says why.
    """
    if measure == "dep":
        raise InvalidRequest(
            "--measure dep: not defined for more than two sources, because unique information alone does not "
            f"determine their redundancy or union; use {', '.join(MEASURES)}"
        )
    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {shorten(repr(measure))}: {nearest(measure, MEASURES)}")


def _pairs(law: Law) -> list[Float[np.ndarray, "n ny"]]:
    """Return p(xi, y) of each source."""
    k = law.ndim - 1
    return [law.sum(tuple(set(range(k)) - {i})) for i in range(k)]


def _exact(redundancy: Callable[[Law], float]) -> Callable[[Law], tuple[float, float]]:
    """Add the gap 0 to the value of a closed form."""
    return lambda law: (redundancy(law), 0.0)


def _mmi(law: Law) -> float:
    """Compute min_i I(Xi;Y) (Barrett 2015)."""
    return float(min(mutual_information(pair) for pair in _pairs(law)))


def _imin(law: Law) -> float:
    """Compute sum_y p(y) min_i D(p(xi|y) || p(xi)) (Williams & Beer 2010)."""
    specific = []
    for pair in _pairs(law):
        independent = pair.sum(1, keepdims=True) * pair.sum(0)
        ratio = np.divide(pair, independent, out=np.ones_like(pair), where=pair > 0)
        specific.append((pair * np.log2(ratio)).sum(0))
    return float(np.min(specific, axis=0).sum())


def _sx(law: Law) -> float:
    """Compute sum p log2 [P(y and (x1 or ... or xk)) / (P(y) P(x1 or ... or xk))] (Makkeh et al. 2021)."""
    k = law.ndim - 1
    # P(y and some xi) by inclusion and exclusion over sets of sources.
    some_y = np.zeros_like(law)
    for size in range(1, k + 1):
        for chosen in combinations(range(k), size):
            others = tuple(set(range(k)) - set(chosen))
            some_y = some_y + (-1) ** (size + 1) * law.sum(others, keepdims=True)
    ratio = some_y / (some_y.sum(-1, keepdims=True) * law.sum(tuple(range(k))) + (law == 0))
    return float((law * np.log2(np.where(law > 0, ratio, 1.0))).sum())


def _gk(law: Law) -> float:
    """Compute I(C;Y), C the common variable of all sources (Griffith et al. 2014)."""
    k, sizes = law.ndim - 1, law.shape[:-1]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    cells = np.argwhere(law.sum(-1) > 0) + offsets[:k]
    # Symbols that occur together are connected; a component is a value of C.
    first, second = np.repeat(cells[:, :1], k, axis=1).ravel(), cells.ravel()
    edges = coo_array((np.ones(first.size), (first, second)), shape=(offsets[-1], offsets[-1]))
    count, component = connected_components(edges, directed=False)
    common = np.zeros((count, law.shape[-1]))
    np.add.at(common, component[: sizes[0]], _pairs(law)[0])
    return float(mutual_information(common))


def _ccs(law: Law) -> tuple[float, float]:
    """Compute the mean co-information over events where it and the local terms share one sign (Ince 2017).

    The mean is over the law q of maximum entropy with p(xi,y) of every source and p(x1,...,xk), and the local
    terms are those of each source and of all sources together, as in the code that Ince released for three
    sources (github.com/robince/partial-info-decomp, Iccs.m).
    """
    k = law.ndim - 1
    q, gap = maximum_entropy(law, [tuple(range(k)), *((i, k) for i in range(k))]) if k > 1 else (law, 0.0)
    has_mass = q > 0
    sets = [chosen for size in range(1, k + 1) for chosen in combinations(range(k), size)]
    local = {chosen: _local_information(q, chosen, has_mass) for chosen in sets}
    shared = np.sum([(-1) ** (len(chosen) + 1) * bits for chosen, bits in local.items()], axis=0)
    terms = np.stack([*(local[(i,)] for i in range(k)), local[sets[-1]], shared])
    one_sign = (terms > LOCAL_ZERO).all(0) | (terms < -LOCAL_ZERO).all(0)
    return float((q * shared)[one_sign & has_mass].sum()), gap


def _local_information(law: Law, chosen: Sequence[int], has_mass: np.ndarray) -> Law:
    """Compute i(x_A;y) of each cell for a set A of sources, in bits, and 0 where the law is 0."""
    k = law.ndim - 1
    joint = law.sum(tuple(set(range(k)) - set(chosen)), keepdims=True)
    independent = joint.sum(-1, keepdims=True) * law.sum(tuple(range(k)), keepdims=True)
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    return np.where(has_mass, np.log2(ratio), 0.0)


REDUNDANCIES: Mapping[str, Callable[[Law], tuple[float, float]]] = {
    "imin": _exact(_imin),
    "mmi": _exact(_mmi),
    "ccs": _ccs,
    "sx": _exact(_sx),
    "gk": _exact(_gk),
}
# Measures that define terms of more than two sources.
MEASURES = ("broja", *REDUNDANCIES)
