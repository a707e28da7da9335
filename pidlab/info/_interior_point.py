"""A batched primal-dual interior point for the dual of the BROJA program, in nats."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.linalg import solve_triangular

from pidlab.io import disable_malloc_trimming

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


LARGE = 8  # batch over matrix size from which on LAPACK, matrix by matrix, is the slower way
SMALL = 2e7  # batch times the cube of the matrix size up to which the elimination of alpha saves nothing


class NewtonSystem:
    r"""The linear system of one interior point step, factored once, solved twice.

    With pi(y|i,j) = softmax_y(alpha(i,y) + beta(j,y)), q = w pi and slack t, the steps obey

        sum_j dq = p1 - sum_j q,  sum_i dq = p2 - sum_i q,  <pi, dalpha + dbeta> + dt = -t d,
        dw / w + dt / t = c - 1  (d: the dual residual over t; c: w t as it should be over w t as it is),

    dq = pi dw + q (dalpha + dbeta - <pi, dalpha + dbeta>). Elimination of dt and dw leaves a positive
    semidefinite matrix in (dalpha, dbeta) whose diagonal blocks couple nothing but the y of one symbol, so
    that dalpha can go too, by n1 small Cholesky factors. As alpha + c(y), beta - c(y) are one point, beta is
    left alone at the last symbol of X2.

    Args:
        pi: conditional law of y for each pair of symbols.
        q: w pi.
        t: slack of each pair, positive.
        p: p1 above p2.
        diagonal: q summed over j above q summed over i, and 1 on cells without mass. In the second, more on
            one cell of each y at which the last symbol of X2 has no mass.
        ridge: relative increase of the diagonal.
    """

    def __init__(
        self,
        pi: Float[Tensor, "n1 n2 ny b"],
        q: Float[Tensor, "n1 n2 ny b"],
        t: Float[Tensor, "n1 n2 1 b"],
        p: Float[Tensor, "cells ny b"],
        diagonal: Float[Tensor, "cells ny b"],
        ridge: float,
    ):
        n1, n2, ny, b = pi.shape
        self.pi, self.q, self.p, self.alone = pi, q, p[:-1], p.new_zeros(1, ny, b)
        weighted = (q / t).sub_(q).transpose(1, 2)
        whole = b < LARGE * ny and b * ((n1 + n2) * ny) ** 3 < SMALL
        self.substitute = (_whole if whole else _eliminated)(weighted, pi, q, diagonal[:-1], ridge)

    def solve(
        self, push: Float[Tensor, "n1 n2 1 b"]
    ) -> tuple[Float[Tensor, "cells ny b"], Float[Tensor, "n1 n2 1 b"]]:
        """The steps of alpha above beta, and <pi, dalpha + dbeta>; not finite where a factor does not exist.

        Args:
            push: c + d.
        """
        pushed = self.q * push
        free = self.substitute(self.p - torch.cat((pushed.sum(1), pushed[:, :-1].sum(0))))
        fit_probes = torch.cat((free, self.alone))
        n1 = len(push)
        return fit_probes, (self.pi * (fit_probes[:n1].unsqueeze(1) + fit_probes[n1:])).sum(2, keepdim=True)


def _whole(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Solves with the matrix as it is: the fewest operations, which is what a small problem pays for."""
    n1 = len(pi)
    cells, ny, b = diagonal.shape
    matrix = pi.new_zeros(cells, ny, cells, ny, b)
    blocks = matrix.diagonal(dim1=0, dim2=2)
    products = weighted.unsqueeze(3) * pi.unsqueeze(1)  # (n1, y, n2, y, b)
    blocks[..., :n1] = products.sum(2).permute(1, 2, 3, 0)
    blocks[..., n1:] = products.sum(0)[:, :-1].permute(0, 2, 3, 1)
    products.diagonal(dim1=1, dim2=3).add_(q.mT)
    matrix[:n1, :, n1:] = products[:, :, :-1]  # Cholesky reads no more than the upper half
    matrix = matrix.view(cells * ny, cells * ny, b)
    matrix.diagonal().add_(diagonal.flatten(0, 1).T).mul_(1.0 + ridge)
    solve = _solver(matrix.permute(2, 0, 1))
    return lambda r: solve(r.flatten(0, 1)).view_as(r)


def _eliminated(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Eliminates alpha: a matrix of size (n2 - 1) ny remains."""
    n1, n2, ny, b = pi.shape
    # Each symbol i has rows [block of alpha | coupling to beta | room for 1], reduced together.
    rows = pi.new_empty(n1, ny, n2 * ny + ny, b)
    alpha, across = rows[:, :, :ny], rows[:, :, ny : n2 * ny].view(n1, ny, n2 - 1, ny, b)
    torch.mul(weighted[:, :, :-1].unsqueeze(3), pi[:, :-1].unsqueeze(1), out=across)
    torch.sum(across, 2, out=alpha).addcmul_(weighted[:, :, -1:], pi[:, -1:])
    alpha.diagonal(dim1=1, dim2=2).add_(diagonal[:n1].mT).mul_(1.0 + ridge)
    beta = across.sum(0)  # (y, n2 - 1, y, b)
    beta.diagonal(dim1=0, dim2=2).add_(diagonal[n1:].mT).mul_(1.0 + ridge)
    across.diagonal(dim1=1, dim2=3).add_(q[:, :-1].mT)
    coupling, inverse = _reduced(rows).split(((n2 - 1) * ny, ny), 2)

    joined = coupling.flatten(0, 1).permute(2, 0, 1).contiguous()
    schur = torch.baddbmm(pi.new_empty(()), joined.mT, joined, beta=0.0, alpha=-1.0)
    schur.view(b, n2 - 1, ny, n2 - 1, ny).diagonal(dim1=1, dim2=3).add_(beta.permute(3, 0, 2, 1))
    solve = _solver(schur)

    def substitute(r: Tensor) -> Tensor:
        left = (inverse * r[:n1].unsqueeze(1)).sum(2, keepdim=True)
        free = solve(r[n1:].flatten(0, 1) - (coupling * left).sum((0, 1)))
        left -= (coupling * free).sum(2, keepdim=True)
        return torch.cat(((inverse * left).sum(1), free.view(n2 - 1, ny, b)))

    return substitute


def _solver(matrices: Float[Tensor, "b n n"]) -> Callable[[Tensor], Tensor]:
    """Solves for right-hand sides of shape (n, b), by LAPACK or batch innermost; reads the upper halves."""
    b, n, _ = matrices.shape
    if b < LARGE * n:
        factor = torch.linalg.cholesky_ex(matrices, upper=True).L
        if b == 1:
            return partial(_substituted, factor[0])
        return lambda right: _substituted(factor, right.T.unsqueeze(2)).squeeze(2).T
    rows = matrices.new_empty(1, n, 2 * n, b)
    rows[0, :, :n] = matrices.permute(1, 2, 0)
    root = _reduced(rows)[0]
    return lambda right: (root * (root * right).sum(1)[:, None]).sum(0)


def _substituted(factor: Float[Tensor, "*b n n"], right: Float[Tensor, "*b n 1"]) -> Float[Tensor, "*b n 1"]:
    """Solves with the upper factor of a matrix; less is copied than by `cholesky_solve`."""
    return solve_triangular(factor, solve_triangular(factor.mT, right, upper=False), upper=True)


def _reduced(rows: Float[Tensor, "m n width b"]) -> Float[Tensor, "m n rest b"]:
    """L^-1 [C | 1] for rows [L L^T | C | room for 1], by LAPACK or with the batch innermost."""
    n, width, b = rows.shape[1:]
    rows[:, :, width - n :].zero_().diagonal(dim1=1, dim2=2).fill_(1.0)
    if b < LARGE * n:
        matrices = rows.permute(3, 0, 1, 2)
        factor = torch.linalg.cholesky_ex(matrices[..., :n]).L
        return solve_triangular(factor, matrices[..., n:], upper=False).permute(1, 2, 3, 0)
    for k in range(n):
        end = width - n + k + 1  # the rest of L^-1 is 0 yet
        row = rows[:, k, k:end]
        row.mul_(row[:, :1].rsqrt())
        rows[:, k + 1 :, k + 1 : end].addcmul_(row[:, 1 : n - k, None], row[:, None, 1:], value=-1.0)
    return rows[:, :, n:]


MASKED = -1e4  # exp() of it is exactly 0
TRACE = 1e-200  # mass so little that it changes nothing
SWEEPS = 10  # of alternating minimisation before the first step


@dataclass(frozen=True)
class Attempt:
    """How boldly to step.

    Args:
        steps: Newton steps at most.
        timid: share of the way to the boundary that a step leaves.
        ridge: relative increase of the Newton matrix's diagonal.
        mu: where on the central path to start.
    """

    steps: int
    timid: float
    ridge: float
    mu: float


# The first is fast and enough for all but a few in a thousand, which get the next ones in turn.
ATTEMPTS = (
    Attempt(30, 1e-4, 1e-15, 0.001),
    Attempt(60, 0.1, 1e-14, 0.1),
    Attempt(100, 0.3, 1e-13, 0.1),
    Attempt(60, 0.1, 1e-15, 0.5),
    Attempt(100, 0.5, 1e-12, 0.2),
)


@dataclass
class State:
    """Iterates of a batch of problems: where they are kept, the data and the unknowns.

    The cells of p(x1, y) lie above those of p(x2, y) in one array, as alpha above beta and w before t do.
    """

    index: Tensor
    p: Float[Tensor, "cells ny b"]
    held: Float[Tensor, "cells ny b"]  # what is added to the diagonal of Newton's matrix
    weight: Float[Tensor, "n1 n2 1 b"]
    potential: Float[Tensor, "cells ny b"]
    wt: Float[Tensor, "2 n1 n2 1 b"]

    def __getitem__(self, which: Tensor) -> "State":
        return State(*(getattr(self, name).index_select(-1, which) for name in self.__dataclass_fields__))

    def split(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The cells of X1 and those of X2."""
        n1 = len(self.weight)
        return cells[:n1], cells[n1:]


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
    disable_malloc_trimming()
    n1, ny, _ = data1.shape
    # Lighter cells are beyond what the tolerance sees; their logarithms only slow Newton's method.
    light = tolerance / (100 * ny * (n1 + len(data2)))
    # The last symbol of X2 is where Newton's method holds beta: the one whose lightest cell is heaviest.
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
    """A point near the central path, by sweeps of alternating minimisation, which cost little beside a step.

    With w held, exp(alpha) and exp(beta) are scaled in turn to fit p(x1, y) and p(x2, y); then w moves
    towards w (1 - sum_y exp(alpha + beta)) = mu p(x1) p(x2), where the central path is up to O(t^2). The
    power of a first guess at w, and going twice as far down but not up, are those of the fewest steps on
    random distributions.
    """
    p = _without_light(data, n1, light)
    p1, p2, py, kept = p[:n1], p[n1:], p[:n1].sum(0), p > 0

    # Values of Y that do not occur, and pairs that cannot, keep a trace of weight, against divisions by 0.
    target1, target2 = torch.where(py > 0, p1, TRACE).unsqueeze(1), torch.where(py > 0, p2, TRACE)
    a, b = p1.unsqueeze(1), target2 / py.clamp_min(TRACE)
    total = (a * b).sum(2, keepdim=True)  # p(x1, x2) were X1 and X2 independent given Y
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
    held = (~kept).to(p.dtype)
    if not kept[-1].all():
        held[n1:].scatter_add_(0, p2.max(0, keepdim=True).indices, py * ~kept[-1:])
    return State(
        index=index,
        p=p,
        held=held,
        weight=weight,
        potential=torch.where(kept, torch.cat((a.squeeze(1), b)).clamp_min_(TINY).log_(), MASKED),
        wt=torch.stack((w, torch.maximum(-total.log(), least / w))),
    )


def _without_light(data: Tensor, n1: int, light: float) -> Tensor:
    """The data without cells of no more than `light`, p(x2, y) scaled to the p(y) that is left."""
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
    """Newton steps until every problem is certified, stuck or out of steps; writes the bounds reached."""
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
            ready = ~(mu >= target)  # or not a number: stuck
            slip = (state.p - sums).abs_().sum((0, 1)) + (gap * excess.abs()).sum((0, 1, 2))
            ready &= ~(0.05 * slip > target)
            # More steps of a few that are ready cost less than their certificate and a smaller batch.
            count = len(mu) if last else int(ready.sum())
            if count >= few or count == len(mu):
                if count == len(mu):
                    _certify(state, q, data, lower, upper)
                else:
                    some = torch.nonzero(ready)[:, 0]
                    _certify(state[some], q.index_select(-1, some), data, lower, upper)
                reached = upper[state.index] - lower[state.index] <= tolerance
                going = torch.nonzero((mu < math.inf) & ~reached)[:, 0]
                if last or not len(going):
                    return
                if len(going) < len(mu):
                    state = state[going]
                    pi, q, sums, excess, gap, mu = (
                        x.index_select(-1, going) for x in (pi, q, sums, excess, gap, mu)
                    )
        _step(state, pi, q, sums, excess, gap, mu, attempt, target)


def _conditional(state: State) -> tuple[Float[Tensor, "n1 n2 ny b"], Float[Tensor, "n1 n2 1 b"]]:
    """Softmax and log-sum-exp over y of alpha + beta; 0 and very low for pairs that cannot occur."""
    alpha, beta = state.split(state.potential)
    # The log-sum-exp is near -t: no shift is needed against overflow.
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
    """One predictor-corrector step; those of w and t are relative, and counted downwards."""
    wt, t = state.wt, state.wt[1]
    system = NewtonSystem(pi, q, t, state.p, sums + state.held, attempt.ridge)
    _, tilt = system.solve(excess)
    fall = torch.addcdiv(excess, tilt, t)  # of t; w falls by 1 - fall
    # The more of this step the boundary bars, the more of mu is kept: half at most, or some would stall.
    steepest = torch.maximum(fall, 1.0 - fall).amax((0, 1, 2)).clamp_(1.0, 5.0)
    barred = (steepest - 1.0).div_(steepest)
    centre = barred.pow_(3).mul_(mu).clamp_min_(0.2 * target)
    # Mehrotra's term of second order, as far as it can be trusted.
    bend = torch.addcmul(fall, fall, fall, value=-1.0).clamp_(-1.0, 1.0)
    aim = (centre * state.weight).div_(gap).sub_(bend)
    fit_probes, tilt = system.solve(excess + aim)
    fall = torch.addcdiv(excess, tilt, t)
    fall = torch.stack((1.0 - aim - fall, fall))
    # As far as no entry of w or of t falls by more than its share.
    room = fall.amax((1, 2), keepdim=True).div_(1.0 - attempt.timid).clamp_min_(1.0).reciprocal_()
    state.potential = torch.addcmul(state.potential, room[1, 0], fit_probes)
    state.wt = torch.addcmul(wt, wt, room * fall, value=-1.0)


def _certify(state: State, q: Tensor, data: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Narrows the bounds of the problems in `state` by their iterates."""
    index = state.index
    data = data.index_select(-1, index)
    low = lower_bound(completed(state.potential, data, state.p > 0, len(q)), data, len(q))
    high = upper_bound(feasible(q, data))
    lower[index] = torch.fmax(lower[index], low)
    upper[index] = torch.fmin(upper[index], high)
