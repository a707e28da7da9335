"""Decompositions of samples with confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.stats import norm, random_table

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.info.columns import encode, read_columns
from pidlab.info.measures import MEASURES, decompose
from pidlab.info.pmf import joint_information
from pidlab.info.pmf_files import MASS, VARIABLES, Symbols, read_file

RESAMPLES = 400
# Tables with more outcomes are resampled fewer times, because each solution takes longer.
FEW_RESAMPLES, FEW_OUTCOMES = 100, 1024
SHUFFLES = 200
# Outcomes of the largest table that is resampled; the solver takes seconds per resample beyond.
MOST_OUTCOMES = 2**14
# Numeric columns with more distinct values, in more than a quarter of the rows, count as continuous.
MOST_DISTINCT = 32
# Names of columns that hold the number of samples of a row.
COUNT_NAMES = ("count", "counts", "freq", "frequency", "n", "weight", "weights")
TOTAL = "total"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of (X1, X2, Y) as symbol indices.

    Args:
        codes: Symbol indices of X1, X2 and Y from 0, one row per row of the file, shape (n, 3).
        symbols: Symbols of X1, X2 and Y.
        weights: Number of samples of each row, shape (n,).
        groups: Group index of each row, shape (n,); None for independent rows.
    """

    codes: Int[np.ndarray, "n 3"]
    symbols: Symbols
    weights: Int[np.ndarray, " n"] | None = None
    groups: Int[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class SampleDecomposition:
    """Estimated decomposition of the law behind n samples of (X1, X2, Y), in bits.

    Args:
        plug_in: Decomposition of the relative frequencies. Its bias is about cells / n bits where cells are
            sparse, and mostly upwards in the synergy.
        corrected: `plug_in` minus the bootstrap estimate of its bias.
        low: Lower end of the 95 % interval of each term and of the total.
        high: Upper end of these intervals.
        p_value: Share of shuffles of Y, the samples included, with at least the same total: a test of
            I(X1,X2;Y) = 0. None for grouped samples.
        n: Number of samples.
        cells: Number of outcomes (x1, x2, y), empty ones included. None for continuous samples.
    """

    plug_in: Decomposition
    corrected: Decomposition
    low: dict[str, float]
    high: dict[str, float]
    p_value: float | None
    n: int
    cells: int | None

    @property
    def n_per_cell(self) -> float:
        """Samples per outcome; below about 5 the bias is large and its correction is rough."""
        return self.n / self.cells if self.cells else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: the plug-in decomposition with its correction, intervals and counts."""
        cells = {"cells": self.cells, "samples_per_cell": self.n_per_cell} if self.cells else {}
        return {
            **self.plug_in.to_dict(),
            "samples": self.n,
            **cells,
            "corrected": self.corrected.to_dict(),
            "low": self.low,
            "high": self.high,
            "p_value_total": self.p_value,
        }


def decompose_samples(
    samples: Int[np.ndarray, "n 3"],
    measure: str = "broja",
    *,
    weights: Int[np.ndarray, " n"] | None = None,
    groups: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
    resamples: int | None = None,
) -> SampleDecomposition:
    """Decompose the empirical law of samples, with bias correction and bootstrap intervals.

    With f the plug-in value and f* its values on bootstrap resamples, the corrected value is c = 2 f -
    mean(f*) and the interval is c ± 1.96 sd(f*) (Efron & Tibshirani 1993, chapter 10), cut at 0 for terms
    that cannot be negative. `tests/coverage_of_intervals.py` measures the coverage. With redundancy, the
    errors of plug-in unique terms are of order 1 / sqrt(n). With shuffled targets they are of order 1 / n, so
    shuffling gives no valid test of a single term.

    Args:
        samples: Symbol indices of X1, X2 and Y from 0, one row per sample, shape (n, 3).
        measure: Definition of redundancy, as in `decompose`.
        weights: Number of samples of each row, shape (n,); default 1.
        groups: Group index of each row, shape (n,); groups are resampled instead of samples.
        seed: Seed of the resamples and shuffles.
        resamples: Number of bootstrap resamples; default 400, or 100 for more than 1,024 outcomes.

    Returns:
        The estimates in bits.

    Raises:
        InvalidRequest: If there are fewer than two samples or groups, too many outcomes, or the measure is
            unknown.

    Example:
        >>> copies = np.array([[0, 0, 0], [1, 1, 1]] * 50)
        >>> found = decompose_samples(copies, "mmi")
        >>> found.plug_in.redundant, found.low["unique1"], found.p_value < 0.05
        (1.0, 0.0, True)
    """
    weights = np.ones(len(samples), dtype=np.int64) if weights is None else weights
    n = int(weights.sum())
    if n < 2:
        raise InvalidRequest(f"{n} sample: a decomposition of samples needs 2 or more")
    shape = tuple(int(n) + 1 for n in samples.max(0))
    if math.prod(shape) > MOST_OUTCOMES:
        sizes = " x ".join(map(str, shape))
        raise InvalidRequest(
            f"{sizes} symbols of X1, X2, Y make {math.prod(shape)} outcomes (at most {MOST_OUTCOMES}); merge "
            "symbols, or use --bins for numeric columns"
        )
    resamples = resamples or (RESAMPLES if math.prod(shape) <= FEW_OUTCOMES else FEW_RESAMPLES)
    rng = np.random.default_rng(seed)
    cells = np.asarray(np.ravel_multi_index(tuple(samples.T), shape))
    counts = np.bincount(cells, weights, minlength=math.prod(shape))
    if groups is None:
        drawn = rng.multinomial(n, counts / n, size=resamples).astype(np.float64)
    else:
        drawn = _resample_groups(cells, weights, groups, counts.size, resamples, rng)
    plug_in = decompose(counts.reshape(shape), measure, normalize=True)
    boot = decompose(drawn.reshape(-1, *shape), measure, normalize=True)

    p_value = None if groups is not None else _independence_p_value(counts.reshape(shape), rng)
    return summarize_bootstrap(plug_in, boot, n, counts.size, p_value)


def summarize_bootstrap(
    plug_in: Decomposition,
    boot: Decomposition,
    n: int,
    cells: int | None = None,
    p_value: float | None = None,
) -> SampleDecomposition:
    """Correct the bias of a decomposition and compute 95 % intervals from bootstrap resamples.

    Args:
        plug_in: Decomposition of the samples.
        boot: Decompositions of the resamples, terms of shape (resamples,).
        n: Number of samples.
        cells: Number of outcomes.
        p_value: Result of the test of I(X1,X2;Y) = 0.

    Returns:
        The estimates in bits.
    """
    values = {**plug_in.terms, TOTAL: plug_in.total}
    resampled = {**boot.terms, TOTAL: boot.total}
    corrected = {name: 2.0 * float(values[name]) - float(np.mean(resampled[name])) for name in values}
    half = {name: float(norm.isf(0.025) * np.std(resampled[name], ddof=1)) for name in values}
    least = 0.0 if MEASURES[plug_in.measure].nonnegative else -math.inf
    floors = {**dict.fromkeys(TERMS, least), TOTAL: 0.0}
    return SampleDecomposition(
        plug_in,
        Decomposition(
            *(corrected[term] for term in TERMS),
            measure=plug_in.measure,
            how="samples, bias corrected by the bootstrap",
            gap=2.0 * float(plug_in.gap) + float(np.mean(boot.gap)),
        ),
        {name: max(corrected[name] - half[name], floors[name]) for name in values},
        {name: max(corrected[name] + half[name], floors[name]) for name in values},
        p_value,
        n,
        cells,
    )


def _resample_groups(
    cells: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    size: int,
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resamples cells"]:
    """Draw whole groups with replacement and count the samples in each cell."""
    number = int(groups.max()) + 1
    if number < 2:
        raise InvalidRequest("--groups: all rows are in one group; intervals need 2 groups or more")
    table = csr_array((weights.astype(np.float64), (groups, cells)), shape=(number, size))
    times = rng.multinomial(number, np.full(number, 1.0 / number), size=resamples)
    return np.asarray((table.T @ times.T).T)


def _independence_p_value(counts: Float[np.ndarray, "n1 n2 ny"], rng: np.random.Generator) -> float:
    """Test I(X1,X2;Y) = 0 by random tables with the same margins, which is the law of shuffled targets."""
    table = counts.reshape(-1, counts.shape[-1]).astype(np.int64)
    sources, targets = table.sum(1), table.sum(0)
    shuffled = random_table.rvs(sources, targets, size=SHUFFLES, random_state=rng).astype(np.float64)
    n = counts.sum()
    null = joint_information(shuffled.reshape(SHUFFLES, *counts.shape) / n)
    rounding = 1e-9  # ties are exact only up to rounding
    return float((1 + np.sum(null >= joint_information(counts / n) - rounding)) / (SHUFFLES + 1))


def read_samples(
    path: Path | str,
    columns: Sequence[str] = (),
    *,
    weights: str | None = None,
    groups: str | None = None,
    bins: int | None = None,
) -> Samples:
    """Read samples from a CSV file, one row per sample.

    Args:
        path: Path of the file.
        columns: Names of the columns of X1, X2 and Y; default x1, x2, y.
        weights: Name of a column with the number of samples of each row.
        groups: Name of a column that identifies dependent rows, such as a subject.
        bins: Number of bins of equal mass into which numeric columns with more distinct values are cut.

    Returns:
        The samples.

    Raises:
        InvalidRequest: If the file cannot be read, a column or value is missing, a column is continuous
            without ``bins``, or an option is out of range.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise InvalidRequest(f"{path}: samples are read from a .csv file with columns {', '.join(VARIABLES)}")
    if bins is not None and bins < 2:
        raise InvalidRequest(f"--bins {bins}: must be at least 2")
    names = tuple(columns) or VARIABLES
    extra = [name for name in (weights, groups) if name]
    if len(set(names)) < 3:
        raise InvalidRequest(f"--columns {','.join(names)}: expected three different columns")
    for option, name in (("--weights", weights), ("--groups", groups)):
        if name in names:
            raise InvalidRequest(f"{option} {name}: is one of X1, X2 and Y; name another column")
    texts, others = read_file(path, lambda path: read_columns(path, [*names, *dict.fromkeys(extra)]))
    _check_others(path, others, weights)
    number = _whole_numbers(path, weights, texts[weights]) if weights else None
    group = encode(path, {groups: texts[groups]})[0][:, 0] if groups else None
    coded = [_encode_column(path, name, texts[name], number, bins) for name in names]
    return Samples(np.stack([c for c, _ in coded], 1), tuple(s for _, s in coded), number, group)


def _check_others(path: Path, others: Sequence[str], weights: str | None) -> None:
    """Refuse files whose unused columns show that rows are not single samples."""
    counts = [name for name in others if name.lower() in COUNT_NAMES]
    if counts and weights is None:
        raise InvalidRequest(
            f"{path}: there is a column {counts[0]}; if it counts samples, use --weights {counts[0]}"
        )
    if MASS in others and weights is None:
        raise InvalidRequest(f"{path}: there is a column {MASS}; omit --samples to read probabilities")


def _whole_numbers(path: Path, name: str, texts: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Parse a column of counts."""
    numbers = pd.to_numeric(pd.Series(list(texts)), errors="coerce").to_numpy(dtype=np.float64)
    is_wrong = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.round(numbers)) & (numbers <= 2**53))
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise InvalidRequest(
            f"{path}: line {row + 2}: {name} is {texts[row]!r}; expected a whole number from 0"
        )
    return numbers.astype(np.int64)


def _encode_column(
    path: Path, name: str, texts: Sequence[str], weights: np.ndarray | None, bins: int | None
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Encode a column; cut a numeric column into bins, and refuse a continuous one without `bins`."""
    row, unique = pd.factorize(np.asarray(texts, dtype=object))
    numbers = pd.to_numeric(pd.Series(unique), errors="coerce").to_numpy(dtype=np.float64)
    is_numeric = bool(np.isfinite(numbers).all())
    if bins is not None and is_numeric and len(unique) > bins:
        return _cut(numbers[row], weights, bins)
    if len(unique) > max(MOST_DISTINCT, len(texts) / 4):
        hint = "cut it into bins with --bins 4" if is_numeric else "choose other columns with --columns"
        if is_numeric and bins is not None:
            hint = f"--bins {bins} does not cut it; use fewer, such as --bins 4"
        kind = "continuous" if is_numeric else "a name for each row"
        raise InvalidRequest(
            f"{path}: column {name} has {len(unique)} distinct values in {len(texts)} rows and seems to be "
            f"{kind}; {hint}"
        )
    codes, symbols = encode(path, {name: texts})
    return codes[:, 0], symbols[0]


def _cut(
    numbers: Float[np.ndarray, " n"], weights: np.ndarray | None, bins: int
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Cut numbers into bins of equal mass; equal numbers share a bin."""
    values, place = np.unique(numbers, return_inverse=True)
    mass = np.bincount(place, weights)
    # A value belongs to the bin that contains the middle of its share of the mass.
    middle = np.cumsum(mass) - mass / 2.0
    bin_of_value = np.minimum((bins * middle / mass.sum()).astype(np.int64), bins - 1)
    _, first, index = np.unique(bin_of_value, return_index=True, return_inverse=True)
    return index[place], tuple(f"from {values[i]:g}" for i in first)
