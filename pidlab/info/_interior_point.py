"""A batched primal-dual interior point for the dual of the BROJA program, in nats."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float

from pidlab.info._certificate import TINY, completed, feasible, lower_bound, upper_bound
from pidlab.info._newton import NewtonSystem

Tensor = torch.Tensor

MASKED = -1e4  # exp() of it is exactly 0


@dataclass(frozen=True)
class Attempt:
    """How boldly to step.

    Args:
        steps: Newton steps at most.
        timid: least share of the way to the boundary that a step leaves; at most `0.03` far from the optimum.
        ridge: relative increase of the Newton matrix's diagonal.
        slack: least slack at the start, in nats.
    """

    steps: int
    timid: float
    ridge: float
    slack: float


# The first is fast and enough for all but a few in a thousand, which get the next ones in turn.
ATTEMPTS = (
    Attempt(30, 1e-4, 1e-15, 0.005),
    Attempt(60, 0.1, 1e-14, 0.02),
    Attempt(100, 0.3, 1e-13, 0.02),
    Attempt(60, 0.1, 1e-15, 0.2),
    Attempt(100, 0.5, 1e-12, 0.05),
)


@dataclass
class State:
    """Iterates of a batch of problems: the data p1, p2, where they are kept, and the unknowns."""

    index: Tensor
    data1: Float[Tensor, "n1 ny b"]
    data2: Float[Tensor, "n2 ny b"]
    p1: Float[Tensor, "n1 ny b"]
    p2: Float[Tensor, "n2 ny b"]
    pairs: Float[Tensor, "n1 n2 b"]
    weight: Float[Tensor, "n1 n2 b"]
    anchor1: Float[Tensor, "n1 ny b"]
    anchor2: Float[Tensor, "n2 ny b"]
    alpha: Float[Tensor, "n1 ny b"]
    beta: Float[Tensor, "n2 ny b"]
    w: Float[Tensor, "n1 n2 b"]
    t: Float[Tensor, "n1 n2 b"]

    def __getitem__(self, which: Tensor) -> "State":
        return State(*(getattr(self, name)[..., which] for name in self.__dataclass_fields__))


def bracket(
    data1: Float[Tensor, "n1 ny b"], data2: Float[Tensor, "n2 ny b"], tolerance: float
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Certified bounds, in bits, on min over q of -H_q(Y|X1,X2) with q(x1,y) = data1, q(x2,y) = data2.

    Maximises <alpha, p1> + <beta, p2> subject to log sum_y exp(alpha(x1,y) + beta(x2,y)) + t = 0, t >= 0
    by Mehrotra's predictor-corrector method; q = w exp(alpha + beta + t) with w the multiplier. The central
    path is w t = mu p(x1) p(x2), which asks of light symbols no more than their share of the gap.
    Problems leave the batch as soon as their bracket is narrower than `tolerance`.

    Args:
        data1: p(x1, y).
        data2: p(x2, y), with the same p(y).
        tolerance: width of the bracket to reach, in bits.

    Returns:
        Lower and upper bounds. They hold whether or not the tolerance was reached.
    """
    lower = torch.full_like(data1[0, 0], -torch.inf)
    upper = torch.full_like(lower, torch.inf)
    remaining = torch.arange(data1.shape[-1], device=data1.device)
    for attempt in ATTEMPTS:
        state = _start(remaining, data1[..., remaining], data2[..., remaining], tolerance, attempt.slack)
        _run(state, attempt, tolerance, lower, upper)
        remaining = torch.nonzero(~(upper - lower <= tolerance))[:, 0]
        if not len(remaining):
            break
    return lower, upper


def _start(index: Tensor, data1: Tensor, data2: Tensor, tolerance: float, slack: float) -> State:
    """The point at which q makes X1 and X2 independent given Y, which is primal feasible."""
    n1, ny, _ = data1.shape
    # Lighter cells are beyond what the tolerance sees; their logarithms only slow Newton's method.
    light = tolerance / (100 * ny * (n1 + len(data2)))
    p1 = torch.where(data1 > light, data1, 0.0)
    p2 = torch.where(data2 > light, data2, 0.0)
    py1, py2 = p1.sum(0), p2.sum(0)
    both = (py1 > 0) & (py2 > 0)
    p1 = torch.where(both, p1, 0.0)
    p2 = torch.where(both, p2 * (py1 / py2.clamp_min(TINY)), 0.0)
    py = p1.sum(0)

    kept1, kept2 = p1 > 0, p2 > 0
    s1, s2 = p1.sum(1), p2.sum(1)
    pairs = (kept1[:, None] & kept2).any(2).to(p1)
    q12 = (p1[:, None] * (p2 / py.clamp_min(TINY))).sum(2)
    product = s1[:, None] * s2
    # log of s1 s2 exp(alpha + beta) summed over y; alpha is lowered until every pair has slack
    excess = torch.where(pairs > 0, torch.log(q12 / product.clamp_min(TINY)), -torch.inf)
    shift = excess.amax(1).nan_to_num(neginf=0.0) + slack
    alpha = torch.log(p1 / s1.clamp_min(TINY)[:, None]) - shift[:, None]
    beta = torch.log(p2 / (s2[:, None] * py).clamp_min(TINY))
    weight = product * pairs
    heaviest = torch.zeros_like(p2).scatter_(0, p2.argmax(0, keepdim=True), py[None])
    return State(
        index=index,
        data1=data1,
        data2=data2,
        p1=p1,
        p2=p2,
        pairs=pairs,
        weight=weight / weight.sum((0, 1)),
        anchor1=(~kept1).to(p1),
        anchor2=(~kept2).to(p2) + heaviest,
        alpha=torch.where(kept1, alpha, MASKED),
        beta=torch.where(kept2, beta, MASKED),
        w=(0.9 * q12 + 0.1 * product) * pairs,
        t=torch.where(pairs > 0, shift[:, None] - excess, 1.0),
    )


def _run(state: State, attempt: Attempt, tolerance: float, lower: Tensor, upper: Tensor) -> None:
    """Newton steps until every problem is certified, stuck or out of steps; writes the bounds reached."""
    target = tolerance * math.log(2.0)
    for step in range(attempt.steps + 1):
        pi, excess = _conditional(state)
        q = state.w[:, :, None] * pi
        r1 = state.p1 - q.sum(1)
        r2 = state.p2 - q.sum(0)
        rp = -(excess + state.t) * state.pairs
        mu = (state.w * state.t).sum((0, 1))
        stuck = ~torch.isfinite(mu)
        ready = (mu < target) | stuck
        if ready.any():
            slip = r1.abs().sum((0, 1)) + r2.abs().sum((0, 1)) + (state.w * rp.abs()).sum((0, 1))
            ready &= ~(0.1 * slip > target)
        if step == attempt.steps:
            ready = torch.ones_like(ready)
        if ready.any():
            _certify(state[ready], q[..., ready], lower, upper)
            reached = upper[state.index] - lower[state.index] <= tolerance
            going = ~(reached | stuck)
            if step == attempt.steps or not going.any():
                return
            if not going.all():
                state = state[going]
                pi, q, r1, r2, rp, mu = (x[..., going] for x in (pi, q, r1, r2, rp, mu))
        state = _step(state, pi, q, r1, r2, rp, mu, attempt, target)


def _conditional(state: State) -> tuple[Float[Tensor, "n1 n2 ny b"], Float[Tensor, "n1 n2 b"]]:
    """Softmax and log-sum-exp over y of alpha + beta; 0 and meaningless where `pairs` is 0."""
    logits = state.alpha[:, None] + state.beta
    top = logits.amax(2, keepdim=True)
    pi = logits.sub_(top).exp_()
    total = pi.sum(2, keepdim=True)
    return pi.mul_(state.pairs[:, :, None] / total), (top + total.log())[:, :, 0]


def _step(
    state: State,
    pi: Tensor,
    q: Tensor,
    r1: Tensor,
    r2: Tensor,
    rp: Tensor,
    mu: Tensor,
    attempt: Attempt,
    target: float,
) -> State:
    """One predictor-corrector step."""
    w, t = state.w, state.t
    system = NewtonSystem(
        pi, q, w, t, state.p1 - r1 + state.anchor1, state.p2 - r2 + state.anchor2, attempt.ridge
    )
    falling = -w * t
    _, _, dw, dt = system.solve(r1, r2, rp, falling)
    primal, dual = _room(w, t, dw, dt, torch.ones_like(mu))
    predicted = (torch.addcmul(w, primal, dw) * torch.addcmul(t, dual, dt)).sum((0, 1))
    centre = (mu * (predicted / mu) ** 3).clamp_max(mu).clamp_min(0.2 * target)
    rc = torch.addcmul(falling, centre, state.weight).addcmul_(dw, dt, value=-1.0)
    dalpha, dbeta, dw, dt = system.solve(r1, r2, rp, rc)
    primal, dual = _room(w, t, dw, dt, 1.0 - mu.clamp(attempt.timid, max(0.03, attempt.timid)))
    return replace(
        state,
        alpha=torch.addcmul(state.alpha, dual, dalpha),
        beta=torch.addcmul(state.beta, dual, dbeta),
        w=torch.addcmul(w, primal, dw),
        t=torch.addcmul(t, dual, dt),
    )


def _room(w: Tensor, t: Tensor, dw: Tensor, dt: Tensor, share: Tensor) -> Float[Tensor, "2 b"]:
    """Step lengths, 1 at most, that go `share` of the way to where an entry of w or of t reaches 0."""
    fall = torch.stack((dw / w.clamp_min(TINY), dt / t)).neg_().amax((1, 2))
    return share / torch.maximum(fall, share)


def _certify(state: State, q: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Narrows the bounds of the problems of `state` by its iterate."""
    kept1: Bool[Tensor, "n1 ny b"] = state.p1 > 0
    kept2: Bool[Tensor, "n2 ny b"] = state.p2 > 0
    alpha, beta = completed(state.alpha, state.beta, state.data1, state.data2, kept1, kept2)
    low = lower_bound(alpha, beta, state.data1, state.data2)
    high = upper_bound(feasible(q, state.data1, state.data2))
    lower[state.index] = torch.fmax(lower[state.index], low)
    upper[state.index] = torch.fmin(upper[state.index], high)
