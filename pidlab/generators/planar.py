"""FactorCL's planar label: which score of a random planar flow is highest, and what is known of it."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import qmc
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.info.merged_sources import MergedSource, merged_decomposition
from pidlab.seeds import child, torch_generator

VARIANCE = 0.5  # of a feature
ACCURACY = 1e-3  # bits, of an information
SCRAMBLES = 16
FIRST_POINTS, LAST_POINTS = 11, 14  # of what is seen, as powers of two
UNSEEN_POINTS = 8
PRIOR_POINTS = 16
CHUNK = 64  # points at once
LEAST = 1e-12


class Network(NamedTuple):
    """W, b, U H and H of scores z H + tanh(z W + b) U H."""

    inner: Float[Tensor, "features features"]
    shift: Float[Tensor, " features"]
    bent: Float[Tensor, "features classes"]
    head: Float[Tensor, "features classes"]


def planar_network(seed: int, features: int, classes: int) -> Network:
    """A random label, all its numbers N(2, 1) as released."""
    generator = torch_generator(child(seed, "planar label"))

    def normal(*shape: int) -> Tensor:
        return 2.0 + torch.randn(shape, generator=generator, device="cpu")

    inner, shift, outer = normal(features, features), normal(features), normal(features, features)
    head = normal(features, classes)
    return Network(inner, shift, outer @ head, head)


def planar_label(z: Float[Tensor, "features n"], network: Network) -> Int[Tensor, " n"]:
    """argmax_c of (z + tanh(z W + b) U) H, the softmax of which has the same."""
    inner, shift, bent, head = (t.to(z.device) for t in network)
    return (z.mT @ head + torch.tanh(z.mT @ inner + shift) @ bent).argmax(-1)


@lru_cache(maxsize=64)
def planar_prior(seed: int, features: int, classes: int) -> tuple[tuple[float, ...], float]:
    """p(y), on scrambled Sobol points, and the error of its entropy, five standard errors over scramblings.

    Half a point more for every class, so that one that was never met is rare and not impossible.
    """
    network = planar_network(seed, features, classes)
    with torch.device("cpu"):
        counts = torch.zeros(SCRAMBLES, classes, dtype=torch.float64)
        for k, found in enumerate(counts):
            z = (
                math.sqrt(VARIANCE)
                * _normal(_sobol(features, PRIOR_POINTS, np.random.default_rng(k))).float()
            )
            for some in z.split(2**14):
                found += torch.bincount(planar_label(some.mT, network), minlength=classes)
        entropies = _entropy(counts / counts.sum(1, keepdim=True))
        total = counts.sum(0) + 0.5
    return tuple((total / total.sum()).tolist()), _error(entropies)


@lru_cache(maxsize=64)
def planar_decomposition(
    seed: int, chosen: tuple[int, int, int], classes: int, noise: float
) -> Decomposition:
    """What two noisy looks at the features, shared and own, tell of their planar label.

    Args:
        seed: which label.
        chosen: features of the label: shared, own of X1, own of X2.
        classes: scores.
        noise: standard deviation on every feature in each look.
    """
    features = sum(chosen)
    prior, error = planar_prior(seed, features, classes)
    once, twice = (VARIANCE / (VARIANCE + noise**2 / looks) for looks in (1, 2))
    shared, own1, own2 = chosen
    with torch.device("cpu"):
        network = planar_network(seed, features, classes)
        known = torch.tensor(prior, dtype=torch.float64)
        entropy = float(_entropy(known))
        sources, bits, errors = [], [], [error]
        for seen in (
            (once,) * (shared + own1) + (0.0,) * own2,
            (once,) * shared + (0.0,) * own1 + (once,) * own2,
            (twice,) * shared + (once,) * (own1 + own2),
        ):
            doubt, uncertain, posteriors = _doubt(network, seen, known)
            bits.append(max(entropy - doubt, 0.0))
            errors.append(uncertain)
            sources.append(MergedSource(posteriors[0], posteriors[1], known))
        first, second, both = bits
        return merged_decomposition((sources[0], sources[1]), (first, second, both), sum(errors))


def _doubt(
    network: Network, seen: tuple[float, ...], prior: Float[Tensor, " classes"]
) -> tuple[float, float, Float[Tensor, "2 n classes"]]:
    """H(Y|X) in bits where X tells these parts of the features' variances, its error, and posteriors.

    Two estimates of p(y|x) at each point x, on points for what is unseen of their own, and their mean p:
    the entropy of p lies below the truth by c / points to first order, that of the two by twice as
    much, so that 2 h(p) - the mean of theirs is free of it. Points of x are doubled until five standard
    errors over scramblings are below 1e-3 bits.
    """
    part = torch.tensor(seen, dtype=torch.float64)
    out, within = (part > 0).nonzero()[:, 0], (part < 1).nonzero()[:, 0]
    if not len(within):
        return 0.0, 0.0, prior.expand(2, 2, -1)  # knows Y: nobody asks for its cells
    if not len(out):
        return float(_entropy(prior)), 0.0, prior.expand(2, 2, -1)
    scale = math.sqrt(VARIANCE)
    halves, doubts = [], prior
    for power in range(FIRST_POINTS, LAST_POINTS + 1):
        halves, doubts = [], torch.zeros(SCRAMBLES, dtype=torch.float64)
        for k in range(SCRAMBLES):
            rng = np.random.default_rng(k)
            x = scale * part[out].sqrt() * _normal(_sobol(len(out), power, rng))
            pair = _posteriors(network, (x, out), (scale * (1.0 - part[within]).sqrt(), within), rng)
            once = (_entropy(pair[0]) + _entropy(pair[1])) / 2.0
            doubts[k] = (2.0 * _entropy((pair[0] + pair[1]) / 2.0) - once).mean()
            halves.append(pair)
        if _error(doubts) < ACCURACY:
            break
    return float(doubts.mean()), _error(doubts), torch.cat(halves, dim=1)


def _posteriors(
    network: Network, seen: tuple[Tensor, Tensor], hidden: tuple[Tensor, Tensor], rng: np.random.Generator
) -> Float[Tensor, "2 n classes"]:
    """p(y|x) twice, each by points for what is hidden of its own, shifted for every few x anew.

    Args:
        network: the label.
        seen: x, the features' values, and which these are.
        hidden: standard deviations of what is hidden of the features, and of which.
        rng: of the points.
    """
    (x, out), (sd, within) = seen, hidden
    points = torch.stack([_sobol(len(within), UNSEEN_POINTS, rng) for _ in range(2)])
    found = []
    for some in x.float().split(CHUNK):
        shifted = (points + torch.as_tensor(rng.random((2, 1, len(within))))).remainder(1.0)
        rest = (sd * _normal(shifted.flatten(0, 1))).float()
        bend = (some @ network.inner[out] + network.shift)[:, None] + rest @ network.inner[within]
        score = torch.tanh(bend) @ network.bent
        score += (some @ network.head[out])[:, None] + rest @ network.head[within]
        labels = score.argmax(-1).unflatten(1, (2, -1))
        counts = torch.zeros(*labels.shape[:2], score.shape[-1], dtype=torch.float64)
        found.append(counts.scatter_add_(-1, labels, torch.ones_like(labels, dtype=torch.float64)))
    return torch.cat(found).transpose(0, 1) / 2**UNSEEN_POINTS


def _sobol(features: int, power: int, rng: np.random.Generator) -> Float[Tensor, "n features"]:
    return torch.as_tensor(qmc.Sobol(features, rng=rng).random_base2(power))


def _normal(uniform: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
    """Standard normal points, the first coordinate of the sequence along the sum, which matters most."""
    x = torch.special.ndtri(uniform.clamp(LEAST, 1.0 - LEAST))
    features = x.shape[1]
    if features == 1:
        return x
    mirror = torch.full((features,), features**-0.5, dtype=torch.float64)
    mirror[0] -= 1.0
    return x - 2.0 * torch.outer(x @ mirror, mirror) / (mirror @ mirror)


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1) / math.log(2.0)


def _error(over_scramblings: Tensor) -> float:
    return 5.0 * float(over_scramblings.std()) / math.sqrt(len(over_scramblings))
