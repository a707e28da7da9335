"""The exact decomposition of a known distribution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, diags_array, hstack, vstack
from scipy.sparse.csgraph import connected_components

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest, nearest
from pidlab.info.pmf import as_pmf, entropy, joint_information, mutual_information, source_informations

# Largest error of a marginal at which Newton's method is done, and its most steps.
TOLERANCE, STEPS = 1e-13, 200
SWEEPS = 50
MISSED = 1e-11  # errors of all marginals, summed, that are rounding

# Masses below this move no entropy by more than rounding, and would underflow.
NEGLIGIBLE = 1e-18


def pairwise_maximum_entropy(
    pmf: Float[np.ndarray, "n1 n2 ny"],
) -> tuple[Float[np.ndarray, "n1 n2 ny"], float]:
    """The q of greatest entropy with q(x1,x2), q(x1,y), q(x2,y) those of `pmf`, and its entropy gap.

    q = exp(a(x1,x2) + b(x1,y) + c(x2,y)) on the cells that the marginals allow (Darroch & Ratcliff
    1972). A linear program finds these cells, proportional fitting starts and Newton's method on the
    convex dual finishes.

    Returns:
        q, and -sum p log2 q - H(q) in bits: for q of that form the first is an upper bound of the
        greatest entropy, so the difference is 0 at the solution and says how near q came. Marginals that
        q misses add what they may change an entropy by.
    """
    pmf = np.where(pmf < NEGLIGIBLE, 0.0, pmf)
    faces = _marginal_map(pmf.shape)
    allowed = _support(pmf, faces)
    q = _fit(np.where(allowed, 1.0, 0.0), pmf, SWEEPS)
    cells = np.flatnonzero(allowed)
    q_cells = _newton(q.ravel()[cells], faces[:, cells], faces @ pmf.ravel())
    q = np.zeros(pmf.size)
    q[cells] = q_cells
    p = pmf.ravel()
    held = p > 0
    upper = -float(p[held] @ np.log2(q[held]))
    gap = abs(upper - float(entropy(q)))
    missed = float(np.abs(faces @ q - faces @ p).sum())
    if missed > MISSED:  # Fannes' inequality: what entropies of laws this far apart may differ by
        gap += missed * np.log2(max(2 * pmf.size / missed, 2.0))
    return q.reshape(pmf.shape), gap


def _marginal_map(shape: tuple[int, ...]) -> csr_array:
    """The 0/1 matrix that takes a flat pmf to its three pairwise marginals, one below the other."""
    cell = np.indices(shape).reshape(3, -1)
    blocks = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        row = cell[a] * shape[b] + cell[b]
        ones, column = np.ones(row.size), np.arange(row.size)
        blocks.append(csr_array((ones, (row, column)), shape=(shape[a] * shape[b], row.size)))
    return csr_array(vstack(blocks))


def _support(pmf: Float[np.ndarray, "n1 n2 ny"], faces: csr_array) -> Bool[np.ndarray, "n1 n2 ny"]:
    """Cells that some law with the marginals of `pmf` gives mass.

    Other cells can be empty than those with an empty marginal: AND's marginals allow one law only. The
    widest support is found by one linear program over moves d = s + t that keep the marginals:
    maximise sum t subject to faces d = 0, s >= 0 and 0 <= t <= 1 on the cells that `pmf` leaves empty
    and t = 0 elsewhere. A move can be scaled up, so t is 1 exactly on the cells that can be filled.
    """
    p = pmf.ravel()
    possible = (faces.T @ (faces @ p == 0)) == 0
    open_cells = np.flatnonzero(possible)
    if (p[open_cells] > 0).all():
        return possible.reshape(pmf.shape)
    narrow = faces[:, open_cells]
    # Cells that p itself fills are known; only the empty ones are asked about.
    asked = np.flatnonzero(p[open_cells] == 0)
    balance: Any = hstack([narrow, narrow[:, asked]])
    cost = np.concatenate([np.zeros(open_cells.size), -np.ones(asked.size)])
    bounds = [(0.0 if p[i] == 0 else None, None) for i in open_cells] + [(0.0, 1.0)] * asked.size
    found: Any = linprog(cost, A_eq=balance, b_eq=np.zeros(balance.shape[0]), bounds=bounds, method="highs")
    filled = p > 0
    if found.status == 0:
        filled[open_cells[asked]] = found.x[open_cells.size :] > 0.5
    return filled.reshape(pmf.shape)


def _fit(
    q: Float[np.ndarray, "n1 n2 ny"], pmf: Float[np.ndarray, "n1 n2 ny"], sweeps: int
) -> Float[np.ndarray, "n1 n2 ny"]:
    """Iterative proportional fitting (Deming & Stephan 1940)."""
    for _ in range(sweeps):
        for axis in (2, 1, 0):
            have = q.sum(axis, keepdims=True)
            q = q * np.divide(pmf.sum(axis, keepdims=True), have, out=np.zeros_like(have), where=have > 0)
    return q


def _newton(
    q: Float[np.ndarray, " cells"], faces: csr_array, target: Float[np.ndarray, " faces"]
) -> Float[np.ndarray, " cells"]:
    """Minimises sum_i exp(faces' v)_i - target . v from q = exp(faces' v), which keeps q's form."""
    used = target > 0
    faces, target = csr_array(faces[used]), target[used]
    for _ in range(STEPS):
        gradient = faces @ q - target
        if np.abs(gradient).max() <= TOLERANCE:
            break
        curvature = (faces @ diags_array(q) @ faces.T).toarray()
        # The faces overlap, so the curvature is singular: scaled to unit diagonal, least squares.
        scale = 1.0 / np.sqrt(np.diagonal(curvature))
        scaled = curvature * scale[:, None] * scale
        step = -scale * np.linalg.lstsq(scaled, scale * gradient, rcond=1e-14)[0]
        move = faces.T @ step
        length = _length(q, move, float(gradient @ step), float(target @ step))
        if length == 0.0:
            break
        q = q * np.exp(length * move)
    return q


def _length(
    q: Float[np.ndarray, " cells"], move: Float[np.ndarray, " cells"], slope: float, gain: float
) -> float:
    """How far to go along a Newton step (Armijo); 0 where rounding leaves no descent."""
    length = 1.0
    if np.abs(move).max() < 0.1:  # so near that Newton's step is safe and the dual's change is rounding
        return length
    while length > 1e-8:
        # exp(move) of a far too long step may overflow: that is no descent.
        with np.errstate(over="ignore"):
            change = float(q @ np.expm1(length * move)) - length * gain
        if change <= 1e-4 * length * slope:
            return length
        length /= 2.0
    return 0.0


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


def decompose(pmf: Any, measure: str = "broja", *, normalize: bool = False) -> Decomposition:
    """Splits I(X1,X2;Y) into redundant, unique and synergistic bits.

    redundant = R, unique_i = I(Xi;Y) - R, synergy = I(X1,X2;Y) - I(X1;Y) - I(X2;Y) + R, with R of the
    measure (Williams & Beer 2010). `broja` is solved to a certified gap; `ccs` and `dep` rest on an
    iterative maximum-entropy law, whose entropy gap stands for theirs; the rest are closed forms.

    Args:
        pmf: probabilities, shape (..., n1, n2, ny): the target Y is the last axis.
        measure: broja, imin, mmi, ccs, dep, sx or gk (`pidlab list measures`).
        normalize: accept counts or weights and divide by their sum.

    Returns:
        The terms in bits: floats for one pmf, else float64 arrays of the batch shape.

    Raises:
        InvalidRequest: not a pmf (see `pidlab.info.pmf.as_pmf`), or an unknown measure.

    Example:
        >>> import numpy as np, pidlab
        >>> copy = np.zeros((2, 2, 2))
        >>> copy[0, 0, 0] = copy[1, 1, 1] = 0.5
        >>> pidlab.decompose(copy, "mmi").redundant
        1.0
    """
    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(str(measure), MEASURES)}")
    checked = as_pmf(pmf, normalize)
    asked = MEASURES[measure]
    if asked.redundancy is None:
        # The solver brings torch, which nobody else here needs.
        from pidlab.info.broja import broja

        return broja(checked)
    redundant, gap = asked.redundancy(checked)
    first, second = source_informations(checked)
    both = joint_information(checked)
    terms = (redundant, first - redundant, second - redundant, both - first - second + redundant)
    if checked.ndim == 3:
        return Decomposition(*map(float, terms), measure=measure, how=asked.how, gap=float(gap))
    shaped = (np.asarray(term, dtype=np.float64) for term in terms)
    return Decomposition(*shaped, measure=measure, how=asked.how, gap=gap)
