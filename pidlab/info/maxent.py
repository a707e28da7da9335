"""The law of greatest entropy among those with the three pairwise marginals of a pmf."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog
from scipy.sparse import csr_array, diags_array, hstack, vstack

from pidlab.info.entropies import entropy

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
