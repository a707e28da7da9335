"""A rigorous bracket of BROJA's union information from any approximate solution."""

import math

import torch
from jaxtyping import Bool, Float

Tensor = torch.Tensor
TINY = torch.finfo(torch.float64).tiny
# Relative error granted to every sum below: logarithms, products and cascaded sums stay well within.
ROUNDING = 64 * torch.finfo(torch.float64).eps


def feasible(
    q: Float[Tensor, "b n1 n2 ny"], p1: Float[Tensor, "b n1 ny"], p2: Float[Tensor, "b n2 ny"]
) -> Float[Tensor, "b n1 n2 ny"]:
    """A non-negative law near `q` with q(x1,y) = p1 and q(x2,y) = p2.

    Rows, then columns are scaled down to their targets; what is missing is added as one rank-one term per y
    (Altschuler, Weed and Rigollet 2017, Algorithm 2).
    """
    q = q * (p1 / q.sum(2).clamp_min(TINY)).clamp_max(1.0)[:, :, None]
    q = q * (p2 / q.sum(1).clamp_min(TINY)).clamp_max(1.0)[:, None]
    missing1 = (p1 - q.sum(2)).clamp_min(0.0)
    missing2 = (p2 - q.sum(1)).clamp_min(0.0)
    share = missing1 / missing1.sum(1, keepdim=True).clamp_min(TINY)
    return q + share[:, :, None] * missing2[:, None]


def upper_bound(q: Float[Tensor, "b n1 n2 ny"]) -> Float[Tensor, "b"]:
    """-H_q(Y|X1,X2) = sum q log2(q / q12) of a feasible law, in bits, rounding allowed for."""
    q12 = q.sum(-1, keepdim=True).clamp_min(TINY)
    value = torch.special.xlogy(q, q / q12).sum((1, 2, 3))
    return (value + ROUNDING * (1.0 + value.abs())) / math.log(2.0)


def lower_bound(
    alpha: Float[Tensor, "b n1 ny"],
    beta: Float[Tensor, "b n2 ny"],
    p1: Float[Tensor, "b n1 ny"],
    p2: Float[Tensor, "b n2 ny"],
) -> Float[Tensor, "b"]:
    """A bound from below on the least -H_q(Y|X1,X2), in bits, valid for any `alpha`, `beta`.

    <alpha, p1> + <beta, p2> - sum_x1 p(x1) max_x2 log sum_y exp(alpha + beta): weak duality at the point
    made feasible by lowering alpha; the better of it and of the one that lowers beta. Rounding is allowed
    for. Cells of `alpha` and `beta` without mass hold 0 and are taken as -inf.
    """
    alpha_masked = torch.where(p1 > 0, alpha, -torch.inf)
    beta_masked = torch.where(p2 > 0, beta, -torch.inf)
    excess = torch.logsumexp(alpha_masked[:, :, None] + beta_masked[:, None], -1)
    objective = (p1 * alpha).sum((1, 2)) + (p2 * beta).sum((1, 2))
    lower1 = objective - (p1.sum(-1) * excess.amax(2).nan_to_num(neginf=0.0)).sum(1)
    lower2 = objective - (p2.sum(-1) * excess.amax(1).nan_to_num(neginf=0.0)).sum(1)
    allowance = ROUNDING * (1.0 + (p1 * alpha.abs()).sum((1, 2)) + (p2 * beta.abs()).sum((1, 2)))
    return (torch.maximum(lower1, lower2) - allowance) / math.log(2.0)


def completed(
    alpha: Float[Tensor, "b n1 ny"],
    beta: Float[Tensor, "b n2 ny"],
    p1: Float[Tensor, "b n1 ny"],
    p2: Float[Tensor, "b n2 ny"],
    kept1: Bool[Tensor, "b n1 ny"],
    kept2: Bool[Tensor, "b n2 ny"],
) -> tuple[Float[Tensor, "b n1 ny"], Float[Tensor, "b n2 ny"]]:
    """Values of alpha and beta for cells that were too light to solve for.

    With alpha = log p(y|x1) - max beta, such a cell raises sum_y exp(alpha + beta) by at most p(y|x1).
    """
    top = torch.where(kept1, alpha, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
    beta = torch.where(kept2, beta, _log_conditional(p2) - top)
    alpha = torch.where(kept1, alpha, _log_conditional(p1) - beta.amax(1, keepdim=True))
    return torch.where(p1 > 0, alpha, 0.0), torch.where(p2 > 0, beta, 0.0)


def _log_conditional(p: Float[Tensor, "b n ny"]) -> Float[Tensor, "b n ny"]:
    return torch.log(p.clamp_min(TINY) / p.sum(-1, keepdim=True).clamp_min(TINY))
