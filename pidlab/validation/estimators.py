"""Mutual information of continuous variables, estimated from samples. In bits."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from pidlab.errors import InvalidRequest, nearest
from pidlab.objectives import bounds
from pidlab.probes.row import interval
from pidlab.seeds import child, torch_generator

# Canonical correlations nearer to 1 than this are a variable copied without noise.
NOISELESS = 1e-7


def normal_scores(
    rows: Float[Tensor, "members n d"], reference: Float[Tensor, "members m d"]
) -> Float[Tensor, "members n d"]:
    """Each coordinate's rank among the reference rows as the quantile of a normal.

    Increasing in every coordinate, so no information changes; heavy tails become those of a normal.
    """
    m = reference.shape[1]
    ordered = reference.mT.sort(-1).values.contiguous()
    values = rows.mT.contiguous()
    place = (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)) / 2.0
    # Between two reference values a row keeps its place in their interval, so that ranks stay distinct.
    low = torch.searchsorted(ordered, values, right=True).clamp(1, m - 1)
    left, right = ordered.gather(-1, low - 1), ordered.gather(-1, low)
    part = ((values - left) / (right - left).clamp_min(1e-30)).clamp(0.0, 1.0)
    inside = (values > ordered[..., :1]) & (values < ordered[..., -1:])
    place = torch.where(inside, low - 0.5 + part, place)
    return torch.special.ndtri(((place + 0.5) / (m + 1)).double()).to(rows.dtype).mT


class Canonical:
    """Both variables in canonical coordinates (Hotelling 1936): white, and correlated in pairs only.

    Args:
        x: (members, n, dx), training rows.
        y: (members, n, dy).

    Raises:
        InvalidRequest: a canonical correlation of 1: the information is infinite.
    """

    def __init__(self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]) -> None:
        n = x.shape[1]
        self._means = [z.double().mean(1, keepdim=True) for z in (x, y)]
        centred = [z.double() - mean for z, mean in zip((x, y), self._means, strict=True)]
        roots = []
        for z in centred:
            power, axes = torch.linalg.eigh(z.mT @ z / n)
            roots.append(axes * power.clamp_min(1e-12).rsqrt()[:, None])
        cross = (centred[0] @ roots[0]).mT @ (centred[1] @ roots[1]) / n
        u, s, v = torch.linalg.svd(cross)
        if float(s.max()) > 1.0 - NOISELESS:
            raise InvalidRequest(
                "one variable holds a coordinate of the other without noise: the information of continuous "
                "variables is infinite then; add noise, or ask for a discrete target"
            )
        self._maps = [roots[0] @ u, roots[1] @ v.mT]
        # What chance alone gives to n rows is no correlation: the edge of the law of singular values
        # (Wachter 1980), (√dx + √dy)² / n.
        edge = (x.shape[2] ** 0.5 + y.shape[2] ** 0.5) ** 2 / n
        self.correlations = torch.where(s**2 > 1.1 * edge, s, 0.0)

    def __call__(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> tuple[Float[Tensor, "members n dx"], Float[Tensor, "members n dy"]]:
        """Rows in canonical coordinates, the most correlated first."""
        found = [
            ((z.double() - mean) @ change).to(z.dtype)
            for z, mean, change in zip((x, y), self._means, self._maps, strict=True)
        ]
        return found[0], found[1]

    def log_ratio(
        self, x: Float[Tensor, "members n dx"], y: Float[Tensor, "members n dy"]
    ) -> Float[Tensor, "members n"]:
        """Ln p(x,y) / p(x)p(y) of rows in canonical coordinates, were they normal.

        Its mean over the training rows is -½ Σ ln(1 - ρ²), the information of normal variables.
        """
        rho = self.correlations[:, None]
        x, y = (z[..., : rho.shape[-1]].double() for z in (x, y))
        exponent = rho * x * y - rho**2 * (x**2 + y**2) / 2.0
        return (exponent / (1.0 - rho**2) - 0.5 * torch.log1p(-(rho**2))).sum(-1)


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


# Parts of the rows that fit a critic and that choose it; the rest is scored.
TRAIN, VALIDATION = 0.7, 0.1
NEIGHBOURS, SMILE_CLIP, LEAST_ROWS = 5, 5.0, 2000
# Searches for neighbours in many dimensions look at every pair of rows.
KSG_ROWS = 5000


def js(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """The Jensen-Shannon objective: a logistic loss of true against other pairs (Hjelm et al. 2019)."""
    n = scores.shape[0]
    joint = scores.diagonal()
    other = F.softplus(scores).sum() - F.softplus(joint).sum()
    return -F.softplus(-joint).mean() - other / (n * (n - 1))


def smile(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """SMILE: Donsker-Varadhan with scores clipped at ±5 in its normaliser (Song & Ermon 2020)."""
    n = scores.shape[0]
    clipped = scores.clamp(-SMILE_CLIP, SMILE_CLIP)
    off = clipped.masked_fill(torch.eye(n, dtype=torch.bool, device=scores.device), -math.inf)
    return scores.diagonal().mean() - torch.logsumexp(off.flatten(), 0) + math.log(n * (n - 1))


def shifted_nwj(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """`bounds.nwj` of 1 + the scores, which is tight where they are the log density ratio."""
    return bounds.nwj(1.0 + scores)


@dataclass(frozen=True)
class Estimator:
    """A way to estimate I(X;Y) of continuous variables.

    Args:
        about: what it is, with its source.
        kind: `lower` or `upper` bound in expectation, else `consistent` or `normal`.
        fit: what a critic raises in training; None: no critic.
        value: what is computed of its scores on fresh rows.
    """

    about: str
    kind: str
    fit: Value | None = None
    value: Value | None = None


ESTIMATORS: dict[str, Estimator] = {
    "infonce": Estimator(
        "InfoNCE, capped at log batch (van den Oord et al. 2018)", "lower", bounds.infonce, bounds.infonce
    ),
    "nwj": Estimator("NWJ (Nguyen, Wainwright & Jordan 2010)", "lower", shifted_nwj, shifted_nwj),
    "smile": Estimator("critic by Jensen-Shannon, value by SMILE (Song & Ermon 2020)", "lower", js, smile),
    "club": Estimator("CLUB of a normal q(y|x) (Cheng et al. 2020)", "upper"),
    "nce-club": Estimator(
        "CLUB of the critic that maximises InfoNCE (Liang et al. 2023)", "upper", bounds.infonce, bounds.club
    ),
    "ksg": Estimator("nearest neighbours, estimator 1 (Kraskov, Stögbauer & Grassberger 2004)", "consistent"),
    "cca": Estimator("canonical correlations, exact for normal variables (Hotelling 1936)", "normal"),
}


@dataclass(frozen=True)
class Estimated:
    """What an estimator makes of the samples of every member.

    Args:
        bits: the estimates.
        low: bounds of their 95 % intervals (`pidlab.probes.row`), over fresh rows or batches of
            such; of `cca` over the rows that gave its correlations. They know no bias.
        high: upper ones.
        capped: whether an estimate is within a bit of log2 of the batch, where a lower bound of a
            contrast of so many rows ends: more is there, perhaps infinitely much.
    """

    bits: Float[np.ndarray, " members"]
    low: Float[np.ndarray, " members"]
    high: Float[np.ndarray, " members"]
    capped: np.ndarray


def mutual_information(
    x: Float[Tensor, "members n dx"],
    y: Float[Tensor, "members n dy"],
    estimator: str = "infonce",
    seed: int = 0,
    fit: Fit | None = None,
) -> Estimated:
    """I(X;Y) of the rows of every member.

    Coordinates are first given the ranks of a normal, which changes no information and mends heavy tails
    (NWJ is off by bits without), then rotated into canonical coordinates.

    Args:
        x: rows of X.
        y: rows of Y, paired with those of X.
        estimator: one of `ESTIMATORS`.
        seed: of the split and the networks.
        fit: of the critic.

    Raises:
        InvalidRequest: no such estimator; fewer than 2,000 rows; values that are not finite or repeat; a
            variable that copies the other without noise.
    """
    return estimates(x, y, (estimator,), seed, fit)[estimator]


def estimates(
    x: Float[Tensor, "members n dx"],
    y: Float[Tensor, "members n dy"],
    names: Sequence[str] = tuple(ESTIMATORS),
    seed: int = 0,
    fit: Fit | None = None,
) -> dict[str, Estimated]:
    """`mutual_information` by several estimators on the same rows; equal critics are fitted once."""
    for name in names:
        if name not in ESTIMATORS:
            raise InvalidRequest(f"unknown estimator {name!r}: {nearest(name, ESTIMATORS)}")
    _check(x, y)
    fit, n = fit or Fit(), x.shape[1]
    fit = replace(fit, batch=min(fit.batch, round(VALIDATION * n)))
    order = torch.randperm(n, generator=torch_generator(child(seed, "split")))
    x, y = x[:, order], y[:, order]
    train = round(TRAIN * n)
    x, y = normal_scores(x, x[:, :train]), normal_scores(y, y[:, :train])
    canonical = Canonical(x[:, :train], y[:, :train])
    x, y = canonical(x, y)
    critics: dict[Value, PairCritic] = {}
    found = {}
    for name in names:
        asked = ESTIMATORS[name]
        if asked.fit is None or asked.value is None:
            found[name] = _estimated(_plain(name, x, y, canonical, train))
            continue
        if asked.fit not in critics:
            critics[asked.fit] = _fitted(x, y, canonical, asked.fit, fit, seed)
        chosen = round((TRAIN + VALIDATION) * n)
        with torch.no_grad():
            values = batches(critics[asked.fit], x[:, chosen:], y[:, chosen:], asked.value, fit.batch)
        found[name] = _estimated(values.mT, math.log2(fit.batch) - 1.0)
    return found


def _fitted(x: Tensor, y: Tensor, canonical: Canonical, value: Value, fit: Fit, seed: int) -> PairCritic:
    members, n, _ = x.shape
    ends = (0, round(TRAIN * n), round((TRAIN + VALIDATION) * n))
    train, validation = ((x[:, a:b], y[:, a:b]) for a, b in itertools.pairwise(ends))
    seeds = [child(seed, "critic")] * members
    critic = PairCritic(canonical.correlations, (x.shape[2], y.shape[2]), fit, seeds)
    fit_critic(critic, train, validation, value, fit, seed)
    return critic


def _plain(
    name: str, x: Tensor, y: Tensor, canonical: Canonical, train: int
) -> Float[Tensor, "members rows"]:
    """Terms, in nats, whose mean over rows is the estimate, of estimators without a critic."""
    if name == "ksg":
        near = (z[:, :KSG_ROWS].numpy() for z in (x, y))
        return torch.stack([torch.as_tensor(ksg(*pair)) for pair in zip(*near, strict=True)])
    if name == "club":
        return _normal_club(x, y, train)
    return canonical.log_ratio(x[:, :train], y[:, :train])


def ksg(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> Float[np.ndarray, " n"]:
    """ψ(k) + ψ(n) - ψ(n_x + 1) - ψ(n_y + 1) of each row, max-norm balls of its k-th neighbour, in nats."""
    n = len(x)
    both = np.hstack([x, y])
    distance = np.asarray(cKDTree(both).query(both, k=NEIGHBOURS + 1, p=np.inf)[0])[:, -1]
    radius = np.nextafter(distance.astype(np.float64), 0.0)
    near = [np.asarray(cKDTree(z).query_ball_point(z, radius, p=np.inf, return_length=True)) for z in (x, y)]
    spread = digamma(near[0].astype(float)) + digamma(near[1].astype(float))
    return digamma(NEIGHBOURS) + digamma(n) - spread


def _normal_club(x: Tensor, y: Tensor, train: int) -> Float[Tensor, "members rows"]:
    """CLUB of q(y|x) = N(Wx, diag): ln q(y_i|x_i) - mean over j of ln q(y_j|x_i), in nats."""
    ones = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    weights = torch.linalg.lstsq(ones[:, :train], y[:, :train]).solution
    variance = (y[:, :train] - ones[:, :train] @ weights).square().mean(1)
    seen, fresh = (ones @ weights)[:, train:], y[:, train:]
    own = (fresh - seen).square()
    others = fresh.square().mean(1, keepdim=True) - 2 * fresh.mean(1, keepdim=True) * seen + seen.square()
    return ((others - own) / (2 * variance[:, None])).sum(-1)


def _estimated(nats: Float[Tensor, "members rows"], limit: float = math.inf) -> Estimated:
    bits, low, high = interval(nats.double() / math.log(2.0)).T
    return Estimated(bits, low, high, bits >= limit)


def _check(x: Tensor, y: Tensor) -> None:
    if x.shape[:2] != y.shape[:2]:
        raise InvalidRequest(
            f"{tuple(x.shape[:2])} rows of X and {tuple(y.shape[:2])} of Y: expected as many"
        )
    if x.shape[1] < LEAST_ROWS:
        raise InvalidRequest(f"{x.shape[1]} rows: expected {LEAST_ROWS} or more")
    for name, z in (("X", x), ("Y", y)):
        if not bool(z.isfinite().all()):
            raise InvalidRequest(f"{name} has values that are not finite: drop or mend such rows")
        ordered = z.sort(1).values
        repeats = (ordered[:, 1:] == ordered[:, :-1]).double().mean()
        if float(repeats) > 0.01:
            raise InvalidRequest(
                f"{name} repeats {float(repeats):.0%} of its values: these estimators are for continuous "
                "variables; read a discrete one as a target"
            )
