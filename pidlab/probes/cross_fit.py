"""Captured bits of a user's own representations: finite rows, cross-fitted, without a known truth."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.probes.cautions import dependence_warnings, row_warnings, score_warnings
from pidlab.probes.finite_probes import MIN_PER_CLASS, Problem, estimate_readout
from pidlab.probes.folds import Fold, contiguous_blocks, held_out_folds, make_folds
from pidlab.probes.representations import Representations, from_arrays
from pidlab.probes.splits import Labels, log_priors
from pidlab.seeds import child, torch_generator

# Rows used of a larger file; they bound memory and time.
MAX_ROWS = 100_000


@dataclass(frozen=True)
class Estimate:
    """Bits that probes read from given representations.

    Args:
        rows: One per (target, readout, probe), with the keys target, readout, captured, low, high (bits),
            probe, converged, headline, accuracy, balanced_accuracy.
        warnings: One line for each reason for caution.
    """

    rows: list[dict[str, Any]]
    warnings: list[str]


def estimate(
    z1: Any,
    z2: Any,
    y: Any,
    *,
    z12: Any = None,
    test: Mapping[str, Any] | None = None,
    groups: Any = None,
    blocks: bool = False,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate the information that probes read about targets from your representations, in bits.

    The estimate is the mean of log2 q(y|z)/p(y) over rows that the probe q was not fitted on. Without
    `test`, five folds are cross-fitted: each is scored by probes fitted and selected on the other four.
    With `test`, all rows fit and select probes, and only the test rows are scored. p is the frequency of
    each class in the scored rows. If class frequencies p' of the fitted rows differ, q(y|z) is
    reweighted by p(y)/p'(y). Because p is estimated, scores bound I(Z;Y) only up to its error.

    The probes are `linear` and `mlp` on whitened rows, `rank-linear` and `rank-mlp` on the normal scores
    of each coordinate (for heavy tails), and `fourier`, a linear probe on random Fourier features (for
    oscillating dependence). Reasons for caution are issued as warnings.

    Args:
        z1: Representation of the first modality, array or tensor of shape (n, d1).
        z2: Representation of the second modality, shape (n, d2).
        y: Class labels, whole numbers or strings, shape (n,) or (n, targets); one-hot rows are one target.
        z12: Joint representation, shape (n, d); by default z1 and z2 concatenated.
        test: Test rows: arrays `z1`, `z2`, `y`, and `z12` or `groups` if given above.
        groups: Group of each row, shape (n,). Rows of one group (repeated measurements, one subject) are
            never both fitted and scored, and the interval is over groups.
        blocks: Whether rows are a time series; contiguous blocks of rows are used as groups.
        max_rows: Rows used of more; the others are left out at random.
        seed: Seed of the folds and of the probes.

    Returns:
        One row per (target, readout, probe). Columns: target (column of y), readout, captured, low, high
        (bits, 95 % interval of the score), probe, converged (False if four times the rows raised the
        score, if the score is negative, or if the probes are too weak), headline (the best probe on
        validation rows), accuracy, balanced_accuracy.

    Raises:
        InvalidRequest: If shapes do not match, values are not finite, a target has one class, or a class
            has fewer than 10 rows or no row in the fitted rows.

    Example:
        >>> import numpy as np, pidlab
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 2, 1000)
        >>> z1 = y[:, None] + 0.1 * rng.normal(size=(1000, 1))
        >>> table = pidlab.estimate(z1, rng.normal(size=(1000, 1)), y)
        >>> table[table["headline"]].set_index("readout")["captured"].round(1).abs().to_dict()
        {'z1': 1.0, 'z2': 0.0, 'z12': 1.0}
    """
    train = from_arrays({"z1": z1, "z2": z2, "z12": z12, "y": y, "groups": groups})
    held_out = None
    if test is not None:
        if (z12 is None) != (test.get("z12") is None):
            raise InvalidRequest("z12: only one of z12 and test['z12'] is given; give both or neither")
        held_out = from_arrays({f"{name}_test": values for name, values in test.items()}, "_test")
    result = estimate_representations(train, held_out, seed, blocks, max_rows)
    for line in result.warnings:
        warnings.warn(line, stacklevel=2)
    return pd.DataFrame(result.rows)


def estimate_representations(
    train: Representations,
    test: Representations | None = None,
    seed: int = 0,
    blocks: bool = False,
    max_rows: int = MAX_ROWS,
    report: Callable[[str], object] | None = None,
) -> Estimate:
    """Estimate the information that probes read from representations; see `estimate`.

    Args:
        train: Rows to fit probes on and, without `test`, to score by cross-fitting.
        test: Rows to score.
        seed: Seed of the folds and of the probes.
        blocks: Whether contiguous blocks of rows are the groups.
        max_rows: Rows used of more.
        report: Function that gets one line of progress before the probes of each readout are fitted.

    Raises:
        InvalidRequest: As in `estimate`.
    """
    if max_rows < 1000:
        raise InvalidRequest(f"--max-rows {max_rows}: must be at least 1000")
    if blocks:
        if train.groups is not None:
            raise InvalidRequest("--blocks: the rows already have groups; give either of them")
        train = replace(train, groups=contiguous_blocks(len(train.y)))
    lines = row_warnings(train, test, max_rows)
    train = _subsample(train, max_rows, child(seed, "rows", "train")).with_z12()
    classes, codes = _encode(train.y)
    if test is not None:
        test = _subsample(test, max_rows, child(seed, "rows", "test")).with_z12()
        _check_test(train, test)
        columns = zip(classes, test.y.T, strict=True)
        scored_codes = torch.as_tensor(
            np.stack([np.searchsorted(names, column) for names, column in columns])
        )
    else:
        scored_codes = codes
    make = make_folds if test is None else held_out_folds
    folds = make(len(train.y), train.groups, seed)
    log_prior = _log_frequencies(codes, classes, len(folds))
    labels = Labels(
        tuple(str(t) for t in range(len(codes))),
        log_prior,
        torch.stack([codes[:, fold.train] for fold in folds]),
        torch.stack([codes[:, fold.validation] for fold in folds]),
        torch.stack([codes[:, fold.test] if test is None else scored_codes for fold in folds]),
    )
    _check_classes(labels, classes)
    lines += dependence_warnings(train, test, classes, codes, scored_codes)
    groups = train.groups if test is None else test.groups
    if groups is not None and test is None:
        groups = np.concatenate([groups[fold.test.numpy()] for fold in folds])
    problem = Problem(
        labels, _log_frequencies(scored_codes, classes, len(folds)), groups, train.precision, seed
    )
    rows = []
    for i, (name, z) in enumerate(train.readouts.items()):
        if report is not None:
            report(f"fitting probes to {name} ({i + 1} of {len(train.readouts)}), {z.shape[1]} columns")
        splits = _split(z, None if test is None else test.readouts[name], folds)
        readout_rows, low_power = estimate_readout(name, splits, problem)
        rows += readout_rows
        if low_power is not None:
            lines.append(
                f"{name}: its probes read only {low_power:.2f} bit of a planted XOR of 1 bit; a low value "
                "does not show that there is no information; give more rows or fewer columns"
            )
    return Estimate(rows, lines + score_warnings(rows, classes, codes))


def _subsample(representations: Representations, max_rows: int, seed: int) -> Representations:
    """Return at most `max_rows` rows, drawn at random and in their order."""
    n = len(representations.y)
    if n <= max_rows:
        return representations
    chosen = torch.randperm(n, generator=torch_generator(seed))[:max_rows].sort().values
    return representations.take(chosen.numpy())


def _split(z: np.ndarray, test: np.ndarray | None, folds: list[Fold]) -> list[Tensor]:
    """Return training, validation and test rows of every fold, in units of each column's largest deviation.

    They stay in float64: small deviations around a large mean are lost in float32.
    """
    mean = z.mean(0, dtype=np.float64)
    largest = np.abs(z - mean).max(0)
    scale = np.where(largest > 0.0, largest, 1.0)
    values = torch.as_tensor(np.asarray((z - mean) / scale, dtype=np.float64))
    if test is None:
        scored = torch.stack([values[fold.test] for fold in folds])
    else:
        scored = torch.as_tensor(np.asarray((test - mean) / scale, dtype=np.float64)).expand(
            len(folds), -1, -1
        )
    return [
        torch.stack([values[fold.train] for fold in folds]),
        torch.stack([values[fold.validation] for fold in folds]),
        scored,
    ]


def _encode(y: np.ndarray) -> tuple[list[np.ndarray], Tensor]:
    """Return the classes of every target and the class indices, shape (targets, n)."""
    classes, codes = [], []
    for t, column in enumerate(y.T):
        names, indices, counts = np.unique(column, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise InvalidRequest(f"y: target {t} has {len(names)} class; give two or more classes")
        if counts.min() < MIN_PER_CLASS:
            raise InvalidRequest(
                f"y: class {names[counts.argmin()]} of target {t} has {counts.min()} rows; merge rare "
                f"classes or give at least {MIN_PER_CLASS} rows per class"
            )
        classes.append(names)
        codes.append(indices.reshape(-1))
    return classes, torch.as_tensor(np.stack(codes))


def _log_frequencies(
    codes: Tensor, classes: Sequence[np.ndarray], folds: int
) -> Float[Tensor, "folds targets classes"]:
    """Return the logarithm of class frequencies, equal in all folds."""
    counts = [np.bincount(c, minlength=len(names)) for names, c in zip(classes, codes.numpy(), strict=True)]
    return log_priors([[list(c / c.sum()) for c in counts]] * folds, codes.device)


def _check_test(train: Representations, test: Representations) -> None:
    """Check that test rows have the columns and classes of the training rows."""
    for name, z in train.readouts.items():
        columns = test.readouts[name].shape[1]
        if columns != z.shape[1]:
            raise InvalidRequest(
                f"{name}_test: has {columns} columns but {name} has {z.shape[1]}; give the same columns"
            )
    if test.y.shape[1] != train.y.shape[1]:
        raise InvalidRequest(
            f"y_test: has {test.y.shape[1]} targets but y has {train.y.shape[1]}; give the same targets"
        )
    if len(test.y) < 2:
        raise InvalidRequest(f"y_test: has {len(test.y)} rows; give at least two")
    for t, (column, unseen) in enumerate(zip(train.y.T, test.y.T, strict=True)):
        present = np.unique(unseen)
        if len(present) < 2:
            raise InvalidRequest(
                f"y_test: target {t} has only class {present[0]}, of entropy 0; give two classes or more"
            )
        unknown = np.setdiff1d(present, column)
        if len(unknown):
            raise InvalidRequest(
                f"y_test: class {unknown[0]} of target {t} is not in y; remove its rows or add some to y"
            )


def _check_classes(labels: Labels, classes: Sequence[np.ndarray]) -> None:
    """Check that every fold has every class among its training rows."""
    for t, names in enumerate(classes):
        for member in labels.train[:, t]:
            missing = np.setdiff1d(np.arange(len(names)), member.numpy())
            if len(missing):
                raise InvalidRequest(
                    f"y: class {names[missing[0]]} of target {t} is missing from the training rows of a "
                    "fold; give more rows of it"
                )
