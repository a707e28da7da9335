"""Mutual information of continuous variables, estimated from samples. In bits."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from pidlab.analysis.gaussianise import Canonical, normal_scores
from pidlab.analysis.interval import interval
from pidlab.analysis.pair_critic import Fit, PairCritic, Value, batches, fit_critic
from pidlab.errors import InvalidRequest, nearest
from pidlab.objectives import bounds
from pidlab.seeds import child, torch_generator

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
        low: bounds of their 95 % intervals (`pidlab.analysis.interval`), over fresh rows or batches of
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
