"""Captured bits of a user's own representations: finite rows, cross-fitted, without a known truth."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.probes.data import Labels, log_priors
from pidlab.probes.linear import fit_linear
from pidlab.probes.mlp import MLPProbe, average_mlps
from pidlab.probes.posteriors import inverse_temperature, log_posterior, temper
from pidlab.probes.reading import Reading, has_converged
from pidlab.probes.representations import Representations, from_arrays
from pidlab.probes.row import interval
from pidlab.probes.whitening import whiten
from pidlab.seeds import child, torch_generator

FOLDS, REFIT_FRACTION = 5, 0.25
# Rows per class: an error below the first number, a warning below the second.
MIN_PER_CLASS, FEW_PER_CLASS = 10, 100
# The MLP trains for at least MIN_STEPS steps of at most MAX_BATCH rows.
MIN_STEPS, MAX_BATCH = 600, 512


@dataclass(frozen=True)
class Estimate:
    """Bits that probes read from given representations.

    Args:
        rows: One per (target, readout, probe), with the keys target, readout, captured, low, high (bits),
            probe, converged, headline.
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
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate the information that probes read about targets from your representations, in bits.

    The estimate is the mean of log2 q(y|z)/p(y) over rows that the probe q was not fitted on. Without
    `test`, five folds are cross-fitted: each is scored by probes fitted and selected on the other four.
    With `test`, all rows fit and select probes, and only the test rows are scored. p is the frequency of
    each class in the scored rows. If class frequencies p' of the fitted rows differ, q(y|z) is
    reweighted by p(y)/p'(y). Because p is estimated, scores bound I(Z;Y) only up to its error.

    Args:
        z1: Representation of the first modality, array or tensor of shape (n, d1).
        z2: Representation of the second modality, shape (n, d2).
        y: Class labels, whole numbers or strings, shape (n,) or (n, targets).
        z12: Joint representation, shape (n, d); by default z1 and z2 concatenated.
        test: Test rows: arrays `z1`, `z2`, `y`, and `z12` if it is given above.
        seed: Seed of the folds and of the probes.

    Returns:
        One row per (target, readout, probe). Columns: target (column of y), readout, captured, low, high
        (bits, 95 % interval of the score), probe, converged (whether four times the rows raised the
        score only slightly), headline (the best probe on validation rows).

    Raises:
        InvalidRequest: If shapes do not match, values are not finite, a target has one class, or a class
            has fewer than 10 rows or no row in the fitted rows.

    Example:
        >>> import numpy as np, pidlab
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 2, 400)
        >>> z1 = y[:, None] + 0.1 * rng.normal(size=(400, 1))
        >>> table = pidlab.estimate(z1, rng.normal(size=(400, 1)), y)
        >>> table[table["headline"]].set_index("readout")["captured"].round(1).abs().to_dict()
        {'z1': 1.0, 'z2': 0.0, 'z12': 1.0}
    """
    train = from_arrays({"z1": z1, "z2": z2, "z12": z12, "y": y})
    held_out = None
    if test is not None:
        if (z12 is None) != (test.get("z12") is None):
            raise InvalidRequest("z12: only one of z12 and test['z12'] is given; give both or neither")
        held_out = from_arrays({f"{name}_test": values for name, values in test.items()}, "_test")
    result = estimate_representations(train, held_out, seed)
    for line in result.warnings:
        warnings.warn(line, stacklevel=2)
    return pd.DataFrame(result.rows)


def estimate_representations(
    train: Representations, test: Representations | None = None, seed: int = 0
) -> Estimate:
    """Estimate the information that probes read from representations; see `estimate`.

    Args:
        train: Rows to fit probes on and, without `test`, to score by cross-fitting.
        test: Rows to score.
        seed: Seed of the folds and of the probes.

    Raises:
        InvalidRequest: As in `estimate`.
    """
    classes, codes = _encode(train.y)
    if test is not None:
        _check_test(train, test)
    folds, scored = _folds(len(train.y), seed) if test is None else _one_fold(len(train.y), seed)
    log_prior = _log_frequencies(codes, classes, len(folds))
    if test is None:
        test_codes, test_prior = torch.stack([codes[:, rows] for rows in scored]), log_prior
    else:
        columns = zip(classes, test.y.T, strict=True)
        own_codes = torch.as_tensor(np.stack([np.searchsorted(names, column) for names, column in columns]))
        test_codes = own_codes[None].expand(len(folds), -1, -1)
        test_prior = _log_frequencies(own_codes, classes, len(folds))
    labels = Labels(
        tuple(str(t) for t in range(len(codes))),
        log_prior,
        torch.stack([codes[:, fit] for fit, _ in folds]),
        torch.stack([codes[:, validation] for _, validation in folds]),
        test_codes,
    )
    _check_classes(labels, classes)
    rows = []
    for name, z in train.readouts.items():
        values, test_values = _rescale(z, z if test is None else test.readouts[name])
        unseen = [values[r] for r in scored] if test is None else [test_values] * 2
        splits = [
            torch.stack([values[fit] for fit, _ in folds]),
            torch.stack([values[validation] for _, validation in folds]),
            torch.stack(unseen[: len(folds)]),
        ]
        rows += _estimate_readout(name, splits, labels, test_prior, seed)
    return Estimate(rows, _warnings(rows, classes, codes))


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
        unknown = np.setdiff1d(unseen, column)
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


# Training and validation rows of a fold.
Fold = tuple[Tensor, Tensor]


def _folds(n: int, seed: int) -> tuple[list[Fold], list[Tensor]]:
    """Return the training and validation rows of every fold, and the rows that it scores."""
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    size = n // FOLDS
    folds, scored = [], []
    for f in range(FOLDS):
        scored.append(order[f * size : (f + 1) * size])
        rest = torch.cat([order[: f * size], order[(f + 1) * size :]])
        # Rows beyond a multiple of FOLDS are never scored; rotate, so that each fold validates on others.
        rest = rest.roll(-f)
        folds.append((rest[size:], rest[:size]))
    return folds, scored


def _one_fold(n: int, seed: int) -> tuple[list[Fold], list[Tensor]]:
    """Return a single fold twice, for rows held out by the user.

    Batched kernels of one matrix differ from those of several, so a single fold is computed twice.
    """
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    return [(order[n // FOLDS :], order[: n // FOLDS])] * 2, []


def _rescale(z: np.ndarray, other: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return rows and other rows, centered and divided by the largest deviation of each column.

    The map is computed in float64: small deviations around a large mean are lost in float32.
    """
    mean = z.mean(0, dtype=np.float64)
    largest = np.abs(z - mean).max(0)
    scale = np.where(largest > 0.0, largest, 1.0)
    first, second = (torch.as_tensor(((rows - mean) / scale).astype(np.float32)) for rows in (z, other))
    return first, second


def _estimate_readout(
    name: str,
    splits: list[Tensor],
    labels: Labels,
    test_prior: Float[Tensor, "folds targets classes"],
    seed: int,
) -> list[dict[str, Any]]:
    """Return a row per target and probe of one readout."""
    full, quarter = (_fit_probes(splits, labels, part, seed) for part in (1.0, REFIT_FRACTION))
    rows = []
    for t, (reading, refitted) in enumerate(zip(full, quarter, strict=True)):
        best = int(_pool(reading).headline[0])
        pooled, fewer = (_pool(_reweight(test_prior[:, t], each)) for each in (reading, refitted))
        flags = has_converged(pooled, fewer)[:, 0].tolist()
        scores = interval(pooled.bits)[:, 0].tolist()
        for p, probe in enumerate(reading.probes):
            captured, low, high = scores[p]
            rows.append(
                {
                    "target": t,
                    "readout": name,
                    "captured": captured,
                    "low": low,
                    "high": high,
                    "probe": probe,
                    "converged": bool(flags[p]),
                    "headline": best == p,
                }
            )
    return rows


def _fit_probes(splits: list[Tensor], labels: Labels, fraction: float, seed: int) -> list[Reading]:
    """Fit a linear probe and an MLP in all folds at once; return the reading of every target."""
    n = round(fraction * splits[0].shape[1])
    whitening = whiten(splits[0])
    train, *held_out = (whitening(z) for z in splits)
    first = labels.with_first_rows(n)
    scores = fit_linear(train[:, :n], first)
    batch = max(1, min(MAX_BATCH, n // 8))
    # Few rows: more epochs, for a minimum number of steps; validation picks one of ten snapshots.
    epochs = max(8, math.ceil(MIN_STEPS / (n // batch)))
    probe = MLPProbe(batch=batch, epochs=epochs, snapshots=10, since=0.0)
    posteriors = {
        "linear": [log_posterior(scores(z), labels) for z in held_out],
        "mlp": average_mlps(train[:, :n], held_out, first, [seed] * len(train), probe, 1),
    }
    tempered = {}
    for name, log_q in posteriors.items():
        # No upper bound: with about as many columns as rows a probe can overfit completely, and an
        # infinite temperature returns the prior.
        inverse = inverse_temperature(log_q[0], labels.validation, labels.log_prior, math.inf)
        tempered[name] = [temper(q, inverse, labels.log_prior) for q in log_q]
    return [
        Reading(
            tuple(tempered),
            tuple(validation[:, t] for validation, _ in tempered.values()),
            tuple(test[:, t] for _, test in tempered.values()),
            labels.validation[:, t],
            labels.test[:, t],
            labels.log_prior[:, t],
        )
        for t in range(len(labels.names))
    ]


def _reweight(log_prior: Float[Tensor, "folds classes"], reading: Reading) -> Reading:
    """Return the reading of test rows whose class frequencies are `log_prior`."""
    change = torch.where(log_prior > -torch.inf, log_prior - reading.log_prior, -torch.inf)[..., None]
    test = tuple(torch.log_softmax(log_q + change, dim=1) for log_q in reading.test)
    return replace(reading, test=test, log_prior=log_prior)


def _pool(reading: Reading) -> Reading:
    """Return all folds as one member; the two equal folds of `_one_fold` count once."""
    y = reading.y_test
    folds = 1 if len(y) == 2 else len(y)

    def joined(log_q: Tensor) -> Tensor:
        return torch.cat([*log_q[:folds]], dim=-1)[None]

    return Reading(
        reading.probes,
        tuple(joined(log_q) for log_q in reading.validation),
        tuple(joined(log_q) for log_q in reading.test),
        torch.cat([*reading.y_validation[:folds]])[None],
        torch.cat([*y[:folds]])[None],
        reading.log_prior[:1],
    )


def _warnings(rows: list[dict[str, Any]], classes: Sequence[np.ndarray], codes: Tensor) -> list[str]:
    """Return a line for each reason for caution."""
    lines = []
    for t, names in enumerate(classes):
        rarest = int(codes[t].bincount().min())
        if rarest < FEW_PER_CLASS:
            lines.append(
                f"target {t}: its rarest class has {rarest} rows ({codes.shape[1]} rows, {len(names)} "
                f"classes); below {FEW_PER_CLASS} rows per class scores are far below the information"
            )
    slow = [
        f"{r['readout']} about target {r['target']}" for r in rows if r["headline"] and not r["converged"]
    ]
    if slow:
        lines.append(f"lower bound, not converged (more rows would raise it): {', '.join(slow)}")
    return lines
