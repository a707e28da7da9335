"""A batched primal-dual interior point for the dual of the BROJA program, in nats."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float

from pidlab.info._certificate import TINY, completed, feasible, lower_bound, upper_bound
from pidlab.info._newton import NewtonSystem
from pidlab.memory import keep_freed_memory

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
    """Iterates of a batch of problems: where they are kept, the data and the unknowns.

    The cells of p(x1, y) lie above those of p(x2, y) in one array, as alpha above beta and w before t do.
    """

    index: Tensor
    p: Float[Tensor, "cells ny b"]
    held: Float[Tensor, "cells ny b"]  # p, and what is added to the diagonal of Newton's matrix
    pairs: Float[Tensor, "n1 n2 b"]
    weight: Float[Tensor, "n1 n2 b"]
    potential: Float[Tensor, "cells ny b"]
    wt: Float[Tensor, "2 n1 n2 b"]

    def __getitem__(self, which: Tensor) -> "State":
        return State(*(getattr(self, name).index_select(-1, which) for name in self.__dataclass_fields__))

    def split(self, cells: Tensor) -> tuple[Tensor, ...]:
        """The cells of X1 and those of X2."""
        return cells.split(self.pairs.shape[:2])


def bracket(
    data1: Float[Tensor, "n1 ny b"], data2: Float[Tensor, "n2 ny b"], tolerance: float
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Certified bounds, in bits, on min over q of -H_q(Y|X1,X2) with q(x1,y) = data1, q(x2,y) = data2.

    Maximises <alpha, p1> + <beta, p2> subject to log sum_y exp(alpha(x1,y) + beta(x2,y)) + t = 0, t >= 0
    by Mehrotra's predictor-corrector method; q = w exp(alpha + beta + t) with w the multiplier. The central
    path is w t = mu p(x1) p(x2), which asks of light symbols no more than their share of the gap.
    Problems whose bracket is narrower than `tolerance` leave the batch, an eighth of it or more at a time.

    Args:
        data1: p(x1, y).
        data2: p(x2, y), with the same p(y).
        tolerance: width of the bracket to reach, in bits.

    Returns:
        Lower and upper bounds. They hold whether or not the tolerance was reached.
    """
    keep_freed_memory()
    n1, ny, _ = data1.shape
    # Lighter cells are beyond what the tolerance sees; their logarithms only slow Newton's method.
    light = tolerance / (100 * ny * (n1 + len(data2)))
    # The first symbol of X2 is where Newton's method holds beta: the one whose lightest cell is heaviest.
    lightest = torch.where(data2 > light, data2, 1.0).amin(1, keepdim=True)
    data2 = data2.gather(0, lightest.argsort(0, descending=True).expand_as(data2))
    lower = torch.full_like(data1[0, 0], -torch.inf)
    upper = torch.full_like(lower, torch.inf)
    remaining = torch.arange(data1.shape[-1], device=data1.device)
    for attempt in ATTEMPTS:
        state = _start(remaining, data1[..., remaining], data2[..., remaining], light, attempt.slack)
        _run(state, attempt, data1, data2, tolerance, lower, upper)
        remaining = torch.nonzero(~(upper - lower <= tolerance))[:, 0]
        if not len(remaining):
            break
    return lower, upper


def _start(index: Tensor, data1: Tensor, data2: Tensor, light: float, slack: float) -> State:
    """A dual feasible point with p(y) (p(y|x1) p(y|x2) / p(y)^2)^(3/4) for exp(alpha + beta), up to slack.

    Half of w is what the central path asks for at that slack, half is the q12 that makes X1 and X2
    independent given Y. Power and halves are those of the fewest steps on random distributions.
    """
    p1 = torch.where(data1 > light, data1, 0.0)
    p2 = torch.where(data2 > light, data2, 0.0)
    py1, py2 = p1.sum(0), p2.sum(0)
    both = (py1 > 0) & (py2 > 0)
    p1 = torch.where(both, p1, 0.0)
    p2 = torch.where(both, p2 * (py1 / py2.clamp_min(TINY)), 0.0)
    p, py = torch.cat((p1, p2)), p1.sum(0)

    kept1, kept2 = p1 > 0, p2 > 0
    pairs = (kept1[:, None] & kept2).any(2).to(p1)
    weight = p1.sum(1)[:, None] * p2.sum(1) * pairs
    pointwise = torch.log((p / (p.sum(1, keepdim=True) * py).clamp_min(TINY)).clamp_min(TINY))
    potential = torch.where(p > 0, 0.75 * pointwise, MASKED)
    alpha, beta = potential.split((len(p1), len(p2)))
    beta += torch.log(py.clamp_min(TINY))
    excess = torch.exp(alpha[:, None] + beta).sum(2).log()  # -inf where the pair cannot occur
    # alpha is lowered until every pair has slack
    shift = excess.amax(1).nan_to_num(neginf=0.0) + slack
    alpha -= shift[:, None]
    t = torch.where(pairs > 0, shift[:, None] - excess, 1.0)
    q12 = (p1[:, None] * (p2 / py.clamp_min(TINY))).sum(2)
    central = weight / t
    heaviest = torch.zeros_like(p2).scatter_(0, p2.max(0, keepdim=True).indices, py * ~kept2[:1])
    return State(
        index=index,
        p=p,
        held=p + torch.cat(((~kept1).to(p1), (~kept2).to(p2) + heaviest)),
        pairs=pairs,
        weight=weight / weight.sum((0, 1)),
        potential=potential,
        wt=torch.stack((0.5 * (q12 + central / central.sum((0, 1))), t)),
    )


def _run(
    state: State,
    attempt: Attempt,
    data1: Tensor,
    data2: Tensor,
    tolerance: float,
    lower: Tensor,
    upper: Tensor,
) -> None:
    """Newton steps until every problem is certified, stuck or out of steps; writes the bounds reached."""
    target = tolerance * math.log(2.0)
    few = len(state.index) / 8
    for step in range(attempt.steps + 1):
        w, t = state.wt
        pi, excess = _conditional(state)
        q = w[:, :, None] * pi
        r = state.p - torch.cat((q.sum(1), q.sum(0)))
        rp = -(excess + t) * state.pairs
        mu = (w * t).sum((0, 1))
        stuck = ~(mu < math.inf)
        ready = (mu < target) | stuck
        if ready.any():
            slip = r.abs().sum((0, 1)) + (w * rp.abs()).sum((0, 1))
            ready &= ~(0.1 * slip > target)
        if step == attempt.steps:
            ready = torch.ones_like(ready)
        # More steps of a few that are ready cost less than their certificate and a smaller batch.
        if ready.sum() >= few or ready.all():
            some = torch.nonzero(ready)[:, 0]
            _certify(state, q, some, data1, data2, lower, upper)
            reached = upper[state.index] - lower[state.index] <= tolerance
            going = torch.nonzero(~(reached | stuck))[:, 0]
            if step == attempt.steps or not len(going):
                return
            if len(going) < len(mu):
                state = state[going]
                pi, q, r, rp, mu = (x.index_select(-1, going) for x in (pi, q, r, rp, mu))
        state = _step(state, pi, q, r, rp, mu, attempt, target)


def _conditional(state: State) -> tuple[Float[Tensor, "n1 n2 ny b"], Float[Tensor, "n1 n2 b"]]:
    """Softmax and log-sum-exp over y of alpha + beta; 0 and meaningless where `pairs` is 0."""
    alpha, beta = state.split(state.potential)
    # The log-sum-exp is near -t: no shift is needed against overflow.
    pi = (alpha[:, None] + beta).exp_()
    total = pi.sum(2).clamp_min_(TINY)
    return pi.div_(total[:, :, None]), total.log_()


def _step(
    state: State, pi: Tensor, q: Tensor, r: Tensor, rp: Tensor, mu: Tensor, attempt: Attempt, target: float
) -> State:
    """One predictor-corrector step."""
    wt = state.wt
    system = NewtonSystem(pi, q, wt, state.held - r, attempt.ridge)
    falling = -wt[0] * wt[1]
    _, rise = system.solve(r, rp, falling)
    room = _room(wt, rise, 1.0)
    ahead = torch.addcmul(wt, room, rise)
    predicted = (ahead[0] * ahead[1]).sum((0, 1))
    centre = (mu * (predicted / mu) ** 3).clamp_max(mu).clamp_min(0.2 * target)
    # Mehrotra's term of second order misleads where the predicted step has to be cut short.
    trusted = room[0] * room[1] > 0.3
    rc = torch.addcmul(falling, centre, state.weight).addcmul_(rise[0], rise[1] * trusted, value=-1.0)
    climb, rise = system.solve(r, rp, rc)
    room = _room(wt, rise, 1.0 - mu.clamp(attempt.timid, max(0.03, attempt.timid)))
    return replace(
        state,
        potential=torch.addcmul(state.potential, room[1], climb),
        wt=torch.addcmul(wt, room, rise),
    )


def _room(
    wt: Float[Tensor, "2 n1 n2 b"], rise: Float[Tensor, "2 n1 n2 b"], share: Tensor | float
) -> Float[Tensor, "2 1 1 b"]:
    """Step lengths, 1 at most, that go `share` of the way to where an entry of w or of t reaches 0."""
    fall = -(rise / wt.clamp_min(TINY)).amin((1, 2), keepdim=True)
    return share / fall.clamp_min(share)


def _certify(
    state: State, q: Tensor, some: Tensor, data1: Tensor, data2: Tensor, lower: Tensor, upper: Tensor
) -> None:
    """Narrows the bounds of the problems at `some` by their iterates."""
    index, q, p, potential = (x.index_select(-1, some) for x in (state.index, q, state.p, state.potential))
    data1, data2 = data1.index_select(-1, index), data2.index_select(-1, index)
    (alpha, beta), (kept1, kept2) = state.split(potential), state.split(p > 0)
    alpha, beta = completed(alpha, beta, data1, data2, kept1, kept2)
    low = lower_bound(alpha, beta, data1, data2)
    high = upper_bound(feasible(q, data1, data2))
    lower[index] = torch.fmax(lower[index], low)
    upper[index] = torch.fmin(upper[index], high)
