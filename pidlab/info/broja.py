"""BROJA, the default measure: unique information by minimization over laws with the same pairs (X_i, Y)."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.info._interior_point import ROUNDING, TINY, bracket
from pidlab.info.pmf import as_pmf

TOLERANCE = 1e-9  # bits
FINEST = 1e-12  # bits; a finer certificate is lost in the rounding of float64
MEMORY = 256 * 2**20  # bytes of work space for one chunk of a batch


def broja(
    pmf: np.ndarray | Tensor,
    tolerance: float = TOLERANCE,
    *,
    memory: int = MEMORY,
) -> Decomposition:
    r"""Compute the BROJA decomposition of I(X1,X2;Y) with a certified error.

        Union = min I_q(X1,X2;Y)  over q with  q(x1,y) = p(x1,y),  q(x2,y) = p(x2,y)
        redundant = I(X1;Y) + I(X2;Y) - Union,   unique_i = Union - I(X_j;Y),   synergy = I(X1,X2;Y) - Union

    Union lies between its value at a feasible q, which defines the terms, and a dual bound. `gap` is the
    distance of the two plus rounding, so each term is within `gap` of its true value, whether or not the
    tolerance was reached.

    Args:
        pmf: Joint probabilities, shape (..., n1, n2, ny); the target Y is the last axis, leading axes are a
            batch. Sums within 1e-9 of 1 are scaled to 1.
        tolerance: Gap to reach, in bits.
        memory: Work space in bytes; larger batches are solved in chunks.

    Returns:
        The terms in bits: floats for one pmf, float64 arrays of the batch shape otherwise.

    Raises:
        InvalidRequest: If the input is not a pmf (see `pidlab.info.pmf.as_pmf`), or the tolerance is finer
            than float64 can certify.

    Example:
        >>> from pidlab.info import gate
        >>> found = broja(gate("and"))
        >>> round(found.redundant, 4), found.gap < 1e-9
        (0.3113, True)

    Source:
        Bertschinger, Rauh, Olbrich, Jost and Ay, Quantifying unique information, Entropy 16 (2014),
        definition 1 and equation 8. Makkeh, Theis and Vicente, Bivariate partial information decomposition:
        the optimization perspective, Entropy 19 (2017), for the dual.
    """
    if not tolerance >= FINEST:
        raise InvalidRequest(
            f"tolerance {tolerance:g} bits: finer than float64 can certify; use {FINEST:g} or more"
        )
    p = _checked(pmf)
    batch = p.shape[:-3]
    p = p.reshape(-1, *p.shape[-3:])
    p = _without_empty_symbols(p)
    found = torch.stack(_union(p, tolerance, memory)).cpu()
    found = found.reshape(len(found), *batch)
    joint, single1, single2, low, high = found.numpy() if batch else found.tolist()
    # All terms use the same floats, so that terms that are 0 by definition are exactly 0.
    return Decomposition(
        redundant=single1 + single2 - high,
        unique1=high - single2,
        unique2=high - single1,
        synergy=joint - high,
        how="solver",
        gap=high - low,
    )


def _checked(pmf: np.ndarray | Tensor) -> Float[Tensor, "... n1 n2 ny"]:
    """Validate a pmf and return it as a float64 tensor on its device."""
    device = pmf.device if isinstance(pmf, Tensor) else None
    return torch.as_tensor(as_pmf(pmf)).to(device)


def _without_empty_symbols(p: Float[Tensor, "b n1 n2 ny"]) -> Float[Tensor, "b m1 m2 my"]:
    """Drop symbols without mass in the whole batch; those of single members are masked later."""
    if not len(p) or p.min() > 0:
        return p
    mass = p.sum(0)
    for axes, axis in (((1, 2), 1), ((0, 2), 2), ((0, 1), 3)):
        used = mass.sum(axes) > 0
        if not used.all():
            p = p.index_select(axis, torch.nonzero(used)[:, 0])
    return p


@torch.inference_mode()
def _union(p: Float[Tensor, "b n1 n2 ny"], tolerance: float, memory: int) -> tuple[Tensor, ...]:
    """Compute I12, I1, I2 and lower and upper bounds on the union information, in bits."""
    p = p.movedim(0, -1).contiguous()  # the batch innermost, as in `bracket`
    p1, p2 = p.sum(1), p.sum(0)
    n1, n2, ny, _ = p.shape
    target = _entropy(p1.sum(0))
    joint, single1, single2 = (
        (target - known).clamp_min_(0.0) for known in _conditional_entropies(p.flatten(0, 1), p1, p2)
    )
    low = torch.maximum(single1, single2)
    high = torch.minimum(joint, single1 + single2)

    # Each entropy in the bounds carries this much rounding error.
    allowance = 2.0 * ROUNDING * (1.0 + math.log2(ny))
    # Elsewhere max(I1, I2) and min(I12, I1 + I2) already enclose the union.
    open_ = torch.nonzero(high - low > tolerance - 2.0 * allowance)[:, 0]
    # The larger alphabet comes first because its unknowns are eliminated symbol by symbol.
    sources = (p1, p2) if len(p1) >= len(p2) else (p2, p1)
    per_problem = 8 * (8 * (n1 * ny) * (n2 * ny) + 40 * n1 * n2 * ny)
    lower, upper = torch.full_like(low, -torch.inf), torch.full_like(high, torch.inf)
    for chunk in open_.split(max(1, memory // per_problem)) if len(open_) else ():
        data1, data2 = (x.index_select(-1, chunk) for x in sources)
        lower[chunk], upper[chunk] = bracket(data1, data2, max(tolerance - 4.0 * allowance, tolerance / 2))
    high = torch.fmin(high, target + upper).maximum(low).minimum(single1 + single2)
    low = torch.fmax(low, target + lower).minimum(high) - allowance
    return joint, single1, single2, low - allowance, high


def _entropy(law: Float[Tensor, "ny b"]) -> Float[Tensor, "b"]:
    """Compute H(Y) in bits; three times as fast as `torch.special.entr`."""
    return law.clamp_min(TINY).log_().mul_(law).sum(0).div_(-math.log(2.0))


def _conditional_entropies(*laws: Float[Tensor, "_ ny b"]) -> list[Float[Tensor, "b"]]:
    """Compute H(Y|X) in bits for each law p(x, y)."""
    p = torch.cat(laws)
    conditional = p / p.sum(1, keepdim=True).clamp_min_(TINY)
    terms = conditional.clamp_min_(TINY).log_().mul_(p).sum(1).div_(-math.log(2.0))
    return [part.sum(0) for part in terms.split([len(law) for law in laws])]
