"""Decompositions of samples: the plug-in estimate, its bias, and its distribution without information."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.info.measures import decompose

BLOCKS = 20
SHUFFLES = 200


@dataclass(frozen=True)
class SampleDecomposition:
    """Estimated decomposition of the law behind n samples of (X1, X2, Y), in bits.

    Args:
        plug_in: Decomposition of the relative frequencies. Its bias is about cells / n bits where cells are
            sparse, and mostly upwards in the synergy.
        corrected: `plug_in` minus the delete-a-block jackknife estimate of its bias.
        null_mean: Mean of each term over shuffles of Y against (X1, X2), where there is no information.
        null_high: 95th percentile of each term over these shuffles.
        p_value: Share of the shuffles, the samples themselves included, with a term at least as large.
        n: Number of samples.
        cells: Number of outcomes (x1, x2, y), empty ones included.
    """

    plug_in: Decomposition
    corrected: Decomposition
    null_mean: dict[str, float]
    null_high: dict[str, float]
    p_value: dict[str, float]
    n: int
    cells: int

    @property
    def n_per_cell(self) -> float:
        """Samples per outcome; below about 5 the bias is large and its correction is rough."""
        return self.n / self.cells


def decompose_samples(
    samples: Int[np.ndarray, "n 3"],
    measure: str = "broja",
    *,
    seed: int = 0,
    shuffles: int = SHUFFLES,
    blocks: int = BLOCKS,
) -> SampleDecomposition:
    """Decompose the empirical law of samples and estimate its bias and its null distribution.

    The jackknife deletes each of g random blocks of m_j samples in turn: corrected = g f - sum_j
    (1 - m_j / n) f_(-j), which removes bias of order 1/n from any smooth f of the law (Quenouille 1956; for
    blocks of unequal size, Busing, Meijer & van der Leeden 1999, eq. 8).

    Args:
        samples: Symbol indices of X1, X2 and Y from 0, one row per sample, shape (n, 3).
        measure: Definition of redundancy, as in `decompose`.
        seed: Seed of the shuffles and blocks.
        shuffles: Number of shuffles of Y; p-values are at least 1 / (shuffles + 1).
        blocks: Number of blocks of the jackknife.

    Returns:
        The estimates in bits.

    Raises:
        InvalidRequest: If there are fewer than two samples, or the measure is unknown.

    Example:
        >>> copies = np.array([[0, 0, 0], [1, 1, 1]])
        >>> decompose_samples(copies, "mmi").plug_in.redundant
        1.0
    """
    n = len(samples)
    if n < 2:
        raise InvalidRequest(f"{n} sample: a decomposition of samples needs 2 or more")
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) + 1 for n in samples.max(0))
    x1, x2, y = samples.T
    counts = _counts(x1, x2, y, shape)
    plug_in = decompose(counts, measure, normalize=True)

    # At most n blocks, so that none is empty; their sizes differ by at most one sample.
    parts = np.array_split(rng.permutation(n), min(blocks, n))
    remaining = np.stack([counts - _counts(x1[part], x2[part], y[part], shape) for part in parts])
    without = decompose(remaining, measure, normalize=True)
    weights = np.array([1.0 - len(part) / n for part in parts])
    corrected = Decomposition(
        *(
            float(len(parts) * plug_in.terms[term] - weights @ np.asarray(without.terms[term]))
            for term in TERMS
        ),
        measure=measure,
        how="samples, bias corrected by the jackknife",
        gap=float(len(parts) * plug_in.gap + weights @ np.asarray(without.gap)),
    )

    shuffled = np.stack([_counts(x1, x2, rng.permutation(y), shape) for _ in range(shuffles)])
    null = decompose(shuffled, measure, normalize=True).terms
    rounding = 1e-9  # terms that are exactly 0 tie only up to rounding
    return SampleDecomposition(
        plug_in,
        corrected,
        {term: float(np.mean(null[term])) for term in TERMS},
        {term: float(np.quantile(null[term], 0.95)) for term in TERMS},
        {
            term: float((1 + np.sum(null[term] >= plug_in.terms[term] - rounding)) / (shuffles + 1))
            for term in TERMS
        },
        n,
        int(np.prod(shape)),
    )


def _counts(
    x1: Int[np.ndarray, " n"], x2: Int[np.ndarray, " n"], y: Int[np.ndarray, " n"], shape: tuple[int, ...]
) -> Float[np.ndarray, "n1 n2 ny"]:
    """Count the samples in each cell."""
    flat = np.ravel_multi_index((x1, x2, y), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
