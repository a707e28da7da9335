"""Fresh rows of every split: readouts, labels and cells of every member of a cohort."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.encoders import rows_at_once
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, Sample, Target
from pidlab.io import Stopwatch
from pidlab.seeds import child

# Of float32 values, directions with less than this part of the variance (of standardised
# coordinates) are rounding noise; so are coordinates that deviate from their mean by fewer than so
# many units in its last place.
LEAST_VARIANCE, LEAST_UNITS = 1e-10, 4.0


@dataclass(frozen=True)
class Whitening:
    """An affine map fitted on training rows; the same family of linear probes, better conditioned.

    Args:
        mean: (members, 1, d).
        transform: (members, d, d); constant directions map to 0.
    """

    mean: Float[Tensor, "members 1 d"]
    transform: Float[Tensor, "members d d"]

    def __call__(self, z: Float[Tensor, "members n d"]) -> Float[Tensor, "members n d"]:
        """Centred rows of unit covariance."""
        return (z - self.mean) @ self.transform


def whiten(z: Float[Tensor, "members n d"]) -> Whitening:
    """The whitening of each member's training rows.

    Coordinates are standardised first, so that none is lost for its small scale; then the square root
    of their correlation matrix is undone.
    """
    rows = z.double()
    mean = rows.mean(1, keepdim=True)
    centred = rows - mean
    variance = centred.square().mean(1)
    varies = variance > (LEAST_UNITS * torch.finfo(z.dtype).eps * mean[:, 0]).square()
    scale = torch.where(varies, variance.rsqrt(), 0.0)
    standard = centred * scale[:, None]
    power, axes = torch.linalg.eigh(standard.mT @ standard / z.shape[1])
    inverse = torch.where(power > LEAST_VARIANCE, power.clamp_min(LEAST_VARIANCE).rsqrt(), 0.0)
    transform = scale[:, :, None] * (axes * inverse[:, None, :]) @ axes.mT
    return Whitening(mean.to(z.dtype), transform.to(z.dtype))


@dataclass(frozen=True)
class Labels:
    """Labels of several targets, padded to one number of classes.

    Args:
        names: the targets.
        log_prior: natural log of the exact prior, minus infinity for a class that cannot occur.
        train: labels of the training rows.
        validation: of the validation rows.
        test: of the test rows.
    """

    names: tuple[str, ...]
    log_prior: Float[Tensor, "members targets classes"]
    train: Int[Tensor, "members targets n"]
    validation: Int[Tensor, "members targets m"]
    test: Int[Tensor, "members targets k"]

    def first(self, n: int) -> "Labels":
        """The same with the first `n` training rows only."""
        return replace(self, train=self.train[:, :, :n])


# Rows come last, so that a softmax over a handful of classes runs along contiguous memory.


def log_posterior(
    scores: Float[Tensor, "members targets classes n"], labels: Labels
) -> Float[Tensor, "members targets classes n"]:
    """Ln q(y|z) for scores over the prior: q(y|z) ∝ p(y) exp(score_y)."""
    return torch.log_softmax(scores + labels.log_prior[..., None], dim=2)


def of_label(
    values: Float[Tensor, "members targets classes n"], y: Int[Tensor, "members targets n"]
) -> Float[Tensor, "members targets n"]:
    """Each row's value at its own label."""
    return values.gather(2, y[:, :, None])[:, :, 0]


def log_ratio_bits(
    log_q: Float[Tensor, "members targets classes n"],
    y: Int[Tensor, "members targets n"],
    log_prior: Float[Tensor, "members targets classes"],
) -> Float[Tensor, "members targets n"]:
    """log2 q(y|z) / p(y) of every held-out row, in bits.

    Its mean over rows has the expectation H(Y) - CE(q), a lower bound on I(Z;Y) for any q that was
    fitted on other rows, with far less variance than the difference has near 0. Labels are the rows'
    own: a probe's opinion of itself is not a score.
    """
    return (of_label(log_q, y) - log_prior.gather(2, y)) / math.log(2.0)


Row = dict[str, Any]


def row(
    readout: str,
    term: str,
    truth: float | None,
    score: Sequence[float],
    probe: str,
    headline: bool = True,
    converged: bool | None = None,
    quantity: str = "mi",
) -> Row:
    """A row with a score and the bounds of its interval, in bits (`pidlab.probes.data`)."""
    captured, low, high = score
    return {
        "readout": readout,
        "term": term,
        "quantity": quantity,
        "truth": truth,
        "captured": captured,
        "low": low,
        "high": high,
        "probe": probe,
        "headline": headline,
        "converged": converged,
    }


def modalities_of(readout: str, modalities: int) -> tuple[int, ...]:
    """The modalities that a readout is computed from: `z1` the first, `z2` the second, else all."""
    single = {f"z{i + 1}": (i,) for i in range(modalities)}
    return single.get(readout, tuple(range(modalities)))


# Two-sided 95 % of a normal.
Z95 = 1.959963984540054


def interval(bits: Float[Tensor, "*batch n"]) -> Float[np.ndarray, "*batch 3"]:
    r"""The mean over rows and the bounds of its 95 % interval, corrected for skewness.

    With T = √n (mean - μ) / s of sample deviation s and skewness γ, and a = γ / (3 √n),

        g(T) = T + a T² + a² T³ / 3 + a / 2

    is normal up to terms of order 1/n, where T itself is so up to 1/√n only; g grows everywhere, and
    solving g(T) = ±1.96 gives the bounds. Without skewness they are the usual ones. Scores of a bit that
    is nearly always known are skewed: most rows score 1, a few lose many bits, and a sample without its
    share of those has a mean too high and a deviation too low.

    Returns:
        (mean, low, high) along the last axis.

    Source: P. Hall, On the removal of skewness by transformation, JRSS B 54 (1992), equation for g2.
    """
    n = bits.shape[-1]
    mean, deviation = bits.mean(-1), bits.std(-1)
    centred = bits - mean[..., None]
    third = (centred * centred * centred).mean(-1)
    # From here on numpy's, whose functions give a number the same bits whatever stands beside it.
    mean, deviation, third = (moment.double().cpu().numpy() for moment in (mean, deviation, third))
    varies = deviation > 0
    cubed = deviation * deviation * deviation
    a = np.divide(third, cubed, out=np.zeros_like(third), where=varies) / (3.0 * n**0.5)
    curved = np.abs(a) > 1e-9
    found = [mean]
    for quantile in (Z95, -Z95):
        t = np.full_like(a, quantile)
        np.divide(np.cbrt(1.0 + 3.0 * a * (quantile - a / 2.0)) - 1.0, a, out=t, where=curved)
        found.append(mean - t * deviation / n**0.5)
    return np.stack(found, axis=-1)


# Rows drawn at once, fewer of large images (`rows_at_once`).
DRAW_ROWS = 4096

SPLITS = ("train", "validation", "test")

# The split that rows come from where a generator has but so many.
FINITE = {"train": "probe", "validation": "validation", "test": "test"}

Represent = Callable[[Sequence[Tensor]], dict[str, Float[Tensor, "members n _"]]]


@dataclass(frozen=True)
class Rows:
    """Rows of one split.

    Args:
        readouts: vectors by readout.
        labels: class numbers by target, and by what stands beside the targets.
        cells: every modality's symbols as one number, where the generator names them.
    """

    readouts: dict[str, Float[Tensor, "members n _"]]
    labels: dict[str, Int[Tensor, "members n"]]
    cells: tuple[Int[Tensor, "members n"], ...]


def draw(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    split: str,
    n: int,
    device: torch.device,
    clock: Stopwatch,
) -> Rows:
    """`n` rows that no encoder and no other split has seen: children `("probes", split, ...)`.

    Fewer where a generator has no more of them.

    Raises:
        InvalidRequest: a readout that is not (n, width) of each member.
    """
    stack = type(generators[0]).stack(generators)
    parts, source, most = [], "eval", rows_at_once(generators[0].modalities, DRAW_ROWS)
    if (rows := generators[0].rows(FINITE[split])) is not None:
        # No row is met twice: not in two splits, nor within one.
        n = most = min(n, rows)
        source = FINITE[split]
    for c, start in enumerate(range(0, n, most)):
        with clock("data"):
            sample: Sample = stack.sample(
                min(most, n - start),
                [child(seed, "probes", split, c) for seed in seeds],
                source,
                device,
            )
        with clock("representing"):
            n_rows = sample.x[0].shape[1]
            readouts = {name: _numbers(name, z, n_rows) for name, z in represent(sample.x).items()}
            parts.append(Rows(readouts, {**sample.targets, **sample.auxiliary_targets}, sample.cells))
    return Rows(
        {name: torch.cat([p.readouts[name] for p in parts], dim=1) for name in parts[0].readouts},
        {name: torch.cat([p.labels[name] for p in parts], dim=1) for name in parts[0].labels},
        tuple(torch.cat(cells, dim=1) for cells in zip(*(p.cells for p in parts), strict=True)),
    )


def _numbers(name: str, z: Tensor, n: int) -> Tensor:
    """The readout; of another kind than float32 its numbers keep their digits until they are whitened."""
    if z.ndim != 3 or z.shape[1] != n or z.shape[2] == 0 or z.is_complex():
        raise InvalidRequest(
            f"readout {name!r} has shape {tuple(z.shape[1:])} of {z.dtype}: expected numbers, ({n}, width)"
        )
    return z if z.dtype == torch.float32 else z.double()


def labels_of(members: Sequence[Mapping[str, Target]], splits: Sequence[Rows]) -> Labels:
    """The labels of some targets, those of every member under the same names."""
    names = tuple(members[0])
    stacked = [torch.stack([rows.labels[name] for name in names], dim=1) for rows in splits]
    priors = [[target.prior for target in member.values()] for member in members]
    return Labels(names, log_priors(priors, stacked[0].device), *stacked)


def log_priors(
    priors: Sequence[Sequence[Sequence[float]]], device: torch.device
) -> Float[Tensor, "members targets classes"]:
    """Natural logs of priors, minus infinity where there is no such class."""
    classes = max(len(prior) for prior in priors[0])
    table = torch.zeros(len(priors), len(priors[0]), classes, dtype=torch.float64)
    for k, member in enumerate(priors):
        for t, prior in enumerate(member):
            table[k, t, : len(prior)] = torch.tensor(prior, dtype=torch.float64)
    return table.log().float().to(device)
