"""Probes that are fitted only where a cheap diagnostic calls for them.

A member is examined if the headline of some target of z12 is more than `SHORT` bits below its truth on
validation rows: by data processing nothing remains to be read otherwise. Then

- `rank-linear` and `rank-mlp` (normal scores, for heavy tails) are fitted if the kurtosis of a coordinate
  exceeds `HEAVY`;
- `fourier` (a linear probe on random Fourier features, for oscillating dependence) is fitted if bins of
  one coordinate hold more information than the headline reads;
- `product` (`pidlab.probes.products`) is fitted if bins of a coordinate, or of a product of up to four, hold
  more.

The rule looks at one member at a time, so that rows do not depend on the other members of a cohort.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pidlab.probes.features import FourierFeatures, normal_scores
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.posteriors import inverse_temperature, log_ratio_bits, temper
from pidlab.probes.products import find_products, fit_product
from pidlab.probes.reading import MAX_RISE, HeldOut, Reading
from pidlab.probes.whitening import whiten
from pidlab.seeds import child

# Shortfall of a headline in bits above which a member is examined.
SHORT = 0.05
# Kurtosis of heavy tails: 3 for normal coordinates, 9 for Student's t with 5 degrees of freedom.
HEAVY = 20.0

Readings = dict[str, Reading]


def add_conditional_probes(
    ladder: Ladder, readings: Readings, truths: Mapping[str, Sequence[float]]
) -> Readings:
    """Fit the conditional probes of z12.

    Args:
        ladder: The probes of all members.
        readings: Readings of z12 by target, with the probes that every member has.
        truths: Information of every member about each target, in bits; other targets are not examined.

    Returns:
        The readings with further probes.
    """
    scores = {name: readings[name].validation_headline for name in truths}
    short = {
        k: [name for name in truths if scores[name][k] < truths[name][k] - SHORT]
        for k in range(len(next(iter(scores.values()))))
    }
    short = {k: names for k, names in short.items() if names}
    if not short:
        return readings
    z = ladder.whitened(HEADLINE)
    heavy = [k for k in short if float(_kurtosis(z[0][k]).max()) > HEAVY]
    readings = _with_probes(readings, fit_features(ladder, "rank-", heavy), heavy)
    oscillating = set()
    found: dict[str, dict[int, HeldOut]] = defaultdict(dict)
    for k, names in short.items():
        rows = [part[k] for part in z]
        for name in names:
            one = readings[name]
            candidates = [
                columns
                for columns, bits in _find_products(ladder, rows[0], name, k).items()
                if bits > scores[name][k] + MAX_RISE
            ]
            fitted = [_fit_product(ladder, one, rows, name, k, c) for c in candidates]
            fitted = [f for f in fitted if f.bits > scores[name][k] + MAX_RISE]
            if fitted:
                best = max(fitted, key=lambda f: f.bits)
                found[name][k] = best.posteriors
                if len(best.columns) == 1:
                    oscillating.add(k)
    members = sorted(oscillating)
    readings = _with_probes(readings, fit_features(ladder, "fourier", members), members)
    for name, posteriors in found.items():
        held_out = tuple(torch.stack(parts) for parts in zip(*posteriors.values(), strict=True))
        readings[name] = readings[name].with_probe("product", list(posteriors), held_out)  # type: ignore[arg-type]
    return readings


def fit_features(
    ladder: Ladder,
    kind: str,
    members: Sequence[int],
    fraction: float = 1.0,
    probes: Collection[str] = ("linear", "mlp"),
) -> Readings:
    """Fit probes to features of z12 for some members.

    Args:
        ladder: The probes of all members.
        kind: `""` for whitened rows, `"rank-"` for normal scores, `"fourier"` for random Fourier features.
        members: The members.
        fraction: Fraction of the training rows.
        probes: Probes to fit; Fourier features have the linear one only.

    Returns:
        Readings by target, with the names of the probes for these features; empty without members.
    """
    if not members:
        return {}
    # Other kernels compute batches of one, with other rounding.
    chosen = list(members) if len(members) > 1 else [*members] * 2
    rows = [part[chosen] for part in ladder.whitened(HEADLINE)]
    if kind == "rank-":
        scores = [normal_scores(part, rows[0]) for part in rows]
        rank = whiten(scores[0])
        rows = [rank(part) for part in scores]
    elif kind == "fourier":
        probes = ("linear",)
        maps = [FourierFeatures(rows[0].shape[-1], ladder.seeds[k]) for k in chosen]
        rows = [torch.stack([f(z[None])[0] for f, z in zip(maps, part, strict=True)]) for part in rows]
    fitted = ladder.of_features(chosen, rows).fit_probes(HEADLINE, fraction, probes)
    return {
        name: one.renamed(lambda probe: kind if kind == "fourier" else kind + probe)
        for name, one in fitted.items()
    }


def _with_probes(readings: Readings, fitted: Readings, members: Sequence[int]) -> Readings:
    """Return the readings with the probes of some members."""
    merged = dict(readings)
    n = len(members)
    for name, one in fitted.items():
        for probe, validation, test in zip(one.probes, one.validation, one.test, strict=True):
            merged[name] = merged[name].with_probe(probe, members, (validation[:n], test[:n]))
    return merged


def _kurtosis(z: Tensor) -> Tensor:
    """Return the kurtosis of each coordinate of whitened rows."""
    fourth = z.double().pow(4).mean(0)
    return fourth / z.double().square().mean(0).square().clamp_min(1e-12)


@dataclass(frozen=True)
class _Product:
    """A fitted product probe of one member: its coordinates, posteriors and validation score in bits."""

    columns: tuple[int, ...]
    posteriors: HeldOut
    bits: float


def _find_products(ladder: Ladder, z: Tensor, name: str, k: int) -> dict[tuple[int, ...], float]:
    labels = ladder.labels[0]
    y, classes = labels.train[k, labels.names.index(name)], labels.log_prior.shape[-1]
    return find_products(z, y, classes, child(ladder.seeds[k], "products", name))


def _fit_product(
    ladder: Ladder, reading: Reading, rows: Sequence[Tensor], name: str, k: int, columns: tuple[int, ...]
) -> _Product:
    labels = ladder.labels[0]
    y_train, y = labels.train[k, labels.names.index(name)], reading.y_validation[k]
    prior = reading.log_prior[k]
    held_out = [q[None, None] for q in fit_product(rows[0], y_train, rows[1:], columns, prior)]
    prior, y = prior[None, None], y[None, None]
    inverse = inverse_temperature(held_out[0], y, prior)
    validation, test = (temper(log_q, inverse, prior) for log_q in held_out)
    bits = float(log_ratio_bits(validation, y, prior).mean())
    return _Product(columns, (validation[0, 0], test[0, 0]), bits)
