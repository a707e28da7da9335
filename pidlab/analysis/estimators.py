"""Mutual information of continuous variables, estimated from samples. In bits."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from pidlab.analysis.gaussianise import Canonical, normal_scores
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
        error: standard errors over batches of fresh rows, where there are batches.
        capped: whether an estimate is within a bit of log2 of the batch, where a lower bound of a
            contrast of so many rows ends: more is there, perhaps infinitely much.
    """

    bits: Float[np.ndarray, " members"]
    error: Float[np.ndarray, " members"]
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
    if estimator not in ESTIMATORS:
        raise InvalidRequest(f"unknown estimator {estimator!r}: {nearest(estimator, ESTIMATORS)}")
    _check(x, y)
    asked, fit = ESTIMATORS[estimator], fit or Fit()
    members, n, _ = x.shape
    fit = replace(fit, batch=min(fit.batch, round(VALIDATION * n)))
    order = torch.randperm(n, generator=torch_generator(child(seed, "split")))
    x, y = x[:, order], y[:, order]
    train = round(TRAIN * n)
    x, y = normal_scores(x, x[:, :train]), normal_scores(y, y[:, :train])
    canonical = Canonical(x[:, :train], y[:, :train])
    if estimator == "cca":
        return _plain(canonical.information)
    x, y = canonical(x, y)
    if estimator == "ksg":
        near = (z[:, :KSG_ROWS].numpy() for z in (x, y))
        return _plain(torch.tensor([ksg(*pair) for pair in zip(*near, strict=True)]))
    if estimator == "club":
        return _plain(_normal_club(x, y, train))
    assert asked.fit is not None
    assert asked.value is not None
    critic = PairCritic(
        canonical.correlations, (x.shape[2], y.shape[2]), fit, [child(seed, "critic")] * members
    )
    chosen = round((TRAIN + VALIDATION) * n)
    parts = [(x[:, a:b], y[:, a:b]) for a, b in ((0, train), (train, chosen), (chosen, n))]
    fit_critic(critic, parts[0], parts[1], asked.fit, fit, seed)
    with torch.no_grad():
        values = batches(critic, *parts[2], asked.value, fit.batch).double() / math.log(2.0)
    bits = values.mean(0)
    error = values.std(0) / len(values) ** 0.5
    limit = math.log2(fit.batch) - 1.0
    return Estimated(bits.numpy(), error.numpy(), (bits >= limit).numpy())


def ksg(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> float:
    """ψ(k) + ψ(n) - <ψ(n_x + 1) + ψ(n_y + 1)> with max-norm balls of the k-th neighbour, in nats."""
    n = len(x)
    both = np.hstack([x, y])
    distance = np.asarray(cKDTree(both).query(both, k=NEIGHBOURS + 1, p=np.inf)[0])[:, -1]
    radius = np.nextafter(distance.astype(np.float64), 0.0)
    near = [np.asarray(cKDTree(z).query_ball_point(z, radius, p=np.inf, return_length=True)) for z in (x, y)]
    spread = digamma(near[0].astype(float)) + digamma(near[1].astype(float))
    return float(digamma(NEIGHBOURS) + digamma(n) - np.mean(spread))


def _normal_club(x: Tensor, y: Tensor, train: int) -> Float[Tensor, " members"]:
    """CLUB of q(y|x) = N(Wx, diag): mean ln q(y_i|x_i) - mean over pairs ln q(y_j|x_i), in nats."""
    ones = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    weights = torch.linalg.lstsq(ones[:, :train], y[:, :train]).solution
    variance = (y[:, :train] - ones[:, :train] @ weights).square().mean(1)
    seen, fresh = (ones @ weights)[:, train:], y[:, train:]
    own = (fresh - seen).square()
    others = fresh.square().mean(1, keepdim=True) - 2 * fresh.mean(1, keepdim=True) * seen + seen.square()
    return ((others - own) / (2 * variance[:, None])).sum(-1).mean(-1)


def _plain(nats: Tensor) -> Estimated:
    bits = nats.double().numpy() / math.log(2.0)
    return Estimated(bits, np.full_like(bits, np.nan), np.zeros(bits.shape, dtype=bool))


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
