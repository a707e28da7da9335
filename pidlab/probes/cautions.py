"""Reasons to distrust an estimate: few, repeated, consecutive or shifted rows, and unsettled scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pidlab.probes.representations import Representations

# Rows per class below which scores are far below the information.
FEW_PER_CLASS = 100
# A score below this, and below 0 by three standard errors, is that of a posterior that does not hold.
MIN_SCORE = -0.05

# Rows with exact copies are reported, unless there are at most this many different rows: a discrete code.
MAX_CODES = 64
# Lag-1 autocorrelation above which rows are reported as a time series.
MAX_AUTOCORRELATION = 0.2
# Shift of class means, in within-class standard deviations, above which test rows are reported.
MAX_SHIFT = 1.0
# A difference from chance that is reported has at least this many standard errors.
SIGNIFICANT = 6.0


def row_warnings(train: Representations, test: Representations | None, max_rows: int) -> list[str]:
    """Return warnings about the given rows, before any are left out."""
    lines = []
    if train.is_one_hot:
        lines.append("y: its one-hot rows count as one target; give class indices to avoid this line")
    for part, name in ((train, ""), (test, "_test")):
        if part is not None and len(part.y) > max_rows:
            lines.append(f"y{name}: {max_rows} of {len(part.y)} rows are used; raise --max-rows to use more")
    return lines


def dependence_warnings(
    train: Representations,
    test: Representations | None,
    classes: Sequence[np.ndarray],
    codes: Tensor,
    scored_codes: Tensor,
) -> list[str]:
    """Return warnings about rows that are not independent draws of one distribution."""
    lines = []
    z = train.readouts[list(train.readouts)[-1]]
    if train.groups is None:
        scored = [] if test is None else [test.readouts[list(test.readouts)[-1]]]
        if (share := copied_share(z, *scored)) > 0:
            lines.append(
                f"z12: {share:.0%} of the rows have an exact copy, so that scored rows may be fitted too; "
                "give `groups` if they are repeated measurements, or remove the copies"
            )
        if test is None and any(
            is_time_series(z, column, len(names))
            for names, column in zip(classes, codes.numpy(), strict=True)
        ):
            lines.append(
                "rows: consecutive rows resemble each other, as in a time series, so that scored rows are "
                "similar to fitted ones; use --blocks (blocks=True) or give `groups`"
            )
    if test is None:
        return lines
    for name in train.readouts:
        shift = max(
            class_shift((train.readouts[name], own), (test.readouts[name], other), len(names))
            for names, own, other in zip(classes, codes.numpy(), scored_codes.numpy(), strict=True)
        )
        if shift:
            lines.append(
                f"{name}_test: rows are shifted from those of {name} by {shift:.1f} standard deviations "
                "within a class; compute both with the same model and preprocessing"
            )
    return lines


def score_warnings(rows: list[dict[str, Any]], classes: Sequence[np.ndarray], codes: Tensor) -> list[str]:
    """Return warnings about scores that are too low."""
    lines = []
    for t, names in enumerate(classes):
        rarest = int(codes[t].bincount().min())
        if rarest < FEW_PER_CLASS:
            lines.append(
                f"target {t}: its rarest class has {rarest} rows ({codes.shape[1]} rows, {len(names)} "
                f"classes); below {FEW_PER_CLASS} rows per class scores are far below the information"
            )
    unsettled = [row for row in rows if row["headline"] and not row["converged"]]
    for is_negative, line in (
        (False, "lower bound, not converged (more rows would raise it)"),
        (True, "negative score, the fitted probe does not apply to the scored rows"),
    ):
        named = [
            f"{row['readout']} about target {row['target']}"
            for row in unsettled
            if (row["captured"] < MIN_SCORE) == is_negative
        ]
        if named:
            lines.append(f"{line}: {', '.join(named)}")
    return lines


def copied_share(*rows: np.ndarray) -> float:
    """Return the share of rows that equal another row, over all arrays together.

    Args:
        *rows: Arrays of shape (n, d) with equal d.
    """
    joined = np.ascontiguousarray(np.concatenate(rows, dtype=np.float64))
    _, counts = np.unique(
        joined.view(np.dtype((np.void, joined.dtype.itemsize * joined.shape[1]))), return_counts=True
    )
    return 0.0 if len(counts) <= MAX_CODES else float(counts[counts > 1].sum() / len(joined))


def is_time_series(z: np.ndarray, codes: np.ndarray, classes: int) -> bool:
    """Return whether consecutive rows resemble each other in both the labels and the representation.

    The representation is compared after subtraction of class means, so that independent rows sorted by
    class are not reported.

    Args:
        z: Representation, shape (n, d).
        codes: Class indices in the order of the rows, shape (n,).
        classes: Number of classes.
    """
    n = len(codes)
    frequencies = np.bincount(codes, minlength=classes) / n
    chance = float(np.square(frequencies).sum())
    agreement = float((codes[1:] == codes[:-1]).mean())
    if agreement - chance < max(0.1 * (1.0 - chance), SIGNIFICANT * (chance * (1.0 - chance) / n) ** 0.5):
        return False
    residual, spread = _within_class(z, codes, classes)
    residual = residual[:, spread > 0] / spread[spread > 0]
    if not residual.shape[1]:
        return False
    lagged = (residual[1:] * residual[:-1]).mean(0)
    return float(lagged.mean()) > max(MAX_AUTOCORRELATION, SIGNIFICANT / n**0.5)


def class_shift(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: int
) -> float:
    """Return the largest significant shift of a class mean, in within-class standard deviations.

    Args:
        train: Representation (n, d) and class indices (n,) of the rows that fit probes.
        test: The same of the rows that are scored.
        classes: Number of classes.
    """
    _, spread = _within_class(*train, classes)
    varies = spread > 1e-9 * np.abs(train[0]).max(0)
    largest = 0.0
    for c in range(classes):
        own, other = (z[codes == c][:, varies].astype(np.float64) for z, codes in (train, test))
        if not len(other) or not own.shape[1]:
            continue
        means = (z.mean(0, dtype=np.float64) for z in (own, other))
        shift = np.abs(np.subtract(*means)) / spread[varies]
        error = (1.0 / len(own) + 1.0 / len(other)) ** 0.5
        if float(shift.max()) > max(MAX_SHIFT, SIGNIFICANT * error):
            largest = max(largest, float(shift.max()))
    return largest


def _within_class(z: np.ndarray, codes: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows minus their class mean, and the standard deviation of the difference by column."""
    residual = z.astype(np.float64)
    for c in range(classes):
        rows = codes == c
        if rows.any():
            residual[rows] -= residual[rows].mean(0)
    return residual, residual.std(0)
