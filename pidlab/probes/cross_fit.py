"""Captured bits of a user's own representations: finite data, cross-fitted, no truth beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.probes.data import Labels, interval, log_posterior, log_priors, whiten
from pidlab.probes.ladder import Reading, converged, inverse_temperature, temper
from pidlab.probes.linear import fit_linear
from pidlab.probes.mlp import MLPProbe, average_mlps
from pidlab.seeds import child, torch_generator

FOLDS, QUARTER = 5, 0.25
# Rows per class: fewer are refused; fewer than the second number are warned of.
LEAST_PER_CLASS, FEW_PER_CLASS = 10, 100
STEPS, LARGEST_BATCH = 600, 512


@dataclass(frozen=True)
class Estimate:
    """Bits that probes read from given readouts.

    Args:
        rows: per (target, readout, probe): target, readout, captured, low, high (bits), probe, converged,
            headline.
        warnings: what to be careful of, a line each.
    """

    rows: list[dict[str, Any]]
    warnings: list[str]


def estimate(
    readouts: Mapping[str, np.ndarray],
    y: Int[np.ndarray, "n targets"],
    test: tuple[Mapping[str, np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of log2 q(y|z)/p(y) over rows that q was not fitted on, in bits.

    Five folds: each is scored by probes that were fitted and chosen on the other four. With `test`, all
    of the rows fit and choose, and only the test rows are scored. p is the frequency of each class in the
    rows that are scored: an estimate too, so the scores are not bounds on I(Z;Y) to the last digit. Where
    classes are of other frequencies p' in the rows that fit, q(y|z) is brought to p by p(y)/p'(y).

    Args:
        readouts: (n, d) numbers by name.
        y: class numbers of one target per column.
        test: rows held out by the user.
        seed: of the folds and the probes.

    Raises:
        InvalidRequest: lengths that differ, values that are not finite, a target of one class, a class
            of fewer than 10 rows or absent from the rows that fit a probe.
    """
    check(readouts, y)
    coded = _coded(y, "y")
    if test is not None:
        check(*test)
        _check_alike(readouts, y, *test)
    folds, scored = _folds(len(y), seed) if test is None else _held_out(len(y), seed)
    codes = torch.as_tensor(np.stack([codes for _, codes in coded]))
    priors = [list(np.bincount(c, minlength=len(names)) / len(c)) for names, c in coded]
    log_prior = log_priors([priors] * len(folds), codes.device)
    if test is None:
        test_codes, test_prior = torch.stack([codes[:, rows] for rows in scored]), log_prior
    else:
        own = [np.searchsorted(names, column) for (names, _), column in zip(coded, test[1].T, strict=True)]
        test_codes = torch.as_tensor(np.stack(own))[None].expand(len(folds), -1, -1)
        shares = [list(np.bincount(c, minlength=len(p)) / len(c)) for c, p in zip(own, priors, strict=True)]
        test_prior = log_priors([shares] * len(folds), codes.device)
    labels = Labels(
        tuple(str(t) for t in range(codes.shape[0])),
        log_prior,
        torch.stack([codes[:, train] for train, _ in folds]),
        torch.stack([codes[:, validation] for _, validation in folds]),
        test_codes,
    )
    _check_present(labels, [names for names, _ in coded])
    rows = []
    for name, z in readouts.items():
        values, held_out = _scaled(z, z if test is None else test[0][name])
        unseen = [values[r] for r in scored] if test is None else [held_out] * 2
        parts = [
            torch.stack([values[train] for train, _ in folds]),
            torch.stack([values[validation] for _, validation in folds]),
            torch.stack(unseen[: len(folds)]),
        ]
        rows += _rows(name, parts, labels, test_prior, seed)
    return Estimate(rows, _warnings(rows, coded))


def _scaled(z: np.ndarray, other: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows, and others, less the mean of the first and over their largest deviation, by column.

    In float64, for what varies little about a large mean, or is tiny, is lost in float32.
    """
    mean = z.mean(0, dtype=np.float64)
    most = np.abs(z - mean).max(0)
    scale = np.where(most > 0.0, most, 1.0)
    first, second = (torch.as_tensor(((rows - mean) / scale).astype(np.float32)) for rows in (z, other))
    return first, second


def check(readouts: Mapping[str, np.ndarray], y: np.ndarray) -> None:
    """Checks the shapes and values of rows.

    Raises:
        InvalidRequest: see `estimate`.
    """
    for name, z in readouts.items():
        if z.ndim != 2 or z.shape[1] == 0 or z.dtype.kind not in "biuf":
            raise InvalidRequest(
                f"{name} has shape {z.shape} of {z.dtype}: expected numbers in n rows, d columns"
            )
        if len(z) != len(y):
            raise InvalidRequest(f"{name} has {len(z)} rows but y has {len(y)}: expected as many")
        if not (sound := np.abs(z) <= np.finfo(np.float32).max).all():
            row = int(np.argwhere(~sound)[0][0])
            raise InvalidRequest(
                f"{name} is not finite (or beyond float32) in row {row}: drop or mend such rows"
            )
    if y.shape[1] == 0:
        raise InvalidRequest("y has no column: expected one target or more")


def _coded(y: np.ndarray, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every target its classes and each row's place among them."""
    found = []
    for t, column in enumerate(y.T):
        names, codes, counts = np.unique(column, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise InvalidRequest(f"target {t} of {name} has {len(names)} class: expected two or more")
        if counts.min() < LEAST_PER_CLASS:
            raise InvalidRequest(
                f"class {names[counts.argmin()]} of target {t} has {counts.min()} rows: "
                f"{LEAST_PER_CLASS} or more per class are needed; merge rare classes or bring more rows"
            )
        found.append((names, codes.reshape(-1)))
    return found


def _check_alike(
    readouts: Mapping[str, np.ndarray], y: np.ndarray, held_out: Mapping[str, np.ndarray], y_test: np.ndarray
) -> None:
    for name, z in readouts.items():
        if held_out[name].shape[1] != z.shape[1]:
            raise InvalidRequest(
                f"{name} has {z.shape[1]} columns but {name}_test {held_out[name].shape[1]}: expected as many"
            )
    if y_test.shape[1] != y.shape[1]:
        raise InvalidRequest(f"y has {y.shape[1]} targets but y_test {y_test.shape[1]}: expected as many")
    if len(y_test) < 2:
        raise InvalidRequest(f"y_test has {len(y_test)} rows: expected two or more")
    for t, (column, unseen) in enumerate(zip(y.T, y_test.T, strict=True)):
        alien = np.setdiff1d(unseen, column)
        if len(alien):
            raise InvalidRequest(f"class {alien[0]} of target {t} is in y_test but not in y")


def _check_present(labels: Labels, classes: Sequence[np.ndarray]) -> None:
    for t, names in enumerate(classes):
        for member in labels.train[:, t]:
            missing = np.setdiff1d(np.arange(len(names)), member.numpy())
            if len(missing):
                raise InvalidRequest(
                    f"class {names[missing[0]]} of target {t} is missing from the rows that fit a probe: "
                    "bring more rows of it"
                )


Split = tuple[Tensor, Tensor]


def _folds(n: int, seed: int) -> tuple[list[Split], list[Tensor]]:
    """Training and validation rows of every fold, and the rows it scores."""
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    size = n // FOLDS
    folds, scored = [], []
    for f in range(FOLDS):
        scored.append(order[f * size : (f + 1) * size])
        rest = torch.cat([order[: f * size], order[(f + 1) * size :]])
        rest = rest.roll(-f)
        folds.append((rest[size:], rest[:size]))
    return folds, scored


def _held_out(n: int, seed: int) -> tuple[list[Split], list[Tensor]]:
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    # Two alike: a batch of one would take other kernels than a batch.
    return [(order[n // FOLDS :], order[: n // FOLDS])] * 2, []


def _rows(
    name: str,
    parts: list[Tensor],
    labels: Labels,
    test_prior: Float[Tensor, "folds targets classes"],
    seed: int,
) -> list[dict[str, Any]]:
    full, quarter = (_read(parts, labels, part, seed) for part in (1.0, QUARTER))
    rows = []
    for t, (reading, less) in enumerate(zip(full, quarter, strict=True)):
        best = int(_pooled(reading).headline[0])
        pooled, fewer = (_pooled(_brought_to(test_prior[:, t], each)) for each in (reading, less))
        flags = converged(pooled, fewer)[:, 0].tolist()
        scores = interval(pooled.bits)[:, 0].tolist()
        for p, probe in enumerate(reading.rungs):
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


def _read(parts: list[Tensor], labels: Labels, part: float, seed: int) -> list[Reading]:
    """What a linear probe and an MLP read about every target, fold by fold side by side."""
    n = round(part * parts[0].shape[1])
    white = whiten(parts[0])
    train, *held_out = (white(z) for z in parts)
    few = labels.first(n)
    scores = fit_linear(train[:, :n], few)
    batch = max(1, min(LARGEST_BATCH, n // 8))
    probe = MLPProbe(batch=batch, epochs=max(8, math.ceil(STEPS / (n // batch))), snapshots=10, since=0.0)
    seeds = [seed] * len(train)
    fits = {
        "linear": [log_posterior(scores(z), labels) for z in held_out],
        "mlp": average_mlps(train[:, :n], held_out, few, seeds, probe, 1),
    }
    tempered = {}
    for rung, found in fits.items():
        # Rows that are hardly more than coordinates are learnt by heart: such a probe may be no use at all.
        inverse = inverse_temperature(found[0], labels.validation, labels.log_prior, math.inf)
        tempered[rung] = [temper(log_q, inverse, labels.log_prior) for log_q in found]
    return [
        Reading(
            tuple(tempered),
            tuple(found[0][:, t] for found in tempered.values()),
            tuple(found[1][:, t] for found in tempered.values()),
            labels.validation[:, t],
            labels.test[:, t],
            labels.log_prior[:, t],
        )
        for t in range(len(labels.names))
    ]


def _brought_to(log_prior: Float[Tensor, "folds classes"], reading: Reading) -> Reading:
    """What q says of test rows whose classes have other frequencies than those it was fitted on."""
    change = torch.where(log_prior > -torch.inf, log_prior - reading.log_prior, -torch.inf)[..., None]
    test = tuple(torch.log_softmax(log_q + change, dim=1) for log_q in reading.test)
    return replace(reading, test=test, log_prior=log_prior)


def _pooled(reading: Reading) -> Reading:
    """All folds as one: their rows are disjoint. Folds that score the same rows count once."""
    y = reading.y_test
    folds = 1 if len(y) == 2 else len(y)

    def joined(log_q: Tensor) -> Tensor:
        return torch.cat([*log_q[:folds]], dim=-1)[None]

    return Reading(
        reading.rungs,
        tuple(joined(log_q) for log_q in reading.validation),
        tuple(joined(log_q) for log_q in reading.test),
        torch.cat([*reading.y_validation[:folds]])[None],
        torch.cat([*y[:folds]])[None],
        reading.log_prior[:1],
    )


def _warnings(rows: list[dict[str, Any]], coded: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    found = []
    for t, (names, codes) in enumerate(coded):
        least = int(np.bincount(codes).min())
        if least < FEW_PER_CLASS:
            found.append(
                f"target {t}: {least} rows in its rarest class ({len(codes)} rows, {len(names)} classes): "
                f"below {FEW_PER_CLASS} a class the scores lie far under what is there"
            )
    slow = [
        f"{r['readout']} about target {r['target']}" for r in rows if r["headline"] and not r["converged"]
    ]
    if slow:
        found.append(f"lower bound, not converged (more rows would raise it): {', '.join(slow)}")
    return found
