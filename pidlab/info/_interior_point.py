"""A batched primal-dual interior-point method for the dual of the BROJA program, in nats."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pidlab.info._newton import NewtonSystem
from pidlab.io import disable_malloc_trimming

TINY = torch.finfo(torch.float64).tiny
# Allowed relative error of every sum below; logarithms, products and cascaded sums stay well within it.
ROUNDING = 64 * torch.finfo(torch.float64).eps


MASKED = -1e4  # its exponential is exactly 0
TRACE = 1e-200  # a mass small enough to change no result
SWEEPS = 10  # rounds of alternating minimization before the first step


@dataclass(frozen=True)
class Attempt:
    """Step control of one attempt at a batch.

    Args:
        steps: Maximum number of Newton steps.
        margin: Share of the distance to the boundary that a step keeps.
        ridge: Relative increase of the diagonal of Newton's matrix.
        mu: Starting value of the central path parameter.
    """

    steps: int
    margin: float
    ridge: float
    mu: float


# The first is fast and solves all but a few problems in a thousand; those get the next ones in turn.
ATTEMPTS = (
    Attempt(30, 1e-4, 1e-15, 0.001),
    Attempt(60, 0.1, 1e-14, 0.1),
    Attempt(100, 0.3, 1e-13, 0.1),
    Attempt(60, 0.1, 1e-15, 0.5),
    Attempt(100, 0.5, 1e-12, 0.2),
)


@dataclass
class State:
    """Data and iterates of a batch of problems.

    One array holds the cells of p(x1, y) above those of p(x2, y). In the same way `potential` holds alpha
    above beta, and `wt` holds w before t.

    Args:
        index: Position of each problem in the full batch, shape (b,).
        p: The two marginals, shape (n1 + n2, ny, b).
        fixing: Amounts added to the diagonal of Newton's matrix, shape (n1 + n2, ny, b).
        weight: p(x1) p(x2), the shape of w t on the central path, shape (n1, n2, 1, b).
        potential: alpha above beta, shape (n1 + n2, ny, b).
        wt: Multiplier w and slack t, shape (2, n1, n2, 1, b).
    """

    index: Tensor
    p: Float[Tensor, "cells ny b"]
    fixing: Float[Tensor, "cells ny b"]
    weight: Float[Tensor, "n1 n2 1 b"]
    potential: Float[Tensor, "cells ny b"]
    wt: Float[Tensor, "2 n1 n2 1 b"]

    def __getitem__(self, which: Tensor) -> "State":
        return State(*(getattr(self, name).index_select(-1, which) for name in self.__dataclass_fields__))

    def split(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cells of X1 and those of X2."""
        n1 = len(self.weight)
        return cells[:n1], cells[n1:]


def bracket(
    data1: Float[Tensor, "n1 ny b"], data2: Float[Tensor, "n2 ny b"], tolerance: float
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Bound the minimum over q of -H_q(Y|X1,X2) with q(x1,y) = data1 and q(x2,y) = data2, in bits.

    The method maximizes <alpha, p1> + <beta, p2> subject to

        log sum_y exp(alpha(x1,y) + beta(x2,y)) + t = 0,  t >= 0

    by Mehrotra's predictor-corrector steps; q = w exp(alpha + beta + t) with w the multiplier. The central
    path is w t = mu p(x1) p(x2), so each symbol pair contributes to the gap in proportion to its mass.
    Problems whose bracket is narrower than `tolerance` leave the batch, at least an eighth of it at a time.

    Args:
        data1: p(x1, y), shape (n1, ny, b).
        data2: p(x2, y) with the same p(y), shape (n2, ny, b).
        tolerance: Width of the bracket to reach, in bits.

    Returns:
        Lower and upper bounds, each of shape (b,). They hold even if the tolerance was not reached.
    """
    disable_malloc_trimming()
    n1, ny, _ = data1.shape
    # Lighter cells change the result by less than the tolerance, and their logarithms slow Newton's method.
    light = tolerance / (100 * ny * (n1 + len(data2)))
    # Newton's method fixes beta at the last symbol of X2: the best one has the heaviest lightest cell.
    lightest = torch.where(data2 > light, data2, 1.0).amin(1, keepdim=True)
    data2 = data2.gather(0, lightest.argsort(0).expand_as(data2))
    data = torch.cat((data1, data2))
    lower = data.new_full(data.shape[2:], -torch.inf)
    upper = torch.full_like(lower, torch.inf)
    remaining = torch.arange(len(lower), device=data.device)
    for attempt in ATTEMPTS:
        state = _start(remaining, data.index_select(-1, remaining), n1, light, attempt.mu)
        _run(state, attempt, data, tolerance, lower, upper)
        remaining = torch.nonzero(~(upper - lower <= tolerance))[:, 0]
        if not len(remaining):
            break
    return lower, upper


def _start(index: Tensor, data: Tensor, n1: int, light: float, mu: float) -> State:
    """Find a point near the central path by alternating minimization, which is cheaper than Newton steps.

    With w fixed, exp(alpha) and exp(beta) are scaled in turn to fit p(x1, y) and p(x2, y). Then w moves
    towards w (1 - sum_y exp(alpha + beta)) = mu p(x1) p(x2), which is the central path up to O(t^2). The
    exponent of the first guess at w, and the doubled downward moves, gave the fewest Newton steps on random
    distributions.
    """
    p = _without_light(data, n1, light)
    p1, p2, py, heavy = p[:n1], p[n1:], p[:n1].sum(0), p > 0

    # Values of Y and pairs without mass keep a trace of weight, which avoids divisions by 0.
    target1, target2 = torch.where(py > 0, p1, TRACE).unsqueeze(1), torch.where(py > 0, p2, TRACE)
    a, b = p1.unsqueeze(1), target2 / py.clamp_min(TRACE)
    total = (a * b).sum(2, keepdim=True)  # p(x1, x2) if X1 and X2 were independent given Y
    weight = torch.where(total > 0, a.sum(2, keepdim=True) * p2.sum(1, keepdim=True), TRACE)
    weight /= weight.sum((0, 1))
    overlap = total / weight
    w = weight * (overlap / overlap.amax((0, 1))) ** (1.5 * len(p))
    least = mu * weight
    w = torch.addcdiv(least, w, w.sum((0, 1)))
    for _ in range(SWEEPS):
        a = target1 / (w * b).sum(1, keepdim=True)
        b = target2 / (w * a).sum(0)
        total = (a * b).sum(2, keepdim=True)
        w = torch.addcmul(least, w * total, total.clamp_max(1.0))
    total.clamp_min_(TINY)
    fixing = (~heavy).to(p.dtype)
    # Where the last symbol of X2 has no mass, the free constant c(y) is fixed at the heaviest symbol instead.
    if not heavy[-1].all():
        fixing[n1:].scatter_add_(0, p2.max(0, keepdim=True).indices, py * ~heavy[-1:])
    return State(
        index=index,
        p=p,
        fixing=fixing,
        weight=weight,
        potential=torch.where(heavy, torch.cat((a.squeeze(1), b)).clamp_min_(TINY).log_(), MASKED),
        wt=torch.stack((w, torch.maximum(-total.log(), least / w))),
    )


def _without_light(data: Tensor, n1: int, light: float) -> Tensor:
    """Set cells of at most `light` to 0 and scale p(x2, y) to the remaining p(y)."""
    heavy = data > light
    if heavy.all():
        return data
    p = torch.where(heavy, data, 0.0)
    py1, py2 = p[:n1].sum(0), p[n1:].sum(0)
    p = torch.where(torch.minimum(py1, py2) > 0, p, 0.0)
    p[n1:] *= py1 / py2.clamp_min(TINY)
    return p


def _run(
    state: State,
    attempt: Attempt,
    data: Tensor,
    tolerance: float,
    lower: Tensor,
    upper: Tensor,
) -> None:
    """Take Newton steps until each problem is certified or stuck; update the bounds in place."""
    target = tolerance * math.log(2.0)
    few = len(state.index) / 8
    for step in range(attempt.steps + 1):
        w, t = state.wt.unbind()
        pi, excess = _conditional(state)
        q = w * pi
        sums = torch.cat((q.sum(1), q.sum(0)))
        excess = excess.add_(t).div_(t)
        gap = w * t
        mu = gap.sum((0, 1, 2))
        last = step == attempt.steps
        if last or not float(mu.amin()) >= target:
            is_done = ~(mu >= target)  # also true for NaN, where the method is stuck
            slip = (state.p - sums).abs_().sum((0, 1)) + (gap * excess.abs()).sum((0, 1, 2))
            # The certificate loses the primal and dual residuals, so they must be small as well.
            is_done &= ~(0.05 * slip > target)
            # A few more steps of a few finished problems cost less than a certificate and a smaller batch.
            count = len(mu) if last else int(is_done.sum())
            if count >= few or count == len(mu):
                if count == len(mu):
                    _certify(state, q, data, lower, upper)
                else:
                    done = torch.nonzero(is_done)[:, 0]
                    _certify(state[done], q.index_select(-1, done), data, lower, upper)
                is_certified = upper[state.index] - lower[state.index] <= tolerance
                unfinished = torch.nonzero((mu < math.inf) & ~is_certified)[:, 0]
                if last or not len(unfinished):
                    return
                if len(unfinished) < len(mu):
                    state = state[unfinished]
                    pi, q, sums, excess, gap, mu = (
                        x.index_select(-1, unfinished) for x in (pi, q, sums, excess, gap, mu)
                    )
        _step(state, pi, q, sums, excess, gap, mu, attempt, target)


def _conditional(state: State) -> tuple[Float[Tensor, "n1 n2 ny b"], Float[Tensor, "n1 n2 1 b"]]:
    """Compute softmax and log-sum-exp over y of alpha + beta; pairs without mass give 0 and log TINY."""
    alpha, beta = state.split(state.potential)
    # The log-sum-exp is near -t, so no shift against overflow is needed.
    pi = (alpha.unsqueeze(1) + beta).exp_()
    total = pi.sum(2, keepdim=True).clamp_min_(TINY)
    return pi.div_(total), total.log_()


def _step(
    state: State,
    pi: Tensor,
    q: Tensor,
    sums: Tensor,
    excess: Tensor,
    gap: Tensor,
    mu: Tensor,
    attempt: Attempt,
    target: float,
) -> None:
    """Take one predictor-corrector step; the steps of w and t are relative and point downwards."""
    wt, t = state.wt, state.wt[1]
    system = NewtonSystem(pi, q, t, state.p, sums + state.fixing, attempt.ridge)
    _, tilt = system.solve(excess)
    fall = torch.addcdiv(excess, tilt, t)  # of t; w falls by 1 - fall
    # The more the boundary limits this step, the more of mu is kept; at most half, or some problems stall.
    steepest = torch.maximum(fall, 1.0 - fall).amax((0, 1, 2)).clamp_(1.0, 5.0)
    barred = (steepest - 1.0).div_(steepest)
    centre = barred.pow_(3).mul_(mu).clamp_min_(0.2 * target)
    # Mehrotra's second-order correction, clamped because it is unreliable for long steps.
    bend = torch.addcmul(fall, fall, fall, value=-1.0).clamp_(-1.0, 1.0)
    aim = (centre * state.weight).div_(gap).sub_(bend)
    rise, tilt = system.solve(excess + aim)
    fall = torch.addcdiv(excess, tilt, t)
    fall = torch.stack((1.0 - aim - fall, fall))
    # The longest step for which no entry of w or t falls to less than its margin.
    room = fall.amax((1, 2), keepdim=True).div_(1.0 - attempt.margin).clamp_min_(1.0).reciprocal_()
    state.potential = torch.addcmul(state.potential, room[1, 0], rise)
    state.wt = torch.addcmul(wt, wt, room * fall, value=-1.0)


def _certify(state: State, q: Tensor, data: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Tighten the bounds of the problems in `state` with their current iterates, in place."""
    index = state.index
    data = data.index_select(-1, index)
    low = lower_bound(complete_potential(state.potential, data, state.p > 0, len(q)), data, len(q))
    high = upper_bound(feasible(q, data))
    lower[index] = torch.fmax(lower[index], low)
    upper[index] = torch.fmin(upper[index], high)


def feasible(q: Float[Tensor, "n1 n2 ny b"], p: Float[Tensor, "cells ny b"]) -> Float[Tensor, "n1 n2 ny b"]:
    """Project `q` onto the laws with q(x1,y) above q(x2,y) = p.

    Rows, then columns are scaled down to their targets. The missing mass is added as one rank-one term per y
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
    """Compute -H_q(Y|X1,X2) = sum q log2(q / q12) of a feasible law, plus its rounding error, in bits."""
    q12 = q.sum(2, keepdim=True).clamp_min(TINY)
    value = (q * (q / q12).clamp_min(TINY).log()).sum((0, 1, 2))
    return (value + ROUNDING * (1.0 + value.abs())) / math.log(2.0)


def lower_bound(
    potential: Float[Tensor, "cells ny b"], p: Float[Tensor, "cells ny b"], n1: int
) -> Float[Tensor, "b"]:
    """Bound the minimum of -H_q(Y|X1,X2) from below, in bits, from any `potential` (alpha above beta).

    The bound is <alpha, p1> + <beta, p2> - sum_x1 p(x1) max_x2 log sum_y exp(alpha + beta): weak duality at
    the point made feasible by lowering alpha, or the same with beta lowered, whichever is larger, minus the
    rounding error. Cells of `potential` without mass hold 0 and count as -inf.
    """
    masked = torch.where(p > 0, potential, -torch.inf)
    # Overflow gives a bound of -inf and underflow is rounded up to TINY: the bound stays valid in both cases.
    excess = (masked[:n1, None] + masked[n1:]).exp_().sum(2).clamp_min_(TINY).log_()
    terms, mass = p * potential, p.sum(1)
    loss = torch.minimum((mass[:n1] * excess.amax(1)).sum(0), (mass[n1:] * excess.amax(0)).sum(0))
    allowance = ROUNDING * (1.0 + terms.abs().sum((0, 1)))
    return (terms.sum((0, 1)) - loss - allowance) / math.log(2.0)


def complete_potential(
    potential: Float[Tensor, "cells ny b"],
    p: Float[Tensor, "cells ny b"],
    heavy: Bool[Tensor, "cells ny b"],
    n1: int,
) -> Float[Tensor, "cells ny b"]:
    """Fill in alpha and beta for cells that were too light to solve for.

    With alpha = log p(y|x1) - max beta, such a cell raises sum_y exp(alpha + beta) by at most p(y|x1).
    """
    if heavy.all():
        return potential
    conditional = torch.log(p.clamp_min(TINY) / p.sum(1, keepdim=True).clamp_min(TINY))
    top = torch.where(heavy[:n1], potential[:n1], -torch.inf).amax(0).nan_to_num(neginf=0.0)
    beta = torch.where(heavy[n1:], potential[n1:], conditional[n1:] - top)
    alpha = torch.where(heavy[:n1], potential[:n1], conditional[:n1] - beta.amax(0))
    return torch.where(p > 0, torch.cat((alpha, beta)), 0.0)
