"""A rigorous bracket of BROJA's union information from any approximate solution."""

import math

import torch
from jaxtyping import Bool, Float

Tensor = torch.Tensor
TINY = torch.finfo(torch.float64).tiny
# Relative error granted to every sum below: logarithms, products and cascaded sums stay well within.
ROUNDING = 64 * torch.finfo(torch.float64).eps


def feasible(
    q: Float[Tensor, "n1 n2 ny b"], p1: Float[Tensor, "n1 ny b"], p2: Float[Tensor, "n2 ny b"]
) -> Float[Tensor, "n1 n2 ny b"]:
    """A non-negative law near `q` with q(x1,y) = p1 and q(x2,y) = p2.

    Rows, then columns are scaled down to their targets; what is missing is added as one rank-one term per y
    (Altschuler, Weed and Rigollet 2017, Algorithm 2).
    """
    q = q * (p1 / q.sum(1).clamp_min(TINY)).clamp_max(1.0)[:, None]
    q = q * (p2 / q.sum(0).clamp_min(TINY)).clamp_max(1.0)
    missing1 = (p1 - q.sum(1)).clamp_min(0.0)
    missing2 = (p2 - q.sum(0)).clamp_min(0.0)
    share = missing1 / missing1.sum(0).clamp_min(TINY)
    return q + share[:, None] * missing2


def upper_bound(q: Float[Tensor, "n1 n2 ny b"]) -> Float[Tensor, "b"]:
    """-H_q(Y|X1,X2) = sum q log2(q / q12) of a feasible law, in bits, rounding allowed for."""
    q12 = q.sum(2, keepdim=True).clamp_min(TINY)
    value = (q * (q / q12).clamp_min(TINY).log()).sum((0, 1, 2))
    return (value + ROUNDING * (1.0 + value.abs())) / math.log(2.0)


def lower_bound(
    alpha: Float[Tensor, "n1 ny b"],
    beta: Float[Tensor, "n2 ny b"],
    p1: Float[Tensor, "n1 ny b"],
    p2: Float[Tensor, "n2 ny b"],
) -> Float[Tensor, "b"]:
    """A bound from below on the least -H_q(Y|X1,X2), in bits, valid for any `alpha`, `beta`.

    <alpha, p1> + <beta, p2> - sum_x1 p(x1) max_x2 log sum_y exp(alpha + beta): weak duality at the point
    made feasible by lowering alpha; the better of it and of the one that lowers beta. Rounding is allowed
    for. Cells of `alpha` and `beta` without mass hold 0 and are taken as -inf.
    """
    alpha_masked = torch.where(p1 > 0, alpha, -torch.inf)
    beta_masked = torch.where(p2 > 0, beta, -torch.inf)
    excess = torch.logsumexp(alpha_masked[:, None] + beta_masked, 2)
    objective = (p1 * alpha).sum((0, 1)) + (p2 * beta).sum((0, 1))
    lower1 = objective - (p1.sum(1) * excess.amax(1).nan_to_num(neginf=0.0)).sum(0)
    lower2 = objective - (p2.sum(1) * excess.amax(0).nan_to_num(neginf=0.0)).sum(0)
    allowance = ROUNDING * (1.0 + (p1 * alpha.abs()).sum((0, 1)) + (p2 * beta.abs()).sum((0, 1)))
    return (torch.maximum(lower1, lower2) - allowance) / math.log(2.0)


def completed(
    alpha: Float[Tensor, "n1 ny b"],
    beta: Float[Tensor, "n2 ny b"],
    p1: Float[Tensor, "n1 ny b"],
    p2: Float[Tensor, "n2 ny b"],
    kept1: Bool[Tensor, "n1 ny b"],
    kept2: Bool[Tensor, "n2 ny b"],
) -> tuple[Float[Tensor, "n1 ny b"], Float[Tensor, "n2 ny b"]]:
    """Values of alpha and beta for cells that were too light to solve for.

    With alpha = log p(y|x1) - max beta, such a cell raises sum_y exp(alpha + beta) by at most p(y|x1).
    """
    if kept1.all() and kept2.all():
        return alpha, beta
    top = torch.where(kept1, alpha, -torch.inf).amax(0).nan_to_num(neginf=0.0)
    beta = torch.where(kept2, beta, _log_conditional(p2) - top)
    alpha = torch.where(kept1, alpha, _log_conditional(p1) - beta.amax(0))
    return torch.where(p1 > 0, alpha, 0.0), torch.where(p2 > 0, beta, 0.0)


def _log_conditional(p: Float[Tensor, "n ny b"]) -> Float[Tensor, "n ny b"]:
    return torch.log(p.clamp_min(TINY) / p.sum(1, keepdim=True).clamp_min(TINY))
