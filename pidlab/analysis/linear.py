"""The linear probe: softmax regression by L-BFGS, every (representation, target) at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.analysis.features import Labels, log_posterior

ITERATIONS, MEMORY, RIDGE = 25, 6, 1e-5


def fit_linear(
    z: Float[Tensor, "members n d"], labels: Labels
) -> Callable[[Float[Tensor, "members m d"]], Float[Tensor, "members m targets classes"]]:
    """Fits q(y|z) ∝ p(y) exp(w_y·z + b_y) on the training rows of every member and target.

    Minimises the mean cross-entropy plus `RIDGE`/2 |w|² (nats).

    Returns:
        The scores of other rows; ln q is `log_posterior` of them.
    """
    members, n, d = z.shape
    targets, classes = labels.log_prior.shape[1:]
    rows = torch.cat([z, torch.ones_like(z[..., :1])], dim=-1)
    hot = torch.nn.functional.one_hot(labels.train, classes).to(z.dtype)

    def objective(w: Tensor) -> tuple[Tensor, Tensor]:
        # w: (members, targets, d + 1, classes); loss per member and target
        flat = w.permute(0, 2, 1, 3).reshape(members, d + 1, targets * classes)
        log_q = log_posterior((rows @ flat).view(members, n, targets, classes), labels)
        loss = -(torch.where(hot > 0, log_q, 0.0)).sum((1, 3)) / n
        residual = log_q.exp_().sub_(hot)
        slope = rows.mT @ residual.view(members, n, targets * classes) / n
        grad = slope.view(members, d + 1, targets, classes).permute(0, 2, 1, 3)
        return loss + RIDGE / 2 * w.square().sum((2, 3)), grad + RIDGE * w

    start = torch.zeros(members, targets, d + 1, classes, dtype=z.dtype, device=z.device)
    weights = lbfgs(objective, start, ITERATIONS, MEMORY)

    def scores(z: Tensor) -> Tensor:
        return torch.einsum("knd,ktdc->kntc", z, weights[:, :, :-1]) + weights[:, None, :, -1]

    return scores


def lbfgs(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, iterations: int, memory: int
) -> Tensor:
    """Minimises many problems side by side by L-BFGS with backtracking (Nocedal & Wright, 7.2).

    Args:
        objective: maps points (members, targets, ...) to losses (members, targets) and gradients.
        start: where to begin.
        iterations: how many steps.
        memory: how many past steps shape the direction.
    """
    shape, problems = start.shape, start.shape[:2]

    def flat(t: Tensor) -> Tensor:
        return t.reshape(*problems, -1)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(-1, keepdim=True)

    x = flat(start)
    loss, grad = objective(x.view(shape))
    grad = flat(grad)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(iterations):
        direction, coefficients = -grad, []
        for s, y, rho in reversed(history):
            alpha = rho * dot(s, direction)
            coefficients.append(alpha)
            direction = direction - alpha * y
        if history:
            s, y, _ = history[-1]
            direction = direction * (dot(s, y) / dot(y, y).clamp_min(1e-30)).clamp(1e-6, 1e6)
        for (s, y, rho), alpha in zip(history, reversed(coefficients), strict=True):
            direction = direction + s * (alpha - rho * dot(y, direction))
        slope = dot(grad, direction)
        downhill = slope < 0
        direction = torch.where(downhill, direction, -grad)
        slope = torch.where(downhill, slope, -dot(grad, grad))[..., 0]
        step = torch.ones_like(loss)
        for _ in range(8):
            moved = x + step[..., None] * direction
            new_loss, new_grad = objective(moved.view(shape))
            enough = new_loss <= loss + 1e-4 * step * slope
            if bool(enough.all()):
                break
            step = torch.where(enough, step, step / 2)
        # A problem that found no lower point stays where it is.
        better = (new_loss < loss)[..., None]
        new_x = torch.where(better, moved, x)
        new_grad = torch.where(better, flat(new_grad), grad)
        s, y = new_x - x, new_grad - grad
        curvature = dot(s, y)
        rho = torch.where(curvature > 1e-12, 1.0 / curvature.clamp_min(1e-12), 0.0)
        history = [*history, (s, y, rho)][-memory:]
        loss, x, grad = torch.where(better[..., 0], new_loss, loss), new_x, new_grad
        if not bool(better.any()):
            break
    return x.view(shape)
