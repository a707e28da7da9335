"""Linear probe: softmax regression by L-BFGS, for all members and targets at once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import aligned
from pidlab.probes.posteriors import at_label, log_posterior
from pidlab.probes.splits import Labels

# Evaluations of the loss, L-BFGS history, and weight of the L2 penalty.
EVALUATIONS, MEMORY, RIDGE = 40, 6, 1e-5
# A problem is finished when a step is expected to lower its loss by less than this, in nats.
MIN_DECREASE = 1e-6


def fit_linear(
    z: Float[Tensor, "members n d"], labels: Labels
) -> Callable[[Float[Tensor, "members m d"]], Float[Tensor, "members targets classes m"]]:
    """Fit q(y|z) ∝ p(y) exp(w_y·z + b_y) for every member and target.

    The loss is the mean cross-entropy in nats plus `RIDGE`/2 |(w, b)|².

    Args:
        z: Whitened training rows, shape (members, n, d).
        labels: Labels of these rows.

    Returns:
        A function from other rows, shape (members, m, d), to their scores; `log_posterior` of the scores
        is ln q.
    """
    members, n, _ = z.shape
    targets, classes = labels.log_prior.shape[1:]
    rows = _with_ones(z)
    one_hot = F.one_hot(labels.train, classes).to(z.dtype).mT.contiguous()

    def scores(w: Tensor, rows: Tensor) -> Tensor:
        flat = w.flatten(1, 2)
        # Products with few rows of weights depend on the number of members, those of padded weights do not.
        padded = F.pad(flat, (0, 0, 0, aligned(flat.shape[1]) - flat.shape[1]))
        return (padded @ rows.mT)[:, : flat.shape[1]].unflatten(1, (targets, classes))

    def objective(w: Tensor) -> tuple[Tensor, Tensor]:
        log_q = log_posterior(scores(w, rows), labels)
        loss = -at_label(log_q, labels.train).mean(-1)
        # In place: log_q is the largest tensor here and no longer needed.
        residual = log_q.exp_().sub_(one_hot)
        # The product in the other order would depend on the number of members, too.
        slope = (rows.mT @ residual.flatten(1, 2).mT).mT.reshape(w.shape) / n
        return loss + RIDGE / 2 * w.square().sum((2, 3)), slope + RIDGE * w

    start = torch.zeros(members, targets, classes, rows.shape[-1], dtype=z.dtype, device=z.device)
    weights = lbfgs(objective, start, EVALUATIONS, MEMORY)
    return lambda z: scores(weights, _with_ones(z))


def _with_ones(z: Tensor) -> Tensor:
    """Append a column of ones for the bias."""
    return torch.cat([z, torch.ones_like(z[..., :1])], dim=-1)


def lbfgs(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, "members targets *shape"],
    evaluations: int,
    memory: int,
) -> Float[Tensor, "members targets *shape"]:
    """Minimize many independent problems at once by L-BFGS with backtracking.

    Each evaluation is one trial step of every problem. A problem whose loss falls far enough takes a new
    direction; the others halve their step. No problem waits for another. A finished problem
    (`MIN_DECREASE`) keeps its point, so that the result does not depend on how long the others take.

    Args:
        objective: Function from points to losses (members, targets) and gradients.
        start: Initial points, shape (members, targets, ...).
        evaluations: Largest number of evaluations of the objective after the first.
        memory: Number of past steps that determine a direction.

    Returns:
        The final points.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    """
    shape = start.shape
    x = start.flatten(2)
    loss, grad = objective(start)
    loss, grad = loss[..., None], grad.flatten(2)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    scale = torch.ones_like(loss)
    direction, step = -grad, torch.ones_like(loss)
    for _ in range(evaluations):
        # For a Newton direction, half of this slope is the distance of the loss to its minimum.
        active = -_dot(grad, direction) / 2.0 > MIN_DECREASE
        if not active.any():
            break
        trial = x + step * direction
        trial_loss, trial_grad = objective(trial.view(shape))
        trial_loss, trial_grad = trial_loss[..., None], trial_grad.flatten(2)
        # Armijo's condition of sufficient decrease.
        accepted = active & (trial_loss <= loss + 1e-4 * step * _dot(grad, direction))
        s = torch.where(accepted, trial - x, 0.0)
        y = torch.where(accepted, trial_grad - grad, 0.0)
        curvature = _dot(s, y)
        useful = curvature > 1e-12
        # A pair without positive curvature gets weight 0: it would make the metric indefinite.
        rho = torch.where(useful, 1.0 / curvature.clamp_min(1e-12), 0.0)
        scale = torch.where(useful, curvature / _dot(y, y).clamp_min(1e-30), scale)
        history = [*history, (s, y, rho)][-memory:]
        x, loss = x + s, torch.where(accepted, trial_loss, loss)
        grad = torch.where(accepted, trial_grad, grad)
        direction = torch.where(accepted, _direction(grad, history, scale), direction)
        step = torch.where(accepted, 1.0, step / 2.0)
    return x.view(shape)


def _direction(grad: Tensor, history: list[tuple[Tensor, Tensor, Tensor]], scale: Tensor) -> Tensor:
    """Return the direction of the two-loop recursion, or of steepest descent if that one does not descend."""
    direction, weights = -grad, []
    for s, y, rho in reversed(history):
        weights.append(rho * _dot(s, direction))
        direction = direction - weights[-1] * y
    direction = direction * scale
    for (s, y, rho), weight in zip(history, reversed(weights), strict=True):
        direction = direction + s * (weight - rho * _dot(y, direction))
    return torch.where(_dot(grad, direction) < 0, direction, -grad)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the dot product of each problem."""
    return (a * b).sum(-1, keepdim=True)
