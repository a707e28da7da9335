"""BROJA for continuous sources: bounds from sources merged to a few cells."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.info.broja import broja
from pidlab.info.pmf import as_pmf

AGREEMENT = 1e-3  # bits; two successive grids this close end the refinement
MOST_CELLS = 64
ROUNDS = 10  # rounds of k-means after each split


def merged_decomposition(
    sources: tuple["MergedSource", "MergedSource"], bits: tuple[float, float, float], error: float
) -> Decomposition:
    """Bound the BROJA decomposition of two sources with known informations by merging each source to cells.

    Let M_i be the cell of X_i, and union = redundant + unique1 + unique2. Merging never increases the union.
    A law of the cells extends to the sources by drawing each X_i from p(x_i | m_i, y) independently, which
    adds at most the information of X_i beyond its cell:

        union(M1, M2) <= union(X1, X2) <= union(M1, M2) + I(X1;Y|M1) + I(X2;Y|M2).

    The terms are those of the middle of this interval, and `gap` is half its width plus `error`.
    I(X1;Y), I(X2;Y) and I(X1,X2;Y) of the result are exactly `bits`. The number of cells doubles until the
    middles of two successive grids agree to 1e-3 bits, or there are 64.

    Args:
        sources: X1 and X2.
        bits: I(X1;Y), I(X2;Y) and I(X1,X2;Y), in bits.
        error: Sum of the errors of `bits`, in bits.

    Returns:
        The terms in bits.
    """
    first, second, both = bits
    before, cells, low, high = np.inf, 4, max(first, second), both
    while low < high and cells <= MOST_CELLS:
        laws = [source.law(cells) for source in sources]
        # BROJA depends on the pairs (X_i, Y) alone, so sources independent given Y give the same terms.
        prior = laws[0].sum(0)
        law = np.einsum("ay,by->aby", *laws) / np.where(prior > 0, prior, 1.0)
        found = broja(as_pmf(law, normalize=True))
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


class MergedSource:
    """Source whose values are merged to cells of similar posteriors p(y|x).

    Cells are chosen on half of the rows with one estimate of the posteriors and measured on the other half
    with another, so that errors of the estimates do not count as information.

    Args:
        chosen: p(y|x) of equally likely points, which determine the cells, shape (n, y).
        measured: Independent estimate of the same posteriors, shape (n, y).
        prior: p(y), shape (y,).
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
        self._centers = prior[None]

    def law(self, cells: int) -> Float[np.ndarray, "cells y"]:
        """Return p(cell, y) without empty cells.

        Args:
            cells: Number of cells, a power of two.

        Returns:
            The joint law, shape (nonempty cells, y).
        """
        while len(self._centers) < cells:
            self._double()
        joint = _sums(nearest_centers(self._rest, self._centers), self._measured, cells) / len(self._rest)
        joint = joint * (self._prior / joint.sum(0).clamp(min=torch.finfo(joint.dtype).tiny))
        return joint[joint.sum(1) > 0].numpy()

    def _double(self) -> None:
        """Split every cell along its widest direction, then reassign posteriors by k-means."""
        cells = len(self._centers)
        cell = nearest_centers(self._fit, self._centers)
        spread = self._fit.sqrt()
        for c in range(cells):
            rows = (cell == c).nonzero()[:, 0]
            around = spread[rows] - spread[rows].mean(0) if len(rows) else spread[rows]
            axis = torch.linalg.eigh(around.mT @ around).eigenvectors[:, -1]
            cell[rows] += cells * (around @ axis > 0).long()
        for _ in range(ROUNDS):
            # One pseudo-row of the prior keeps log(center) finite for classes that a cell has not seen.
            total = _sums(cell, self._fit, 2 * cells) + self._prior
            self._centers = total / total.sum(1, keepdim=True)
            cell = nearest_centers(self._fit, self._centers)


def nearest_centers(posteriors: Float[Tensor, "n y"], centers: Float[Tensor, "cells y"]) -> Int[Tensor, " n"]:
    """Return the center with the smallest D(posterior || center) for each posterior."""
    return (posteriors @ centers.log().mT).argmax(1)


def _sums(cell: Tensor, rows: Tensor, cells: int) -> Tensor:
    """Sum the rows of each cell."""
    return torch.zeros(cells, rows.shape[1], dtype=rows.dtype).index_add_(0, cell, rows)
