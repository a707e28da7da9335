"""Union information of several sources: the least information that their pairs with the target allow."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, diags_array, vstack

from pidlab.errors import InvalidRequest
from pidlab.info.pmf import entropy

# A joint law of any number of sources, with the target on the last axis.
Law = Float[np.ndarray, "..."]

TOLERANCE = 1e-10  # gap in nats that ends the iteration
STEPS = 200  # maximum number of Newton steps
TO_BOUNDARY = 0.99  # share of the way to the boundary that a step may go
CENTERING = 0.1  # factor of the barrier parameter in each step
MOST_CELLS = 2**20  # cells of the largest law; larger ones would take hours


def union_information(law: Law) -> tuple[float, float]:
    """Compute min I_q(X1,...,Xk;Y) over all q with q(xi,y) = p(xi,y) for every source i, in bits.

    Griffith & Koch (2014), "Quantifying synergistic mutual information", eq. 14; for two sources it is the
    union information of BROJA (Bertschinger et al. 2014). The convex program

        min sum q ln(q / q(x))   subject to   A q = (p(xi,y))_i,  q >= 0

    is solved by a primal-dual interior-point method. It starts at the feasible law in which the sources are
    independent given Y, and every step keeps the marginals.

    Args:
        law: Joint probabilities, shape (n1, ..., nk, ny).

    Returns:
        The union information and its gap: a feasible q gives the value, and the dual variables give a lower
        bound that holds whether or not the method has converged.

    Raises:
        InvalidRequest: If the law has more than 2^20 cells.

    Example:
        >>> union, gap = union_information(np.full((2, 2, 2, 2), 1 / 16))
        >>> bool(abs(union) < 1e-9), bool(gap < 1e-9)
        (True, True)
    """
    if law.size > MOST_CELLS:
        raise InvalidRequest(
            f"a law of {law.size:,} cells: union information is solved up to {MOST_CELLS:,}; merge symbols"
        )
    k = law.ndim - 1
    pairs = [law.sum(tuple(set(range(k)) - {i})) for i in range(k)]
    prior = law.sum(tuple(range(k)))
    # Only cells in which every pair has mass can have mass under q.
    cells = np.argwhere(_product(pairs, np.where(prior > 0, 1.0, 0.0)) > 0)
    start = _product(pairs, np.divide(1.0, prior ** (k - 1), out=np.zeros_like(prior), where=prior > 0))
    _, column = np.unique(cells[:, :k], axis=0, return_inverse=True)
    constraints = _constraints(cells, law.shape)
    upper, lower = _solve(start[tuple(cells.T)], column.ravel(), constraints, cells, pairs)
    to_bits = 1.0 / np.log(2.0)
    value = float(entropy(prior)) + upper * to_bits
    return max(value, 0.0), max(upper - lower, 0.0) * to_bits


def _product(pairs: Sequence[Float[np.ndarray, "_ ny"]], factor: Float[np.ndarray, " ny"]) -> Law:
    """Return factor(y) prod_i p(xi,y), shape (n1, ..., nk, ny)."""
    product = factor
    for i, pair in enumerate(pairs):
        shape = [1] * len(pairs) + [pair.shape[1]]
        shape[i] = pair.shape[0]
        product = product * pair.reshape(shape)
    return product


def _constraints(cells: Int[np.ndarray, "cells axes"], shape: tuple[int, ...]) -> csr_array:
    """Return the 0/1 matrix that maps the masses of the cells to the pairs (xi, y), one block per source."""
    ones, place = np.ones(len(cells)), np.arange(len(cells))
    blocks = [
        csr_array((ones, (cells[:, i] * shape[-1] + cells[:, -1], place)), shape=(n * shape[-1], len(cells)))
        for i, n in enumerate(shape[:-1])
    ]
    return csr_array(vstack(blocks))


def _solve(
    q: Float[np.ndarray, " cells"],
    column: Int[np.ndarray, " cells"],
    constraints: csr_array,
    cells: Int[np.ndarray, "cells axes"],
    pairs: Sequence[Float[np.ndarray, "_ ny"]],
) -> tuple[float, float]:
    """Return an upper and a lower bound of min sum q ln(q / q(x)), in nats.

    Args:
        q: Feasible masses of the cells, all positive.
        column: Index of x = (x1, ..., xk) for each cell.
        constraints: Map from masses to pairs.
        cells: Indices of the cells.
        pairs: p(xi,y) of each source.
    """
    groups = csr_array((np.ones(q.size), (column, np.arange(q.size))), shape=(column.max() + 1, q.size))
    slack, multipliers = np.ones(q.size), np.zeros(constraints.shape[0])
    target = np.concatenate([pair.ravel() for pair in pairs])
    upper, lower = np.inf, -np.inf
    for _ in range(STEPS):
        posterior = np.log(q / (groups @ q)[column])
        upper = min(upper, float(q @ posterior))
        lower = max(lower, _dual_bound(multipliers, constraints, column, cells, pairs, target))
        if upper - lower <= TOLERANCE:
            break
        barrier = CENTERING * float(q @ slack) / q.size
        residual = posterior - constraints.T @ multipliers - slack
        # The Hessian is (1 + slack) / q on the diagonal minus 1 / q(x) in the block of x. Its inverse is a
        # diagonal plus a rank-one term for each block (Sherman & Morrison).
        diagonal = q / (1.0 + slack)
        weight = 1.0 / np.maximum(groups @ (q * slack / (1.0 + slack)), np.finfo(float).tiny)
        right = barrier / q - slack - residual
        spread = csr_array(constraints @ diags_array(diagonal) @ groups.T)
        system = (constraints @ diags_array(diagonal) @ constraints.T).toarray()
        system += (spread @ diags_array(weight) @ spread.T).toarray()
        applied = diagonal * right
        applied = applied + diagonal * (weight * (groups @ applied))[column]
        change = _least_squares(system, -(constraints @ applied))
        move = diagonal * (constraints.T @ change)
        move = applied + move + diagonal * (weight * (groups @ move))[column]
        slack_move = barrier / q - slack - slack / q * move
        length = min(_room(q, move), _room(slack, slack_move))
        q, slack = q + length * move, slack + length * slack_move
        multipliers = multipliers + length * change
    return upper, lower


def _least_squares(
    system: Float[np.ndarray, "m m"], right: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Solve a singular system: every source repeats the marginal of Y."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(system), np.finfo(float).tiny))
    scaled = system * scale[:, None] * scale
    return scale * np.linalg.lstsq(scaled, scale * right, rcond=1e-13)[0]


def _room(values: Float[np.ndarray, " cells"], move: Float[np.ndarray, " cells"]) -> float:
    """Return the longest step, at most 1, that keeps all values positive."""
    ratio = np.divide(values, -move, out=np.full_like(values, np.inf), where=move < 0)
    return min(1.0, TO_BOUNDARY * float(ratio.min()))


def _dual_bound(
    multipliers: Float[np.ndarray, " m"],
    constraints: csr_array,
    column: Int[np.ndarray, " cells"],
    cells: Int[np.ndarray, "cells axes"],
    pairs: Sequence[Float[np.ndarray, "_ ny"]],
    target: Float[np.ndarray, " m"],
) -> float:
    """Return a lower bound from any multipliers a_i(xi,y).

    With L(x) = ln sum_y exp(sum_i a_i(xi,y)), sum q ln(q / q(x)) >= sum_i <a_i, p(xi,y)> - sum_x q(x) L(x),
    and q(x) has the marginal p(xi) for every i, so the last sum is at most sum p(xi) max L(x) over the other
    sources.
    """
    exponent = constraints.T @ multipliers
    largest = np.full(column.max() + 1, -np.inf)
    np.maximum.at(largest, column, exponent)
    total = np.zeros_like(largest)
    np.add.at(total, column, np.exp(exponent - largest[column]))
    log_sums = (largest + np.log(total))[column]
    worst = np.inf
    for i, pair in enumerate(pairs):
        most = np.full(pair.shape[0], -np.inf)
        np.maximum.at(most, cells[:, i], log_sums)
        mass = pair.sum(1)
        worst = min(worst, float(mass[mass > 0] @ most[mass > 0]))
    return float(multipliers @ target) - worst
