"""Temperature: how sure a probe may be, chosen on validation rows within bounds."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.analysis.features import of_label

# Temperatures between 1/2 and 3; the search is over their inverse, in which the loss is convex.
COLDEST, HOTTEST = 0.5, 3.0
STEPS = 6
# A class that a probe excludes is taken for this unlikely, in nats, so that no row's loss is infinite.
LEAST_SCORE = -60.0


def temper(
    log_q: Float[Tensor, "members targets classes n"],
    inverse: Float[Tensor, "members targets"],
    log_prior: Float[Tensor, "members targets classes"],
) -> Float[Tensor, "members targets classes n"]:
    """Ln of q'(y|z) ∝ p(y) (q(y|z) / p(y))^(1/T): infinite T gives the prior back."""
    prior = log_prior[..., None]
    return torch.log_softmax(prior + inverse[..., None, None] * _scores(log_q, prior), dim=2)


def inverse_temperature(
    log_q: Float[Tensor, "members targets classes n"],
    y: Int[Tensor, "members targets n"],
    log_prior: Float[Tensor, "members targets classes"],
    hottest: float = HOTTEST,
) -> Float[Tensor, "members targets"]:
    """The 1/T of least cross-entropy on validation rows, T in [1/2, `hottest`], by Newton's method.

    1, which changes nothing, where no step is better than that.
    """
    prior = log_prior[..., None]
    scores = _scores(log_q, prior)
    own = of_label(scores, y)
    inverse = torch.ones_like(own[..., 0])
    losses, tried = [], []
    for _ in range(STEPS):
        logits = prior + inverse[..., None, None] * scores
        log_norm = torch.logsumexp(logits, dim=2)
        q = torch.exp(logits - log_norm[:, :, None])
        mean = (q * scores).sum(2)
        losses.append((log_norm - inverse[..., None] * own).double().mean(-1))
        tried.append(inverse)
        slope = (mean - own).mean(-1)
        curvature = ((q * scores.square()).sum(2) - mean.square()).mean(-1).clamp_min(1e-12)
        inverse = (inverse - slope / curvature).clamp(1.0 / hottest, 1.0 / COLDEST)
    best = torch.stack(losses).argmin(0)
    return torch.stack(tried).gather(0, best[None])[0]


def _scores(log_q: Tensor, log_prior: Tensor) -> Tensor:
    """Ln q/p, 0 for classes that cannot occur."""
    possible = log_prior > -torch.inf
    return torch.where(possible, log_q - torch.where(possible, log_prior, 0.0), 0.0).clamp_min(LEAST_SCORE)
