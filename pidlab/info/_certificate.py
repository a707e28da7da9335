"""A rigorous bracket of BROJA's union information from any approximate solution."""

import math

import torch
from jaxtyping import Bool, Float

Tensor = torch.Tensor
TINY = torch.finfo(torch.float64).tiny
# Relative error granted to every sum below: logarithms, products and cascaded sums stay well within.
ROUNDING = 64 * torch.finfo(torch.float64).eps


def feasible(q: Float[Tensor, "n1 n2 ny b"], p: Float[Tensor, "cells ny b"]) -> Float[Tensor, "n1 n2 ny b"]:
    """A non-negative law near `q` with q(x1,y) above q(x2,y) = p.

    Rows, then columns are scaled down to their targets; what is missing is added as one rank-one term per y
    (Altschuler, Weed and Rigollet 2017, Algorithm 2).
    """
    p1, p2 = p[: len(q)], p[len(q) :]
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
    potential: Float[Tensor, "cells ny b"], p: Float[Tensor, "cells ny b"], n1: int
) -> Float[Tensor, "b"]:
    """A bound from below on the least -H_q(Y|X1,X2), in bits, valid for any `potential`, alpha above beta.

    <alpha, p1> + <beta, p2> - sum_x1 p(x1) max_x2 log sum_y exp(alpha + beta): weak duality at the point
    made feasible by lowering alpha; the better of it and of the one that lowers beta. Rounding is allowed
    for. Cells of `potential` without mass hold 0 and are taken as -inf.
    """
    masked = torch.where(p > 0, potential, -torch.inf)
    # Overflow leaves no bound, underflow is rounded up to TINY: both are safe.
    excess = (masked[:n1, None] + masked[n1:]).exp_().sum(2).clamp_min_(TINY).log_()
    terms, mass = p * potential, p.sum(1)
    loss = torch.minimum((mass[:n1] * excess.amax(1)).sum(0), (mass[n1:] * excess.amax(0)).sum(0))
    allowance = ROUNDING * (1.0 + terms.abs().sum((0, 1)))
    return (terms.sum((0, 1)) - loss - allowance) / math.log(2.0)


def completed(
    potential: Float[Tensor, "cells ny b"],
    p: Float[Tensor, "cells ny b"],
    kept: Bool[Tensor, "cells ny b"],
    n1: int,
) -> Float[Tensor, "cells ny b"]:
    """Values of alpha and beta for cells that were too light to solve for.

    With alpha = log p(y|x1) - max beta, such a cell raises sum_y exp(alpha + beta) by at most p(y|x1).
    """
    if kept.all():
        return potential
    conditional = torch.log(p.clamp_min(TINY) / p.sum(1, keepdim=True).clamp_min(TINY))
    top = torch.where(kept[:n1], potential[:n1], -torch.inf).amax(0).nan_to_num(neginf=0.0)
    beta = torch.where(kept[n1:], potential[n1:], conditional[n1:] - top)
    alpha = torch.where(kept[:n1], potential[:n1], conditional[:n1] - beta.amax(0))
    return torch.where(p > 0, torch.cat((alpha, beta)), 0.0)
