"""Class posteriors q(y|z): from scores, at a temperature, and scored in bits.

Tensors have rows in the last axis, so that a softmax over a few classes runs along contiguous memory.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.probes.splits import Labels

# Bounds of the temperature T.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 3.0
NEWTON_STEPS = 6
# Bound of ln q/p in nats: a class that a probe excludes still has a finite loss.
MIN_SCORE = -60.0


def log_posterior(
    scores: Float[Tensor, "members targets classes n"], labels: Labels
) -> Float[Tensor, "members targets classes n"]:
    """Return ln q(y|z) for q(y|z) ∝ p(y) exp(score_y).

    Args:
        scores: Scores of each class, shape (members, targets, classes, n).
        labels: Labels with the prior p.
    """
    return torch.log_softmax(scores + labels.log_prior[..., None], dim=2)


def at_label(
    values: Float[Tensor, "members targets classes n"], y: Int[Tensor, "members targets n"]
) -> Float[Tensor, "members targets n"]:
    """Return the value of each row at its own label."""
    return values.gather(2, y[:, :, None])[:, :, 0]


def log_ratio_bits(
    log_q: Float[Tensor, "members targets classes n"],
    y: Int[Tensor, "members targets n"],
    log_prior: Float[Tensor, "members targets classes"],
) -> Float[Tensor, "members targets n"]:
    """Compute log2 q(y|z) / p(y) of every held-out row, in bits.

    The mean over rows has the expectation H(Y) - CE(q), a lower bound on I(Z;Y) for any q that was
    fitted on other rows. Near 0 its variance is far smaller than that of the difference.

    Args:
        log_q: Natural log of the posterior, shape (members, targets, classes, n).
        y: True class indices, shape (members, targets, n).
        log_prior: Natural log of the exact prior, shape (members, targets, classes).

    Returns:
        Bits per row, shape (members, targets, n).

    Example:
        >>> log_q = torch.tensor([[[[0.9], [0.1]]]]).log()
        >>> prior = torch.tensor([[[0.5, 0.5]]]).log()
        >>> round(log_ratio_bits(log_q, torch.tensor([[[0]]]), prior).item(), 3)
        0.848
    """
    return (at_label(log_q, y) - log_prior.gather(2, y)) / math.log(2.0)


def temper(
    log_q: Float[Tensor, "members targets classes n"],
    inverse: Float[Tensor, "members targets"],
    log_prior: Float[Tensor, "members targets classes"],
) -> Float[Tensor, "members targets classes n"]:
    """Return ln q'(y|z) for q'(y|z) ∝ p(y) (q(y|z) / p(y))^(1/T).

    Args:
        log_q: Natural log of the posterior q, shape (members, targets, classes, n).
        inverse: Inverse temperature 1/T, shape (members, targets); 1 keeps q, 0 returns the prior.
        log_prior: Natural log of the prior p, shape (members, targets, classes).
    """
    prior = log_prior[..., None]
    return torch.log_softmax(prior + inverse[..., None, None] * _scores(log_q, prior), dim=2)


def inverse_temperature(
    log_q: Float[Tensor, "members targets classes n"],
    y: Int[Tensor, "members targets n"],
    log_prior: Float[Tensor, "members targets classes"],
    max_temperature: float = MAX_TEMPERATURE,
) -> Float[Tensor, "members targets"]:
    """Minimize the validation cross-entropy over the inverse temperature by Newton's method.

    The loss is convex in 1/T. The search starts at 1 and returns the best point it visits, so the
    result is never worse than no temperature.

    Args:
        log_q: Natural log of the posterior on validation rows, shape (members, targets, classes, n).
        y: True class indices, shape (members, targets, n).
        log_prior: Natural log of the prior, shape (members, targets, classes).
        max_temperature: Upper bound of T.

    Returns:
        1/T, with T between `MIN_TEMPERATURE` and `max_temperature`, shape (members, targets).
    """
    prior = log_prior[..., None]
    scores = _scores(log_q, prior)
    true_scores = at_label(scores, y)
    inverse = torch.ones_like(true_scores[..., 0])
    losses, visited = [], []
    for _ in range(NEWTON_STEPS):
        logits = prior + inverse[..., None, None] * scores
        log_norm = torch.logsumexp(logits, dim=2)
        q = torch.exp(logits - log_norm[:, :, None])
        mean = (q * scores).sum(2)
        # float64: the losses of the last steps differ by less than a float32 mean resolves.
        losses.append((log_norm - inverse[..., None] * true_scores).double().mean(-1))
        visited.append(inverse)
        slope = (mean - true_scores).mean(-1)
        curvature = ((q * scores.square()).sum(2) - mean.square()).mean(-1).clamp_min(1e-12)
        inverse = (inverse - slope / curvature).clamp(1.0 / max_temperature, 1.0 / MIN_TEMPERATURE)
    best = torch.stack(losses).argmin(0)
    return torch.stack(visited).gather(0, best[None])[0]


def _scores(log_q: Tensor, log_prior: Tensor) -> Tensor:
    """Return ln q/p, and 0 for classes that cannot occur."""
    possible = log_prior > -torch.inf
    return torch.where(possible, log_q - torch.where(possible, log_prior, 0.0), 0.0).clamp_min(MIN_SCORE)
