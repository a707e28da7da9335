"""BROJA of sources that are too rich for a solver, from samples of what they tell of the target."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.info.decompose import decompose

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
