"""Structured rungs: probes that know how a target is made of two ingredients, one in each modality."""

import torch
from jaxtyping import Float
from torch import Tensor

# Larger alphabets have too few rows per class to be probed.
MOST_CLASSES = 64


def of_pair(
    log_q: Float[Tensor, "members pairs n"], law: Float[Tensor, "members a b classes"]
) -> Float[Tensor, "members classes n"]:
    """Ln q(y|z) = ln Σ_ab q(a, b|z) p(y|a, b): a softmax over pairs of ingredients, marginalised.

    A linear one reads an XOR from a representation in which both of its bits are linear.

    Args:
        log_q: ln q(a, b|z), the pair as one number a·|b| + b.
        law: p(a, b, y); pairs that cannot occur count nothing.
    """
    given = law / law.sum(-1, keepdim=True).clamp_min(torch.finfo(law.dtype).tiny)
    return _log(given.flatten(1, 2).mT @ log_q.exp())


def of_experts(
    log_q1: Float[Tensor, "members n1 n"],
    log_q2: Float[Tensor, "members n2 n"],
    law: Float[Tensor, "members n1 n2 classes"],
) -> Float[Tensor, "members classes n"]:
    """Ln q(y|z1, z2) with q ∝ Σ p(c1, c2, y) q(c1|z1)/p(c1) · q(c2|z2)/p(c2): a product of experts.

    Bayes' rule, exact for exact experts where z1 and z2 are independent given the cells c1, c2 of
    their modalities, and each depends on its own cell only. With c = (r, u, s) this is
    p(r,u1,s1|z1) p(r,u2,s2|z2) / p(r), marginalised. Wrong where noise is shared: validation decides.

    Args:
        log_q1: ln q(c1|z1).
        log_q2: ln q(c2|z2).
        law: p(c1, c2, y).
    """
    first = _over_prior(log_q1, law.sum((2, 3)))
    second = _over_prior(log_q2, law.sum((1, 3)))
    n2, classes = law.shape[2:]
    partial = law.flatten(2).mT @ first
    joint = (partial.unflatten(1, (n2, classes)) * second[:, :, None]).sum(1)
    return torch.log_softmax(_log(joint), dim=1)


def _over_prior(log_q: Tensor, prior: Tensor) -> Tensor:
    """q(c|z)/p(c), 0 for cells that cannot occur."""
    return torch.where(prior > 0, 1.0 / prior.clamp_min(1e-30), 0.0)[..., None] * log_q.exp()


def _log(q: Tensor) -> Tensor:
    return q.clamp_min(torch.finfo(q.dtype).tiny).log()
