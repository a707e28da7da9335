"""Probes of one readout with finitely many rows, in all folds at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from pidlab.probes.cautions import MIN_SCORE
from pidlab.probes.controls import MIN_POWER
from pidlab.probes.features import FourierFeatures, normal_scores
from pidlab.probes.linear import fit_linear
from pidlab.probes.mlp import MLPProbe, average_mlps
from pidlab.probes.posteriors import inverse_temperature, log_posterior, log_ratio_bits, temper
from pidlab.probes.products import find_products, fit_product
from pidlab.probes.reading import Reading, has_converged
from pidlab.probes.row import Z95, interval
from pidlab.probes.splits import Labels, log_priors
from pidlab.probes.whitening import whiten, whiten_precisely
from pidlab.seeds import child, torch_generator

# Fewer rows of a class are refused.
MIN_PER_CLASS = 10
# Fraction of the training rows of the convergence check.
REFIT_FRACTION = 0.25
# The MLP trains for at least MIN_STEPS steps of at most MAX_BATCH rows.
MIN_STEPS, MAX_BATCH = 600, 512
# A headline below LOW_SCORE bits counts as absence of information only if the probes read at least
# `MIN_POWER` of the one bit of a planted XOR.
LOW_SCORE = 0.05
# A more flexible probe must lead by at least this many bits on validation rows.
MIN_LEAD = 0.005


@dataclass(frozen=True)
class Problem:
    """Targets of all folds.

    Args:
        labels: Labels of the folds.
        test_prior: Logarithm of class frequencies of the scored rows.
        groups: Group of each scored row, folds concatenated, or None.
        precision: Relative spacing of the given numbers.
        seed: Seed of the probes.
    """

    labels: Labels
    test_prior: Float[Tensor, "folds targets classes"]
    groups: np.ndarray | None
    precision: float
    seed: int


def estimate_readout(
    name: str, splits: list[Tensor], problem: Problem
) -> tuple[list[dict[str, Any]], float | None]:
    """Return a row per target and probe of one readout, and the power of its probes if that is too low."""
    features = _features(splits, problem)
    full, quarter = (
        _fit_probes(features, problem.labels, part, problem.seed) for part in (1.0, REFIT_FRACTION)
    )
    rows = []
    for t, (reading, refitted) in enumerate(zip(full, quarter, strict=True)):
        best = _select(_pool(reading).validation_bits[:, 0])
        pooled, fewer = (_pool(_reweight(problem.test_prior[:, t], each)) for each in (reading, refitted))
        flags = has_converged(pooled, fewer)[:, 0].tolist()
        scores = _intervals(pooled.bits[:, 0], problem.groups)
        accuracies = pooled.accuracies[:, 0].tolist()
        for p, probe in enumerate(reading.probes):
            captured, low, high = scores[p]
            is_negative = captured < min(MIN_SCORE, -3.0 * (high - captured) / Z95)
            accuracy, balanced = accuracies[p]
            rows.append(
                {
                    "target": t,
                    "readout": name,
                    "captured": captured,
                    "low": low,
                    "high": high,
                    "probe": probe,
                    "converged": bool(flags[p]) and not is_negative,
                    "headline": best == p,
                    "accuracy": accuracy,
                    "balanced_accuracy": balanced,
                }
            )
    for row in rows:
        if (
            row["headline"]
            and row["captured"] < _product_bits(features[""], problem, row["target"]) - LOW_SCORE
        ):
            row["converged"] = False
    low_rows = [row for row in rows if row["headline"] and abs(row["captured"]) < LOW_SCORE]
    power = _power(splits, features, problem) if low_rows else None
    if power is None or power >= MIN_POWER:
        return rows, None
    for row in low_rows:
        row["converged"] = False
    return rows, power


def _select(bits: Float[Tensor, "probes n"]) -> int:
    """Return the first probe whose validation score is within a standard error of the best one.

    Probes are in the order of their flexibility. Few validation rows do not tell good probes apart, and
    among these a simpler one loses less on the scored rows.
    """
    best = bits.mean(-1).argmax()
    lead = bits[best] - bits
    # Scores of an almost certain label hardly vary, so that their standard error says nothing.
    is_close = lead.mean(-1) <= (lead.std(-1) / bits.shape[-1] ** 0.5).clamp_min(MIN_LEAD)
    return int(is_close.int().argmax())


def _intervals(bits: Float[Tensor, "probes n"], groups: np.ndarray | None) -> list[list[float]]:
    """Return the mean and its 95 % interval for each probe, over rows or over groups of rows."""
    if groups is None:
        return interval(bits).tolist()
    codes = torch.as_tensor(np.unique(groups, return_inverse=True)[1].reshape(-1))
    count = int(codes.max()) + 1
    # Scaled sums of groups: their mean is the mean over rows.
    sums = torch.zeros(len(bits), count, dtype=bits.dtype).index_add_(1, codes, bits) * count / bits.shape[1]
    mean, low, high = interval(sums).T
    # Few groups: quantiles of t instead of the normal distribution.
    widen = stats.t.ppf(0.975, count - 1) / Z95
    return np.stack([mean, mean - (mean - low) * widen, mean + (high - mean) * widen], axis=-1).tolist()


def _features(splits: list[Tensor], problem: Problem) -> dict[str, list[Tensor]]:
    """Return the whitened rows, their whitened normal scores, and their Fourier features, by kind."""
    precise = whiten_precisely(splits[0], problem.precision)
    folds = range(len(splits[0]))
    # One fold at a time: the temporary float64 tensors of all folds would dominate the memory.
    whitened = [
        torch.stack([((z[f] - precise.mean[f]) @ precise.transform[f]).float() for f in folds])
        for z in splits
    ]
    scores = [
        torch.cat([normal_scores(z[f : f + 1], splits[0][f : f + 1]).float() for f in folds]) for z in splits
    ]
    rank = whiten(scores[0])
    fourier = FourierFeatures(splits[0].shape[-1], problem.seed)
    return {
        "": whitened,
        "rank-": [rank(z) for z in scores],
        "fourier": [fourier(z) for z in whitened],
    }


def _fit_probes(
    features: Mapping[str, list[Tensor]], labels: Labels, fraction: float, seed: int
) -> list[Reading]:
    """Fit every probe in all folds at once; return the reading of every target."""
    n = round(fraction * features[""][0].shape[1])
    first = labels.with_first_rows(n)
    batch = max(1, min(MAX_BATCH, n // 8))
    # Few rows: more epochs, for a minimum number of steps; validation picks one of ten snapshots.
    epochs = max(8, math.ceil(MIN_STEPS / (n // batch)))
    settings = MLPProbe(batch=batch, epochs=epochs, snapshots=10, since=0.0)
    posteriors: dict[str, list[Tensor]] = {}
    for kind, (train, *held_out) in features.items():
        scores = fit_linear(train[:, :n], first)
        linear = "fourier" if kind == "fourier" else f"{kind}linear"
        posteriors[linear] = [log_posterior(scores(z), labels) for z in held_out]
        if kind != "fourier":
            posteriors[f"{kind}mlp"] = average_mlps(
                train[:, :n], held_out, first, [seed] * len(train), settings, 1
            )
    probes: dict[str, list[Tensor]] = {}
    for name, log_q in posteriors.items():
        # No upper bound: with about as many columns as rows a probe can overfit completely, and an
        # infinite temperature returns the prior.
        inverse = inverse_temperature(log_q[0], labels.validation, labels.log_prior, math.inf)
        probes[name] = [temper(q, inverse, labels.log_prior) for q in log_q]
    return [
        Reading.of(labels, t, {name: (q[0][:, t], q[1][:, t]) for name, q in probes.items()})
        for t in range(len(labels.names))
    ]


def _product_bits(whitened: Sequence[Tensor], problem: Problem, target: int) -> float:
    """Return the bits that bins of the best coordinate, or product of up to four, read on validation rows.

    The search and the fit use the first fold.
    """
    labels = problem.labels
    y, log_prior = labels.train[0, target], labels.log_prior[0, target]
    seed = child(problem.seed, "products", target)
    found = find_products(whitened[0][0], y, len(log_prior), seed)
    scores = []
    for columns in found:
        (log_q,) = fit_product(whitened[0][0], y, [whitened[1][0]], columns, log_prior)
        y_validation = labels.validation[:1, target][None]
        scores.append(float(log_ratio_bits(log_q[None, None], y_validation, log_prior[None, None]).mean()))
    return max(scores)


def _power(splits: list[Tensor], features: Mapping[str, list[Tensor]], problem: Problem) -> float | None:
    """Return the bits that the same probes read of a planted XOR of 1 bit, from the same rows.

    The planted label is the XOR of the signs of two random projections of the normal scores; in one
    dimension the second sign is replaced by |z| against its median.

    Returns:
        The captured bits, or None if the readout is constant.
    """
    scores = features["rank-"]
    d = scores[0].shape[-1]
    generator = torch_generator(child(problem.seed, "planted"))
    axes = torch.randn(d, 2, generator=generator)
    codes = []
    for z in scores:
        a, b = (z @ axes).unbind(-1)
        codes.append(((a > 0) ^ ((b > 0) if d > 1 else (z[..., 0].abs() > 0.6745))).long()[:, None])
    counts = [torch.stack([1 - code, code]).flatten(1).sum(1) for code in codes]
    if any(int(count.min()) < MIN_PER_CLASS for count in counts):
        return None
    shares = (counts[0] / counts[0].sum()).tolist()
    log_prior = log_priors([[shares]] * len(splits[0]), codes[0].device)
    reading = _fit_probes(features, Labels(("planted",), log_prior, *codes), 1.0, problem.seed)[0]
    return float(_pool(reading).headline_bits.mean())


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
