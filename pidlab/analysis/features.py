"""What probes are given: whitened readouts and labels, split, for many representations at once."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

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
