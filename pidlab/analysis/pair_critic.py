"""A critic of pairs of continuous rows: the normal answer, and what a network adds to it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.seeds import child, torch_generator

Value = Callable[[Float[Tensor, "n n"]], Float[Tensor, ""]]


@dataclass(frozen=True)
class Fit:
    """How a critic is fitted.

    Args:
        batch: rows that are scored against each other.
        steps: of AdamW.
        rate: peak learning rate, one cycle.
        hidden: width of the networks' two hidden layers.
        width: of the vectors that are multiplied.
        waves: of the shift kernel.
        checks: how often validation is asked; the best critic counts, the first of which is the normal one.
    """

    batch: int = 512
    steps: int = 1500
    rate: float = 2e-3
    hidden: int = 96
    width: int = 48
    waves: int = 64
    checks: int = 10


class PairCritic:
    """f(x, y) = normal log density ratio of canonical coordinates + g(x)·h(y) + Σ_k c_k cos πk(u - v).

    g and h are MLPs; u and v are the ranks, in [0, 1], of the leading coordinates of x and y. The shift
    kernel draws sharp edges of a law such as that of bounded additive noise, for which products of
    smooth functions need far more terms than rows can tell. It starts as the normal answer (h and c
    are 0), so that only what is not normal is to be found.

    Args:
        correlations: (members, k) canonical ones.
        widths: of x and of y.
        fit: sizes.
        seeds: one per member.
    """

    def __init__(self, correlations: Tensor, widths: tuple[int, int], fit: Fit, seeds: list[int]) -> None:
        self._rho = correlations.float()
        drawn = [_networks(widths, fit, seed) for seed in seeds]
        self.params = [torch.stack(parts).requires_grad_() for parts in zip(*drawn, strict=True)]
        self.params.append(torch.zeros(len(seeds), 1, fit.waves, requires_grad=True))

    def __call__(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members m dy"]
    ) -> Float[Tensor, "members n m"]:
        """The score of every x with every y."""
        k = self._rho.shape[-1]
        share = self._rho / (1.0 - self._rho**2)
        scale = (self._rho * share)[:, None] / 2.0
        normal = (x[..., :k] * share[:, None]) @ y[..., :k].mT
        normal = normal - (scale * x[..., :k] ** 2).sum(-1)[:, :, None]
        normal = normal - (scale * y[..., :k] ** 2).sum(-1)[:, None]
        constant = -0.5 * torch.log1p(-(self._rho**2)).sum(-1)
        *networks, weights = self.params
        half = len(networks) // 2
        g, h = _run(networks[:half], x), _run(networks[half:], y)
        u, v = _waves(x, weights.shape[-1]), _waves(y, weights.shape[-1])
        return normal + constant[:, None, None] + g @ h.mT + (torch.cat([weights] * 2, -1) * u) @ v.mT


def fit_critic(
    critic: PairCritic,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    value: Value,
    fit: Fit,
    seed: int,
) -> None:
    """Raises `value` on batches of the training rows; keeps what validation likes best, by member."""
    n = train[0].shape[1]
    optimiser = torch.optim.AdamW(critic.params, lr=fit.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, fit.rate, total_steps=fit.steps + 1)
    batched = torch.vmap(value)
    with torch.no_grad():
        best = held_out(critic, *validation, value, fit.batch)
    kept = [p.detach().clone() for p in critic.params]
    per_pass, order = n // fit.batch, torch.arange(n)
    for step in range(fit.steps):
        epoch, place = divmod(step, per_pass)
        if place == 0:
            order = torch.randperm(n, generator=torch_generator(child(seed, "batches", epoch)))
        rows = order[place * fit.batch :][: fit.batch]
        optimiser.zero_grad()
        (-batched(critic(train[0][:, rows], train[1][:, rows])).sum()).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % max(1, fit.steps // fit.checks) == 0:
            with torch.no_grad():
                found = held_out(critic, *validation, value, fit.batch)
            better = found > best
            best = torch.where(better, found, best)
            for keep, p in zip(kept, critic.params, strict=True):
                keep[better] = p.detach()[better]
    for keep, p in zip(kept, critic.params, strict=True):
        p.data.copy_(keep)


def held_out(critic: PairCritic, x: Tensor, y: Tensor, value: Value, batch: int) -> Float[Tensor, " members"]:
    """The mean of `value` over batches of rows, in nats."""
    return batches(critic, x, y, value, batch).mean(0)


def batches(
    critic: PairCritic, x: Tensor, y: Tensor, value: Value, batch: int
) -> Float[Tensor, "batches members"]:
    """`value` of every whole batch of rows, in nats."""
    starts = range(0, x.shape[1] - batch + 1, batch)
    return torch.stack([torch.vmap(value)(critic(x[:, s : s + batch], y[:, s : s + batch])) for s in starts])


def _networks(widths: tuple[int, int], fit: Fit, seed: int) -> list[Tensor]:
    generator, found = torch_generator(seed), []
    for side, d in enumerate(widths):
        shapes = [(d, fit.hidden), (1, fit.hidden), (fit.hidden, fit.hidden), (1, fit.hidden)]
        shapes += [(fit.hidden, fit.width), (1, fit.width)]
        for i, shape in enumerate(shapes):
            gain = 0.0 if i % 2 or (i == 4 and side) else (2.0 / shape[0]) ** 0.5
            found.append(torch.randn(shape, generator=generator) * gain)
    return found


def _waves(z: Float[Tensor, "members n d"], count: int) -> Float[Tensor, "members n waves"]:
    """Sines and cosines of the rank of the first coordinate."""
    angle = torch.special.ndtr(z[..., :1]) * torch.pi * torch.arange(1, count + 1, device=z.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _run(params: list[Tensor], z: Tensor) -> Tensor:
    w1, b1, w2, b2, w3, b3 = params
    h = F.silu(torch.baddbmm(b1, z, w1))
    h = F.silu(torch.baddbmm(b2, h, w2))
    return torch.baddbmm(b3, h, w3)
