"""InfoNCE, CLUB and NCE-CLUB of normal variables whose information is known, in nats.

The experiment of FactorCL (arXiv 2306.05268) on its estimators: critics are trained on batches of fresh rows
and compared with the true information, and with the critic ln p(x, y) / p(x) p(y) itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Linear, mlp
from pidlab.objectives.bounds import Concat, club, infonce
from pidlab.seeds import child, temporary_seed, torch_generator

Scores = Float[Tensor, "n n"]
# Fresh batches that an estimate is averaged over.
BATCHES = 200


@dataclass(frozen=True)
class Channel:
    """Normal X and Y with a known mutual information.

    X and Y have `dimension` coordinates each, with correlation rho between X_k and Y_k. A conditional channel
    has one coordinate each, and Y is shifted by the first coordinate of a Z that is uniform on
    [-1/2, 1/2]^dimension. All rows of a batch share one Z, so that every candidate is drawn from p(y|z), and
    the batch estimates I(X;Y|Z).

    Args:
        dimension: Number of coordinates of X and of Y; of Z if the channel is conditional.
        nats: I(X;Y), or I(X;Y|Z), in nats.
        conditional: Whether there is a Z.
    """

    dimension: int
    nats: float
    conditional: bool = False

    @property
    def pairs(self) -> int:
        """Number of correlated pairs of coordinates."""
        return 1 if self.conditional else self.dimension

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the two inputs of a critic: [X, Z] and Y."""
        return self.pairs + self.dimension * self.conditional, self.pairs

    @property
    def rho(self) -> float:
        """Correlation of a pair, from I = -pairs / 2 ln(1 - rho^2)."""
        return math.sqrt(-math.expm1(-2.0 * self.nats / self.pairs))

    @property
    def jeffreys(self) -> float:
        """KL(p‖q) + KL(q‖p) of joint p and product q of marginals, in nats: pairs * (e^(2 I / pairs) - 1)."""
        return self.pairs * math.expm1(2.0 * self.nats / self.pairs)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch.

        Args:
            rows: Number of rows.
            generator: Source of randomness.

        Returns:
            [X, Z] and Y, with shapes (rows, widths).
        """
        x, noise = torch.randn(2, rows, self.pairs, generator=generator)
        y = self.rho * x + math.sqrt(1.0 - self.rho**2) * noise
        if not self.conditional:
            return x, y
        z = torch.rand(self.dimension, generator=generator) - 0.5
        return torch.cat([x, z.expand(rows, -1)], -1), y + z[0]

    def log_ratio(self, a: Tensor, b: Tensor) -> Scores:
        """Compute ln p(x, y) / p(x) p(y), given z, of every pair of rows.

        Args:
            a: Rows [X, Z].
            b: Rows Y.
        """
        x, y = a[:, : self.pairs], b
        if self.conditional:
            y = b - a[:, [self.pairs]]
        rho = self.rho
        squares = (x**2).sum(-1)[:, None] + (y**2).sum(-1)[None, :]
        exponent = (rho * x @ y.mT - rho**2 / 2.0 * squares) / (1.0 - rho**2)
        return exponent - self.pairs / 2.0 * math.log1p(-(rho**2))


class PairCritic(Concat):
    """The critic of FactorCL's notebook: softplus of an MLP on [a, b] with one hidden layer."""

    def __init__(self, first: int, second: int, *, hidden: int) -> None:
        super().__init__(first, second, hidden=hidden)
        self.rest = nn.Sequential(Linear(hidden, 1), nn.Softplus())  # type: ignore[assignment]


class NormalDensity(nn.Module):
    """ln q(b|a) of a normal q with diagonal covariance, up to a constant (CLUB, arXiv 2006.12013).

    Two MLPs with one hidden layer compute the mean and the log-variance, which a tanh keeps in [-1, 1].
    """

    def __init__(self, first: int, second: int, *, hidden: int) -> None:
        super().__init__()
        self.mean, self.log_variance = mlp(first, hidden, second), mlp(first, hidden, second)

    def forward(self, a: Tensor, b: Tensor) -> Scores:
        """Compute the log-density of every row of b given every row of a."""
        mean, log_variance = self.mean(a), self.log_variance(a).tanh()
        precision = (-log_variance).exp()
        # The sum over coordinates of (b - mean)^2 * precision, expanded so that it takes two matrix products.
        squares = precision @ (b**2).mT - 2.0 * (mean * precision) @ b.mT
        return -0.5 * (squares + (mean**2 * precision + log_variance).sum(-1)[:, None])


def _log_likelihood(scores: Scores) -> Tensor:
    return scores.diagonal().mean()


# What a critic maximizes, and the estimates that are computed from its scores.
CRITICS: dict[type[nn.Module], tuple[Callable[[Scores], Tensor], dict[str, Callable[..., Tensor]]]] = {
    PairCritic: (infonce, {"nce": infonce, "nce-club": club}),
    NormalDensity: (_log_likelihood, {"club": club}),
}


def estimate(
    channels: Sequence[Channel],
    seed: int,
    *,
    steps: int = 1000,
    batch: int = 64,
    hidden: int = 128,
    rate: float = 5e-3,
) -> list[dict[str, Any]]:
    """Estimate the information of channels one after the other, with critics that continue from the last one.

    Args:
        channels: Channels of equal widths, in the order of training.
        seed: Seed of networks and rows.
        steps: Steps of Adam on each channel.
        batch: Rows of a batch. InfoNCE is at most ln(batch).
        hidden: Width of hidden layers.
        rate: Learning rate.

    Returns:
        One row per channel, estimator and critic with `nats`, `estimator`, `critic` and `estimate`, the mean
        over fresh batches in nats. The critic `exact` is the log ratio of the densities; CLUB of ln p(y|x)
        equals its NCE-CLUB, since ln p(y) cancels.
    """
    rows: list[dict[str, Any]] = []
    for channel in channels:
        fresh = torch_generator(child(seed, "exact", str(channel.nats)))
        for name, value in CRITICS[PairCritic][1].items():
            found = _mean(channel.log_ratio, channel, value, batch, fresh)
            rows.append({"nats": channel.nats, "estimator": name, "critic": "exact", "estimate": found})
    for kind, (objective, values) in CRITICS.items():
        with temporary_seed(child(seed, "weights", kind.__name__)):
            critic = kind(*channels[0].widths, hidden=hidden)
        optimizer = torch.optim.Adam(critic.parameters(), rate)
        data = torch_generator(child(seed, "data", kind.__name__))
        for channel in channels:
            for _ in range(steps):
                optimizer.zero_grad()
                (-objective(critic(*channel.draw(batch, data)))).backward()
                optimizer.step()
            for name, value in values.items():
                found = _mean(critic, channel, value, batch, data)
                rows.append({"nats": channel.nats, "estimator": name, "critic": "trained", "estimate": found})
    return rows


@torch.no_grad()
def _mean(
    critic: Callable[[Tensor, Tensor], Tensor],
    channel: Channel,
    value: Callable[[Scores], Tensor],
    batch: int,
    generator: torch.Generator,
) -> float:
    """Return the mean value of a critic's scores over fresh batches."""
    values = [value(critic(*channel.draw(batch, generator))) for _ in range(BATCHES)]
    return float(torch.stack(values).mean())
