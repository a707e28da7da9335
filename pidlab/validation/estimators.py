"""Mutual information of continuous variables, estimated from samples, in bits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest, nearest
from pidlab.objectives import bounds
from pidlab.probes.features import normal_scores
from pidlab.probes.row import interval
from pidlab.seeds import child, torch_generator

# A canonical correlation closer to 1 than this means that one variable copies the other without noise.
NOISELESS = 1e-7
# Shares of the rows that train a critic and that select it; the remaining rows are scored.
TRAIN, VALIDATION = 0.7, 0.1
LEAST_ROWS = 2000

Value: TypeAlias = Callable[[Float[Tensor, "n n"]], Float[Tensor, ""]]


@dataclass(frozen=True)
class Estimator:
    """Estimator of I(X;Y) for continuous variables.

    Args:
        about: Description in one line, with its source.
        kind: `lower` or `upper` bound in expectation, or `normal` for exact on normal variables only.
        loss: Value of a score matrix that the critic maximizes; None for estimators without a critic.
        value: Value of a score matrix of fresh rows, in nats; None for estimators without a critic.
    """

    about: str
    kind: str
    loss: Value | None = None
    value: Value | None = None


ESTIMATORS: dict[str, Estimator] = {
    "infonce": Estimator(
        "InfoNCE, capped at log batch (van den Oord et al. 2018)", "lower", bounds.infonce, bounds.infonce
    ),
    "club": Estimator("CLUB of a normal q(y|x) (Cheng et al. 2020)", "upper"),
    "nce-club": Estimator(
        "CLUB of the critic that maximizes InfoNCE (Liang et al. 2023)", "upper", bounds.infonce, bounds.club
    ),
    "cca": Estimator("canonical correlations, exact for normal variables (Hotelling 1936)", "normal"),
}


@dataclass(frozen=True)
class MutualInformationEstimate:
    """Estimates of one estimator for a batch of sample sets.

    Args:
        bits: Estimates in bits, shape (members,).
        low: Lower ends of the 95 % intervals over fresh rows or batches of rows (for `cca`, over the
            training rows). They do not include bias.
        high: Upper ends of these intervals.
        capped: Whether an estimate is within one bit of log2 of the batch size, the maximum of a contrastive
            lower bound; the information may then be much larger.
    """

    bits: Float[np.ndarray, " members"]
    low: Float[np.ndarray, " members"]
    high: Float[np.ndarray, " members"]
    capped: np.ndarray


@dataclass(frozen=True)
class CriticTraining:
    """Settings of a critic and its training.

    Args:
        batch: Number of rows that are scored against each other.
        steps: Steps of AdamW.
        rate: Peak learning rate of a one-cycle schedule.
        hidden: Width of the two hidden layers of both networks.
        width: Dimension of the vectors whose inner product is the score.
        waves: Number of frequencies of the shift kernel.
        checks: Number of validation checks; the best critic is used, including the initial one.
    """

    batch: int = 512
    steps: int = 1500
    rate: float = 2e-3
    hidden: int = 96
    width: int = 48
    waves: int = 64
    checks: int = 10


def mutual_information(
    x: Float[Tensor, "members n dx"],
    y: Float[Tensor, "members n dy"],
    estimators: Sequence[str] = ("infonce",),
    seed: int = 0,
    training: CriticTraining | None = None,
) -> dict[str, MutualInformationEstimate]:
    """Estimate I(X;Y) of several sample sets with several estimators on the same rows.

    Each coordinate is first mapped to normal scores, which preserves the information and removes heavy tails,
    and then rotated into canonical coordinates. Estimators with the same loss share one critic.

    Args:
        x: Rows of X, shape (members, n, dx).
        y: Rows of Y, paired with those of X, shape (members, n, dy).
        estimators: Names in `ESTIMATORS`.
        seed: Seed of the split and of the networks.
        training: Settings of the critics.

    Returns:
        The estimates by estimator.

    Raises:
        InvalidRequest: If an estimator is unknown, there are fewer than 2,000 rows, values are not finite or
            repeat, or one variable copies the other without noise.
    """
    for name in estimators:
        if name not in ESTIMATORS:
            raise InvalidRequest(f"unknown estimator {name!r}: {nearest(name, ESTIMATORS)}")
    _check(x, y)
    training, n = training or CriticTraining(), x.shape[1]
    training = replace(training, batch=min(training.batch, round(VALIDATION * n)))
    order = torch.randperm(n, generator=torch_generator(child(seed, "split")))
    x, y = x[:, order], y[:, order]
    train, test = round(TRAIN * n), round((TRAIN + VALIDATION) * n)
    x, y = normal_scores(x, x[:, :train]), normal_scores(y, y[:, :train])
    cca = CanonicalCorrelation(x[:, :train], y[:, :train])
    x, y = cca(x, y)
    critics: dict[Value, PairCritic] = {}
    estimates = {}
    for name in estimators:
        loss, value = ESTIMATORS[name].loss, ESTIMATORS[name].value
        if loss is None or value is None:
            is_club = name == "club"
            nats = _normal_club(x, y, train) if is_club else cca.log_ratio(x[:, :train], y[:, :train])
            estimates[name] = _estimate(nats)
            continue
        if loss not in critics:
            seeds = [child(seed, "critic")] * len(x)
            critics[loss] = PairCritic(cca.correlations, (x.shape[2], y.shape[2]), training, seeds)
            rows, held_out = ((x[:, a:b], y[:, a:b]) for a, b in ((0, train), (train, test)))
            _train_critic(critics[loss], rows, held_out, loss, training, seed)
        with torch.no_grad():
            values = _batch_values(critics[loss], x[:, test:], y[:, test:], value, training.batch)
        estimates[name] = _estimate(values.mT, math.log2(training.batch) - 1.0)
    return estimates


class CanonicalCorrelation:
    """Canonical coordinates of two variables (Hotelling 1936): white, and correlated in pairs only.

    Args:
        x: Training rows of X, shape (members, n, dx).
        y: Training rows of Y, shape (members, n, dy).

    Raises:
        InvalidRequest: If a canonical correlation is 1, where the information is infinite.
    """

    def __init__(self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]) -> None:
        n = x.shape[1]
        self._means = [z.double().mean(1, keepdim=True) for z in (x, y)]
        centered = [z.double() - mean for z, mean in zip((x, y), self._means, strict=True)]
        roots = []
        for z in centered:
            power, axes = torch.linalg.eigh(z.mT @ z / n)
            roots.append(axes * power.clamp_min(1e-12).rsqrt()[:, None])
        cross = (centered[0] @ roots[0]).mT @ (centered[1] @ roots[1]) / n
        u, s, v = torch.linalg.svd(cross)
        if float(s.max()) > 1.0 - NOISELESS:
            raise InvalidRequest(
                "one variable contains a coordinate of the other without noise, so the information is "
                "infinite; add noise or use a discrete target"
            )
        self._maps = [roots[0] @ u, roots[1] @ v.mT]
        # Correlations below the edge of the null law of singular values (Wachter 1980),
        # (sqrt(dx) + sqrt(dy))^2 / n, are chance.
        edge = (x.shape[2] ** 0.5 + y.shape[2] ** 0.5) ** 2 / n
        self.correlations = torch.where(s**2 > 1.1 * edge, s, 0.0)

    def __call__(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> tuple[Float[Tensor, "members n dx"], Float[Tensor, "members n dy"]]:
        """Rotate rows into canonical coordinates, the most correlated pair first."""
        rotated = [
            ((z.double() - mean) @ change).to(z.dtype)
            for z, mean, change in zip((x, y), self._means, self._maps, strict=True)
        ]
        return rotated[0], rotated[1]

    def log_ratio(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> Float[Tensor, "members n"]:
        """Compute ln p(x,y) / p(x)p(y) of normal variables with these correlations.

        Its mean over the training rows is -1/2 sum ln(1 - rho^2), the information of normal variables.

        Args:
            x: Rows of X in canonical coordinates, shape (members, n, dx).
            y: Rows of Y in canonical coordinates, shape (members, n, dy).

        Returns:
            The log ratio of each row in nats, shape (members, n).
        """
        rho = self.correlations[:, None]
        x, y = (z[..., : rho.shape[-1]].double() for z in (x, y))
        exponent = rho * x * y - rho**2 * (x**2 + y**2) / 2.0
        return (exponent / (1.0 - rho**2) - 0.5 * torch.log1p(-(rho**2))).sum(-1)


class PairCritic:
    """Critic f(x, y) = normal log density ratio + g(x)·h(y) + sum_k c_k cos(pi k (u - v)).

    g and h are MLPs; u and v are the ranks, in [0, 1], of the leading canonical coordinates. The shift kernel
    represents sharp edges of a law, such as bounded additive noise, for which inner products of smooth
    functions need too many terms. Training starts at the normal log density ratio (h and c are 0).

    Args:
        correlations: Canonical correlations, shape (members, k).
        widths: Dimensions of x and y.
        training: Sizes of the networks.
        seeds: Seed of each member.
    """

    def __init__(
        self, correlations: Tensor, widths: tuple[int, int], training: CriticTraining, seeds: list[int]
    ) -> None:
        self._rho = correlations.float()
        drawn = [_networks(widths, training, seed) for seed in seeds]
        self.params = [torch.stack(parts).requires_grad_() for parts in zip(*drawn, strict=True)]
        self.params.append(torch.zeros(len(seeds), 1, training.waves, requires_grad=True))

    def __call__(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members m dy"]
    ) -> Float[Tensor, "members n m"]:
        """Score every row of x against every row of y."""
        k = self._rho.shape[-1]
        share = self._rho / (1.0 - self._rho**2)
        scale = (self._rho * share)[:, None] / 2.0
        normal = (x[..., :k] * share[:, None]) @ y[..., :k].mT
        normal = normal - (scale * x[..., :k] ** 2).sum(-1)[:, :, None]
        normal = normal - (scale * y[..., :k] ** 2).sum(-1)[:, None]
        constant = -0.5 * torch.log1p(-(self._rho**2)).sum(-1)
        *networks, weights = self.params
        half = len(networks) // 2
        g, h = _forward(networks[:half], x), _forward(networks[half:], y)
        u, v = _waves(x, weights.shape[-1]), _waves(y, weights.shape[-1])
        return normal + constant[:, None, None] + g @ h.mT + (torch.cat([weights] * 2, -1) * u) @ v.mT


def _train_critic(
    critic: PairCritic,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    loss: Value,
    training: CriticTraining,
    seed: int,
) -> None:
    """Maximize `loss` on batches of training rows; restore the best parameters on validation, by member."""
    n = train[0].shape[1]
    optimizer = torch.optim.AdamW(critic.params, lr=training.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.rate, total_steps=training.steps + 1)
    batched = torch.vmap(loss)
    with torch.no_grad():
        best = _batch_values(critic, *validation, loss, training.batch).mean(0)
    best_params = [p.detach().clone() for p in critic.params]
    per_epoch, order = n // training.batch, torch.arange(n)
    for step in range(training.steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            order = torch.randperm(n, generator=torch_generator(child(seed, "batches", epoch)))
        rows = order[place * training.batch :][: training.batch]
        optimizer.zero_grad()
        (-batched(critic(train[0][:, rows], train[1][:, rows])).sum()).backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % max(1, training.steps // training.checks) == 0:
            with torch.no_grad():
                score = _batch_values(critic, *validation, loss, training.batch).mean(0)
            is_better = score > best
            best = torch.where(is_better, score, best)
            for best_p, p in zip(best_params, critic.params, strict=True):
                best_p[is_better] = p.detach()[is_better]
    for best_p, p in zip(best_params, critic.params, strict=True):
        p.data.copy_(best_p)


def _batch_values(
    critic: PairCritic, x: Tensor, y: Tensor, value: Value, batch: int
) -> Float[Tensor, "batches members"]:
    """Compute `value` of every whole batch of rows, in nats."""
    starts = range(0, x.shape[1] - batch + 1, batch)
    return torch.stack([torch.vmap(value)(critic(x[:, s : s + batch], y[:, s : s + batch])) for s in starts])


def _networks(widths: tuple[int, int], training: CriticTraining, seed: int) -> list[Tensor]:
    """Draw the weights of g and h; the last layer of h and all biases are 0."""
    generator, params = torch_generator(seed), []
    for side, d in enumerate(widths):
        shapes = [(d, training.hidden), (1, training.hidden)]
        shapes += [(training.hidden, training.hidden), (1, training.hidden)]
        shapes += [(training.hidden, training.width), (1, training.width)]
        for i, shape in enumerate(shapes):
            gain = 0.0 if i % 2 or (i == 4 and side) else (2.0 / shape[0]) ** 0.5
            params.append(torch.randn(shape, generator=generator) * gain)
    return params


def _forward(params: list[Tensor], z: Tensor) -> Tensor:
    """Apply an MLP with two hidden layers to every member."""
    w1, b1, w2, b2, w3, b3 = params
    h = F.silu(torch.baddbmm(b1, z, w1))
    h = F.silu(torch.baddbmm(b2, h, w2))
    return torch.baddbmm(b3, h, w3)


def _waves(z: Float[Tensor, "members n d"], count: int) -> Float[Tensor, "members n waves"]:
    """Compute sines and cosines of the rank of the first coordinate."""
    angle = torch.special.ndtr(z[..., :1]) * torch.pi * torch.arange(1, count + 1, device=z.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _normal_club(x: Tensor, y: Tensor, train: int) -> Float[Tensor, "members rows"]:
    """Compute CLUB of q(y|x) = N(Wx, diag): ln q(y_i|x_i) - mean_j ln q(y_j|x_i) per row, in nats."""
    ones = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    weights = torch.linalg.lstsq(ones[:, :train], y[:, :train]).solution
    variance = (y[:, :train] - ones[:, :train] @ weights).square().mean(1)
    predicted, fresh = (ones @ weights)[:, train:], y[:, train:]
    paired = (fresh - predicted).square()
    # The mean over all j of (y_j - predicted_i)^2, expanded so that no pairs are formed.
    unpaired = fresh.square().mean(1, keepdim=True) - 2 * fresh.mean(1, keepdim=True) * predicted
    unpaired = unpaired + predicted.square()
    return ((unpaired - paired) / (2 * variance[:, None])).sum(-1)


def _estimate(nats: Float[Tensor, "members rows"], limit: float = math.inf) -> MutualInformationEstimate:
    """Convert terms in nats to an estimate with its interval; estimates from `limit` bits on are capped."""
    bits, low, high = interval(nats.double() / math.log(2.0)).T
    return MutualInformationEstimate(bits, low, high, bits >= limit)


def _check(x: Tensor, y: Tensor) -> None:
    """Reject samples on which the estimators are undefined."""
    if x.shape[:2] != y.shape[:2]:
        raise InvalidRequest(
            f"{tuple(x.shape[:2])} rows of X and {tuple(y.shape[:2])} of Y; expected equal numbers"
        )
    if x.shape[1] < LEAST_ROWS:
        raise InvalidRequest(f"{x.shape[1]} rows: expected {LEAST_ROWS} or more")
    for name, z in (("X", x), ("Y", y)):
        if not bool(z.isfinite().all()):
            raise InvalidRequest(f"{name}: has values that are not finite; remove or correct these rows")
        ordered = z.sort(1).values
        repeats = (ordered[:, 1:] == ordered[:, :-1]).double().mean()
        if float(repeats) > 0.01:
            raise InvalidRequest(
                f"{name}: {float(repeats):.0%} of its values repeat; these estimators are for continuous "
                "variables, so use a discrete variable as a target instead"
            )
