"""Gaussian decompositions of covariance matrices and samples in files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.info.columns import read_matrix
from pidlab.info.gaussian_decomposition import gaussian
from pidlab.info.pmf_files import read_file, read_npy
from pidlab.info.samples import SampleDecomposition, summarize_bootstrap

# Resamples for a scalar target, which has a closed form, and for a vector target.
SCALAR_RESAMPLES, VECTOR_RESAMPLES = 400, 40


def decompose_gaussian_samples(
    rows: Float[np.ndarray, "n d"], dims: Sequence[int], *, seed: int = 0, resamples: int | None = None
) -> SampleDecomposition:
    """Decompose samples under a Gaussian copula, with bias correction and bootstrap intervals.

    Each column is replaced by the normal quantiles of its ranks, which preserves the information
    of every column (Ince et al. 2017, "A statistical framework for neuroimaging data analysis based on mutual
    information estimated via a Gaussian copula"). The decomposition is that of the resulting correlations.

    Args:
        rows: Samples of (Y, X1, X2), in this order, shape (n, d).
        dims: Dimensions (dy, d1, d2) of Y, X1 and X2.
        seed: Seed of the resamples.
        resamples: Number of bootstrap resamples; default 400 for a scalar Y and 40 for a vector Y.

    Returns:
        The estimates in bits.

    Raises:
        InvalidRequest: If the shapes do not fit, a column is not continuous, or the correlations are
            singular.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> found = decompose_gaussian_samples(np.column_stack([x.sum(1), x]), (1, 1, 1), resamples=50)
        >>> found.low["synergy"] > 1.0
        True
    """
    n, d = rows.shape
    if len(dims) != 3 or min(dims) < 1 or sum(dims) != d:
        raise InvalidRequest(f"--gaussian {','.join(map(str, dims))}: the sizes must add up to {d} columns")
    if n <= d + 1:
        raise InvalidRequest(f"{n} rows of {d} columns: a covariance needs more rows than columns")
    if not np.isfinite(rows).all():
        row, column = map(int, np.argwhere(~np.isfinite(rows))[0])
        raise InvalidRequest(f"row {row + 1}, column {column + 1}: not a finite number; remove the row")
    for column in range(d):
        distinct = len(np.unique(rows[:, column]))
        if distinct < n / 2:
            raise InvalidRequest(
                f"column {column + 1} has {distinct} distinct values in {n} rows; a Gaussian copula needs "
                "continuous columns"
            )
    scores = ndtri(rankdata(rows, axis=0) / (n + 1))
    plug_in = gaussian(np.cov(scores.T), dims)
    rng = np.random.default_rng(seed)
    resamples = resamples or (SCALAR_RESAMPLES if dims[0] == 1 else VECTOR_RESAMPLES)
    draws = (scores[rng.integers(0, n, n)] for _ in range(resamples))
    boot = [gaussian(np.cov(draw.T), dims) for draw in draws]
    redundant, unique1, unique2, synergy = (np.array([b.terms[term] for b in boot]) for term in TERMS)
    gap = np.array([b.gap for b in boot])
    resampled = Decomposition(redundant, unique1, unique2, synergy, how=plug_in.how, gap=gap)
    return summarize_bootstrap(plug_in, resampled, n)


def read_numbers(path: Path | str) -> Float[np.ndarray, "n d"]:
    """Read a matrix of numbers, such as a covariance or samples.

    Args:
        path: Path of a .npy file, or of a .csv file with or without a header.

    Returns:
        The matrix, shape (n, d).

    Raises:
        InvalidRequest: If the file cannot be read or holds no matrix of numbers.
    """
    path = Path(path)
    readers = {".npy": read_npy, ".csv": read_matrix, ".tsv": read_matrix}
    if path.suffix.lower() not in readers:
        raise InvalidRequest(f"{path}: unknown suffix; --gaussian reads .npy and .csv files")
    values = read_file(path, readers[path.suffix.lower()])
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "iuf":
        raise InvalidRequest(
            f"{path}: shape {values.shape} of {values.dtype}; expected a matrix of real numbers"
        )
    return values.astype(np.float64)
