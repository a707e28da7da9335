"""BROJA, the default measure: unique information by minimal information with the same pairs."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.info._interior_point import ROUNDING, TINY, bracket
from pidlab.info.measures import decompose
from pidlab.info.pmf import as_pmf

AGREEMENT = 1e-3  # bits between two grids
MOST_CELLS = 64
ROUNDS = 10  # of moving posteriors between cells, after each split


def merged_decomposition(
    sources: tuple["Merged", "Merged"], bits: tuple[float, float, float], error: float
) -> Decomposition:
    """BROJA between bounds that merging cells of the sources gives, with the informations given.

    Let M_i be the cell of X_i, and union = redundant + unique1 + unique2. Merging never adds, and a law of
    the cells extends to the sources by drawing each X_i from p(x_i | m_i, y) on its own, which adds at most
    what each tells beyond its cell:

        union(M1, M2) <= union(X1, X2) <= union(M1, M2) + I(X1;Y|M1) + I(X2;Y|M2).

    The terms are those of the middle of the interval, and `gap` is its half and the informations' error;
    I(X1;Y), I(X2;Y) and I(X1,X2;Y) come out as given. Cells are doubled until the middles of two
    grids agree to 1e-3 bits, or there are 64.

    Args:
        sources: the cells of either.
        bits: I(X1;Y), I(X2;Y) and I(X1,X2;Y).
        error: their errors, summed.
    """
    first, second, both = bits
    before, cells, low, high = np.inf, 4, max(first, second), both
    while low < high and cells <= MOST_CELLS:
        laws = [source.law(cells) for source in sources]
        # BROJA knows the pairs (X_i, Y) alone: any law that has them will do.
        prior = laws[0].sum(0)
        law = np.einsum("ay,by->aby", *laws) / np.where(prior > 0, prior, 1.0)
        found = decompose(law, normalize=True)
        union = float(found.redundant + found.unique1 + found.unique2)
        beyond = first - float(found.mi1) + second - float(found.mi2)
        low = min(max(low, union), both)
        high = max(min(high, union + max(beyond, 0.0)), low)
        middle = (low + high) / 2.0
        if abs(middle - before) < AGREEMENT:
            break
        before, cells = middle, 2 * cells
    middle = (low + high) / 2.0
    redundant, unique1, unique2 = first + second - middle, middle - second, middle - first
    return Decomposition(
        redundant,
        unique1,
        unique2,
        both - middle,
        how="quadrature, merged cells",
        gap=(high - low) / 2.0 + error,
    )


class Merged:
    """A source merged to cells of like posteriors p(y|x).

    Cells are chosen on half of the rows by one estimate of their posteriors and measured on the other half
    by another, so that what the choice owes to errors of the estimate does not count as information.

    Args:
        chosen: p(y|x) of equally likely points, by which their cells are chosen.
        measured: another estimate of the same.
        prior: p(y).
    """

    def __init__(
        self,
        chosen: Float[Tensor, "n y"],
        measured: Float[Tensor, "n y"],
        prior: Float[Tensor, " y"],
    ) -> None:
        half = len(chosen) // 2
        self._fit, self._rest = chosen[:half], chosen[half:]
        self._measured, self._prior = measured[half:], prior
        self._centres = prior[None]

    def law(self, cells: int) -> Float[np.ndarray, "cells y"]:
        """p(cell, y) of a power of two of cells; empty ones are left out."""
        while len(self._centres) < cells:
            self._double()
        joint = _sums(nearest(self._rest, self._centres), self._measured, cells) / len(self._rest)
        joint = joint * (self._prior / joint.sum(0).clamp(min=torch.finfo(joint.dtype).tiny))
        return joint[joint.sum(1) > 0].numpy()

    def _double(self) -> None:
        """Splits every cell where its posteriors spread most, then moves each to the centre it is like."""
        cells = len(self._centres)
        cell = nearest(self._fit, self._centres)
        spread = self._fit.sqrt()
        for c in range(cells):
            rows = (cell == c).nonzero()[:, 0]
            around = spread[rows] - spread[rows].mean(0) if len(rows) else spread[rows]
            axis = torch.linalg.eigh(around.mT @ around).eigenvectors[:, -1]
            cell[rows] += cells * (around @ axis > 0).long()
        for _ in range(ROUNDS):
            # A little of the prior, so that no class is ruled out by a cell that has not met it.
            total = _sums(cell, self._fit, 2 * cells) + self._prior
            self._centres = total / total.sum(1, keepdim=True)
            cell = nearest(self._fit, self._centres)


def nearest(posteriors: Float[Tensor, "n y"], centres: Float[Tensor, "cells y"]) -> Int[Tensor, " n"]:
    """The centre from which each posterior differs least, by D(posterior || centre)."""
    return (posteriors @ centres.log().mT).argmax(1)


def _sums(cell: Tensor, rows: Tensor, cells: int) -> Tensor:
    return torch.zeros(cells, rows.shape[1], dtype=rows.dtype).index_add_(0, cell, rows)


TOLERANCE = 1e-9
FINEST = 1e-12  # bits; below it rounding in float64 eats the certificate
MEMORY = 256 * 2**20  # bytes of work space for one chunk of a batch


def broja(
    pmf: np.ndarray | Tensor,
    tolerance: float = TOLERANCE,
    *,
    memory: int = MEMORY,
) -> Decomposition:
    r"""The decomposition of I(X1,X2;Y) after Bertschinger, Rauh, Olbrich, Jost and Ay, certified.

        Union = min I_q(X1,X2;Y)  over q with  q(x1,y) = p(x1,y),  q(x2,y) = p(x2,y)
        redundant = I(X1;Y) + I(X2;Y) - Union,   unique_i = Union - I(X_j;Y),   synergy = I(X1,X2;Y) - Union

    Every result carries its own proof: Union lies between the objective at a feasible q, which the terms
    are made of, and a dual bound; `gap` is the distance of the two with an allowance for rounding, so each
    term is within `gap` of the truth. Where the tolerance is not reached, `gap` says so.

    Args:
        pmf: joint probabilities, shape (..., n1, n2, ny): the target Y is the last axis, any leading axes
            are a batch. The sum may be off by 1e-9 and is scaled to one.
        tolerance: gap to reach, in bits.
        memory: bytes of work space; larger batches are solved in chunks.

    Returns:
        Terms in bits, floats for one pmf and float64 arrays of the batch's shape otherwise.

    Raises:
        InvalidRequest: fewer than three axes, a negative or non-finite probability, a sum that is not one,
            or a tolerance finer than float64 can certify.

    Source: N. Bertschinger et al., Quantifying unique information, Entropy 16 (2014), definition 1 and
    equation (8); the dual is in A. Makkeh, D. O. Theis and R. Vicente, Bivariate partial information
    decomposition: the optimization perspective, Entropy 19 (2017).
    """
    if not tolerance >= FINEST:
        raise InvalidRequest(
            f"tolerance {tolerance:g} bits is below what float64 can certify: ask for {FINEST:g} or more"
        )
    p = _checked(pmf)
    batch = p.shape[:-3]
    p = p.reshape(-1, *p.shape[-3:])
    p = _without_empty_symbols(p)
    found = torch.stack(_union(p, tolerance, memory)).cpu()
    found = found.reshape(len(found), *batch)
    joint, single1, single2, low, high = found.numpy() if batch else found.tolist()
    # The same floats everywhere, so that terms that are zero by definition come out as zero.
    return Decomposition(
        redundant=single1 + single2 - high,
        unique1=high - single2,
        unique2=high - single1,
        synergy=joint - high,
        how="solver",
        gap=high - low,
    )


def _checked(pmf: np.ndarray | Tensor) -> Float[Tensor, "... n1 n2 ny"]:
    if isinstance(pmf, Tensor):
        values = pmf.detach().cpu()
        if values.is_floating_point():
            values = values.double()  # numpy has no bfloat16
        return torch.as_tensor(as_pmf(values.numpy())).to(pmf.device)
    return torch.as_tensor(as_pmf(pmf))


def _without_empty_symbols(p: Float[Tensor, "b n1 n2 ny"]) -> Float[Tensor, "b m1 m2 my"]:
    """Symbols that never occur in the whole batch are dropped; those of single members are masked later."""
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
    """I12, I1, I2 and lower and upper bounds on the union information, in bits."""
    p = p.movedim(0, -1).contiguous()  # the batch innermost, as in `bracket`
    p1, p2 = p.sum(1), p.sum(0)
    n1, n2, ny, _ = p.shape
    target = _entropy(p1.sum(0))
    joint, single1, single2 = ((target - known).clamp_min_(0.0) for known in _given(p.flatten(0, 1), p1, p2))
    low = torch.maximum(single1, single2)
    high = torch.minimum(joint, single1 + single2)

    allowance = 2.0 * ROUNDING * (1.0 + math.log2(ny))
    open_ = torch.nonzero(high - low > tolerance - 2.0 * allowance)[:, 0]
    # The larger alphabet first: its unknowns are eliminated symbol by symbol.
    sources = (p1, p2) if len(p1) >= len(p2) else (p2, p1)
    per_problem = 8 * (8 * (n1 * ny) * (n2 * ny) + 40 * n1 * n2 * ny)
    lower, upper = torch.full_like(low, -torch.inf), torch.full_like(high, torch.inf)
    for some in open_.split(max(1, memory // per_problem)) if len(open_) else ():
        data1, data2 = (x.index_select(-1, some) for x in sources)
        lower[some], upper[some] = bracket(data1, data2, max(tolerance - 4.0 * allowance, tolerance / 2))
    high = torch.fmin(high, target + upper).maximum(low).minimum(single1 + single2)
    low = torch.fmax(low, target + lower).minimum(high) - allowance
    return joint, single1, single2, low - allowance, high


def _entropy(law: Float[Tensor, "ny b"]) -> Float[Tensor, "b"]:
    """H(Y) in bits."""
    # Three times as fast as torch.special.entr.
    return law.clamp_min(TINY).log_().mul_(law).sum(0).div_(-math.log(2.0))


def _given(*laws: Float[Tensor, "_ ny b"]) -> list[Float[Tensor, "b"]]:
    """H(Y|X) in bits, of each law p(x, y)."""
    p = torch.cat(laws)
    conditional = p / p.sum(1, keepdim=True).clamp_min_(TINY)
    terms = conditional.clamp_min_(TINY).log_().mul_(p).sum(1).div_(-math.log(2.0))
    return [part.sum(0) for part in terms.split([len(law) for law in laws])]
