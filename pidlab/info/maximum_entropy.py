"""Maximum-entropy law with given marginals of a distribution."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog
from scipy.sparse import csr_array, diags_array, hstack, vstack

from pidlab.info.pmf import entropy

TOLERANCE = 1e-13  # error of a marginal that ends Newton's method
STEPS = 200  # maximum number of Newton steps
SWEEPS = 50  # rounds of iterative proportional fitting before the first Newton step
ROUNDING = 1e-11  # sum of the errors of all marginals that is due to rounding
# Smaller masses change no entropy by more than rounding, and would underflow.
NEGLIGIBLE = 1e-18


# Axes of a marginal that is kept.
Axes = tuple[int, ...]
PAIRS: tuple[Axes, ...] = ((0, 1), (0, 2), (1, 2))


def maximum_entropy(
    pmf: Float[np.ndarray, "..."], kept: Sequence[Axes] = PAIRS
) -> tuple[Float[np.ndarray, "..."], float]:
    """Compute the law q of maximum entropy that shares marginals with ``pmf``, by default all three pairs.

    q = exp(a(x1,x2) + b(x1,y) + c(x2,y)), with one function for each marginal, on the cells that the
    marginals allow (Darroch & Ratcliff 1972). A linear program finds these cells, iterative proportional
    fitting starts and Newton's method on the convex dual finishes.

    Args:
        pmf: Joint probabilities, shape (n1, n2, ny), or any shape with ``kept``.
        kept: Axes of each marginal that q shares with ``pmf``.

    Returns:
        q, of the shape of ``pmf``, and its entropy gap -sum p log2 q - H(q) in bits. The first part is an
        upper bound on the maximum entropy for every q of that form, so the gap is 0 at the solution. If q
        misses the marginals, the gap includes the entropy that this may change.

    Example:
        >>> from pidlab.info import gate
        >>> q, gap = maximum_entropy(gate("xor"))
        >>> q.round(6).tolist()[0][0], gap < 1e-9
        ([0.125, 0.125], True)
    """
    pmf = np.where(pmf < NEGLIGIBLE, 0.0, pmf)
    faces = _marginal_map(pmf.shape, kept)
    allowed = _support(pmf, faces)
    q = _fit(np.where(allowed, 1.0, 0.0), pmf, kept, SWEEPS)
    cells = np.flatnonzero(allowed)
    q_cells = _newton(q.ravel()[cells], faces[:, cells], faces @ pmf.ravel())
    q = np.zeros(pmf.size)
    q[cells] = q_cells
    p = pmf.ravel()
    has_mass = p > 0
    upper = -float(p[has_mass] @ np.log2(q[has_mass]))
    gap = abs(upper - float(entropy(q)))
    missed = float(np.abs(faces @ q - faces @ p).sum())
    if missed > ROUNDING:  # Fannes' inequality bounds the difference of entropies of laws this far apart
        gap += missed * np.log2(max(2 * pmf.size / missed, 2.0))
    return q.reshape(pmf.shape), gap


def _marginal_map(shape: tuple[int, ...], kept: Sequence[Axes]) -> csr_array:
    """Return the 0/1 matrix that maps a flat pmf to its stacked marginals."""
    cell = np.indices(shape).reshape(len(shape), -1)
    blocks = []
    for axes in kept:
        sizes = tuple(shape[axis] for axis in axes)
        row = np.asarray(np.ravel_multi_index(tuple(cell[axis] for axis in axes), sizes))
        ones, column = np.ones(row.size), np.arange(row.size)
        blocks.append(csr_array((ones, (row, column)), shape=(math.prod(sizes), row.size)))
    return csr_array(vstack(blocks))


def _support(pmf: Float[np.ndarray, "..."], faces: csr_array) -> Bool[np.ndarray, "..."]:
    """Find the cells to which some law with the marginals of ``pmf`` gives mass.

    These can be fewer than the cells with nonempty marginals: AND's marginals allow one law only. One linear
    program over moves d = s + t that keep the marginals finds the widest support: maximize sum t subject to
    faces d = 0, s >= 0 and 0 <= t <= 1 on the cells that ``pmf`` leaves empty, and t = 0 elsewhere. A move
    can be scaled up, so t is 1 exactly on the cells that can be filled.
    """
    p = pmf.ravel()
    possible = (faces.T @ (faces @ p == 0)) == 0
    open_cells = np.flatnonzero(possible)
    if (p[open_cells] > 0).all():
        return possible.reshape(pmf.shape)
    narrow = faces[:, open_cells]
    # Cells with mass under p belong to the support; only the empty ones are unknown.
    empty = np.flatnonzero(p[open_cells] == 0)
    balance: Any = hstack([narrow, narrow[:, empty]])
    cost = np.concatenate([np.zeros(open_cells.size), -np.ones(empty.size)])
    bounds = [(0.0 if p[i] == 0 else None, None) for i in open_cells] + [(0.0, 1.0)] * empty.size
    solution: Any = linprog(
        cost, A_eq=balance, b_eq=np.zeros(balance.shape[0]), bounds=bounds, method="highs"
    )
    filled = p > 0
    if solution.status == 0:
        filled[open_cells[empty]] = solution.x[open_cells.size :] > 0.5
    return filled.reshape(pmf.shape)


def _fit(
    q: Float[np.ndarray, "..."], pmf: Float[np.ndarray, "..."], kept: Sequence[Axes], sweeps: int
) -> Float[np.ndarray, "..."]:
    """Scale `q` to each kept marginal of `pmf` in turn (Deming & Stephan 1940)."""
    others = [tuple(set(range(pmf.ndim)) - set(axes)) for axes in kept]
    for _ in range(sweeps):
        for summed in others:
            total = q.sum(summed, keepdims=True)
            wanted = pmf.sum(summed, keepdims=True)
            q = q * np.divide(wanted, total, out=np.zeros_like(total), where=total > 0)
    return q


def _newton(
    q: Float[np.ndarray, " cells"], faces: csr_array, target: Float[np.ndarray, " faces"]
) -> Float[np.ndarray, " cells"]:
    """Minimize sum_i exp(faces' v)_i - target . v by Newton steps in v, starting at q = exp(faces' v)."""
    has_mass = target > 0
    faces, target = csr_array(faces[has_mass]), target[has_mass]
    for _ in range(STEPS):
        gradient = faces @ q - target
        if np.abs(gradient).max() <= TOLERANCE:
            break
        curvature = (faces @ diags_array(q) @ faces.T).toarray()
        # The faces overlap, so the curvature is singular: scale it to unit diagonal and use least squares.
        scale = 1.0 / np.sqrt(np.diagonal(curvature))
        scaled = curvature * scale[:, None] * scale
        step = -scale * np.linalg.lstsq(scaled, scale * gradient, rcond=1e-14)[0]
        move = faces.T @ step
        length = _step_length(q, move, float(gradient @ step), float(target @ step))
        if length == 0.0:
            break
        q = q * np.exp(length * move)
    return q


def _step_length(
    q: Float[np.ndarray, " cells"], move: Float[np.ndarray, " cells"], slope: float, gain: float
) -> float:
    """Return the Armijo length of a Newton step; 0 if rounding leaves no descent."""
    length = 1.0
    if np.abs(move).max() < 0.1:  # the full step is safe here, and the change of the dual is below rounding
        return length
    while length > 1e-8:
        # A step that is far too long may overflow; the test below then rejects it.
        with np.errstate(over="ignore"):
            change = float(q @ np.expm1(length * move)) - length * gain
        if change <= 1e-4 * length * slope:
            return length
        length /= 2.0
    return 0.0
