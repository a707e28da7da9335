"""Decompositions of samples: the plug-in value, its bias, and what chance alone would show."""

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
    """What n samples of (X1, X2, Y) say about the decomposition of their law, in bits.

    Args:
        plug_in: of the relative frequencies. Biased: by about cells / n bits where cells are sparse,
            and mostly upwards in the synergy.
        corrected: `plug_in` less the delete-a-block jackknife's estimate of its bias.
        null_mean: term by term, the mean over shuffles of Y against (X1, X2): what no information at
            all reads at this n.
        null_high: their 95th percentile.
        p_value: part of the shuffles, this sample counted with them, that read as much or more.
        n: samples.
        cells: outcomes (x1, x2, y) in the table, empty ones included.
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
        """Samples per outcome; below about 5 the bias is large and the correction a rough one."""
        return self.n / self.cells


def decompose_samples(
    samples: Int[np.ndarray, "n 3"],
    measure: str = "broja",
    *,
    seed: int = 0,
    shuffles: int = SHUFFLES,
    blocks: int = BLOCKS,
) -> SampleDecomposition:
    """Decomposes the empirical law of samples, with its bias and a null.

    The jackknife deletes one of g random blocks of m_j samples in turn: corrected = g f - sum_j
    (1 - m_j / n) f_(-j), which removes bias of order 1/n from any smooth f of the law (Quenouille 1956;
    blocks of unequal size: Busing, Meijer & van der Leeden 1999, eq. 8).

    Args:
        samples: symbol numbers of X1, X2 and Y from 0, a row per sample.
        measure: as in `decompose`.
        seed: of the shuffles and blocks.
        shuffles: of Y; their number bounds the p-value from below by 1 / (shuffles + 1).
        blocks: of the jackknife.

    Raises:
        InvalidRequest: fewer than two samples, or an unknown measure.
    """
    n = len(samples)
    if n < 2:
        raise InvalidRequest(f"{n} sample: a decomposition of samples needs 2 or more")
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) + 1 for n in samples.max(0))
    x1, x2, y = samples.T
    whole = _counts(x1, x2, y, shape)
    plug_in = decompose(whole, measure, normalize=True)

    # Blocks are whole in size but for one sample, and never so many that one is empty.
    parts = np.array_split(rng.permutation(n), min(blocks, n))
    left = np.stack([whole - _counts(x1[part], x2[part], y[part], shape) for part in parts])
    without = decompose(left, measure, normalize=True)
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
    least = 1e-9  # ties of a term that is exactly 0 are met to rounding
    return SampleDecomposition(
        plug_in,
        corrected,
        {term: float(np.mean(null[term])) for term in TERMS},
        {term: float(np.quantile(null[term], 0.95)) for term in TERMS},
        {
            term: float((1 + np.sum(null[term] >= plug_in.terms[term] - least)) / (shuffles + 1))
            for term in TERMS
        },
        n,
        int(np.prod(shape)),
    )


def _counts(
    x1: Int[np.ndarray, " n"], x2: Int[np.ndarray, " n"], y: Int[np.ndarray, " n"], shape: tuple[int, ...]
) -> Float[np.ndarray, "n1 n2 ny"]:
    flat = np.ravel_multi_index((x1, x2, y), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
