"""Redundancy and union information of more than two sources."""

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pidlab.errors import InvalidRequest, nearest
from pidlab.info.pmf import as_pmf, mutual_information

# A joint law of any number of sources, with the target on the last axis.
Law = Float[np.ndarray, "..."]


def decompose_sources(pmf: Any, measure: str = "imin", *, normalize: bool = False) -> dict[str, float]:
    """Compute the redundancy and the union information of two or more sources, in bits.

    The redundancy R is shared by all sources. The union is contained in at least one source, by inclusion and
    exclusion: the sum over nonempty sets A of sources of (-1)^(|A| + 1) R(A), with R({i}) = I(Xi;Y). The rest
    of the total is synergy. For two sources these are `redundant`, `total` - `synergy` and `synergy` of
    `decompose`. A full decomposition of three sources would have 18 terms (Williams & Beer 2010).

    Args:
        pmf: Joint probabilities, shape (n1, ..., nk, ny), the target Y last.
        measure: `imin`, `mmi`, `sx` or `gk`; the others are defined or solved for two sources only.
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        `redundancy`, `union`, `synergy` and `total`, in bits.

    Raises:
        InvalidRequest: If ``pmf`` is not one pmf of two or more sources, or the measure is not available.

    Example:
        >>> parity = np.zeros((2, 2, 2, 2))
        >>> for a, b, c in np.ndindex(2, 2, 2):
        ...     parity[a, b, c, a ^ b ^ c] = 1 / 8
        >>> decompose_sources(parity, "mmi")
        {'redundancy': 0.0, 'union': 0.0, 'synergy': 1.0, 'total': 1.0}
    """
    if measure not in REDUNDANCIES:
        raise InvalidRequest(
            f"measure {measure!r}: not available for more than two sources; {nearest(measure, REDUNDANCIES)}"
        )
    shape = np.shape(pmf)
    if len(shape) < 3:
        raise InvalidRequest(f"pmf of shape {shape}: expected axes (n1, ..., nk, ny) of two or more sources")
    law = as_pmf(np.reshape(pmf, (shape[0], -1, shape[-1])), normalize).reshape(shape)
    redundancy = REDUNDANCIES[measure]
    k = law.ndim - 1
    by_set = {
        chosen: redundancy(law.sum(tuple(set(range(k)) - set(chosen))))
        for size in range(1, k + 1)
        for chosen in combinations(range(k), size)
    }
    union = math.fsum((-1) ** (len(chosen) + 1) * bits for chosen, bits in by_set.items())
    total = float(mutual_information(law.reshape(-1, shape[-1])))
    return {"redundancy": by_set[tuple(range(k))], "union": union, "synergy": total - union, "total": total}


def _pairs(law: Law) -> list[Float[np.ndarray, "n ny"]]:
    """Return p(xi, y) of each source."""
    k = law.ndim - 1
    return [law.sum(tuple(set(range(k)) - {i})) for i in range(k)]


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


REDUNDANCIES: Mapping[str, Callable[[Law], float]] = {"imin": _imin, "mmi": _mmi, "sx": _sx, "gk": _gk}
