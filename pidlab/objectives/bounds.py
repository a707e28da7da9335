"""Bounds on mutual information as functions of a critic's scores. In nats.

F[i, j] = f(a_i, b_j) scores row i of A against row j of B; the diagonal holds the true pairs. With
`allowed[i, j]` the pairs are restricted to those of one class, which makes every bound one on I(A;B|C):
the product distribution that pairs are held against is then p(a|c) p(b|c). A critic of a conditional
bound must be given c as well, or it can only see what pairs share whatever the class is.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def infonce(scores: Float[Tensor, "n n"], allowed: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """InfoNCE, a lower bound on I(A;B) capped at log n (van den Oord et al. 2018; Poole et al. 2019).

    mean_i F_ii - mean_j [log sum_i exp F_ij - log n]: each b_j has every a_i as a candidate, its own
    included. With `allowed` the candidates of j are the rows of its class, and n is their number.

    Args:
        scores: F.
        allowed: which rows i are candidates of j; all by default.
    """
    if allowed is None:
        normaliser = torch.logsumexp(scores, 0) - math.log(scores.shape[0])
    else:
        candidates = scores.masked_fill(~allowed, -math.inf)
        normaliser = torch.logsumexp(candidates, 0) - allowed.to(scores).sum(0).log()
    return scores.diagonal().mean() - normaliser.mean()


def infonce_of_classes(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """InfoNCE of A and a class label Y, from n times k scores instead of n times n.

    The same number as `infonce(scores[:, y])`: columns of equal class have equal normalisers.

    Args:
        scores: f(a_i, class c).
        y: the class of every row.
    """
    normaliser = torch.logsumexp(scores, 0) - math.log(scores.shape[0])
    return (scores.gather(1, y[:, None])[:, 0] - normaliser[y]).mean()


def club(scores: Float[Tensor, "n n"], allowed: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """CLUB of a critic: mean_i F_ii - mean_ij F_ij (Cheng et al. 2020, arXiv 2006.12013).

    NCE-CLUB is its value at the critic that maximises `infonce` (FactorCL, arXiv 2306.05268, Eq. 10).
    With that critic at its optimum it is KL(p‖q) + KL(q‖p), joint against product: an upper bound on I,
    never tight unless I = 0.

    Args:
        scores: F.
        allowed: which rows i the mean over pairs takes for j; all by default.
    """
    if allowed is None:
        return scores.diagonal().mean() - scores.mean()
    weight = allowed.to(scores)
    weight = weight / weight.sum(0)
    return scores.diagonal().mean() - (weight * scores).sum(0).mean()


def nwj(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """NWJ, a lower bound on I(A;B): mean_i F_ii - mean_(i≠j) exp(F_ij - 1) (Nguyen et al. 2010).

    Args:
        scores: F; the bound is tight at F = 1 + log p(a, b) / p(a) p(b).
    """
    n = scores.shape[0]
    joint = scores.diagonal()
    product = torch.exp(scores - 1.0).sum() - torch.exp(joint - 1.0).sum()
    return joint.mean() - product / (n * (n - 1))


def same_class(y: Int[Tensor, " n"]) -> Bool[Tensor, "n n"]:
    """Which pairs of rows have one label."""
    return y[:, None] == y[None, :]
