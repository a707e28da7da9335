"""FactorCL's planar label, the highest score of a random planar flow, and its information."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import qmc
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.generators.blocks import VARIANCE
from pidlab.info.merged_sources import MergedSource, merged_decomposition
from pidlab.seeds import child, torch_generator

ACCURACY = 1e-3  # of an information, in bits
SCRAMBLES = 16
# Sobol points as powers of two: of observed features, of unobserved features, of the prior.
FIRST_POINTS, LAST_POINTS = 11, 14
UNSEEN_POINTS = 8
PRIOR_POINTS = 16
PRIOR_CHUNK = 2**14  # rows of the prior evaluated at once
CHUNK = 64  # points evaluated at once
LEAST = 1e-12  # smallest uniform number, so that its normal quantile is finite


class Network(NamedTuple):
    """W, b, U H and H of the scores z H + tanh(z W + b) U H."""

    inner: Float[Tensor, "features features"]
    shift: Float[Tensor, " features"]
    bent: Float[Tensor, "features classes"]
    head: Float[Tensor, "features classes"]


def planar_network(seed: int, features: int, classes: int) -> Network:
    """Draw a random planar label with all entries from N(2, 1), as released.

    Args:
        seed: Seed of the label.
        features: Number of features.
        classes: Number of scores.

    Returns:
        The matrices of the scores.
    """
    generator = torch_generator(child(seed, "planar label"))

    def normal(*shape: int) -> Tensor:
        return 2.0 + torch.randn(shape, generator=generator, device="cpu")

    inner, shift, outer = normal(features, features), normal(features), normal(features, features)
    head = normal(features, classes)
    return Network(inner, shift, outer @ head, head)


def planar_label(z: Float[Tensor, "features n"], network: Network) -> Int[Tensor, " n"]:
    """Return argmax_c of (z + tanh(z W + b) U) H, which equals the argmax of its softmax.

    Args:
        z: Features, shape (features, n).
        network: Matrices of the scores.

    Returns:
        Class indices, shape (n,).
    """
    inner, shift, bent, head = (t.to(z.device) for t in network)
    return (z.mT @ head + torch.tanh(z.mT @ inner + shift) @ bent).argmax(-1)


@lru_cache(maxsize=64)
def planar_prior(seed: int, features: int, classes: int) -> tuple[tuple[float, ...], float]:
    """Estimate p(y) on scrambled Sobol points.

    Args:
        seed: Seed of the label.
        features: Number of features.
        classes: Number of scores.

    Returns:
        The prior, and five standard errors of its entropy over scramblings, in bits.
    """
    network = planar_network(seed, features, classes)
    with torch.device("cpu"):
        counts = torch.zeros(SCRAMBLES, classes, dtype=torch.float64)
        for k, scramble_counts in enumerate(counts):
            points = _sobol(features, PRIOR_POINTS, np.random.default_rng(k))
            z = math.sqrt(VARIANCE) * _normal(points).float()
            for rows in z.split(PRIOR_CHUNK):
                scramble_counts += torch.bincount(planar_label(rows.mT, network), minlength=classes)
        entropies = _entropy(counts / counts.sum(1, keepdim=True))
        # Half a point per class: a class that no point has is rare, not impossible.
        total = counts.sum(0) + 0.5
    return tuple((total / total.sum()).tolist()), _error(entropies)


@lru_cache(maxsize=64)
def planar_decomposition(
    seed: int, chosen: tuple[int, int, int], classes: int, noise: float
) -> Decomposition:
    """Decompose the information of two noisy observations of the features about their planar label.

    Args:
        seed: Seed of the label.
        chosen: Number of shared, first and second unique features that the label depends on.
        classes: Number of scores.
        noise: Standard deviation of the noise on every feature of each observation.

    Returns:
        The decomposition in bits with its certified error.
    """
    features = sum(chosen)
    prior, error = planar_prior(seed, features, classes)
    # Explained variance of a feature that one modality observes, and that both observe.
    once, twice = (VARIANCE / (VARIANCE + noise**2 / looks) for looks in (1, 2))
    shared, own1, own2 = chosen
    with torch.device("cpu"):
        network = planar_network(seed, features, classes)
        exact_prior = torch.tensor(prior, dtype=torch.float64)
        entropy = float(_entropy(exact_prior))
        sources, bits, errors = [], [], [error]
        for observed in (
            (once,) * (shared + own1) + (0.0,) * own2,
            (once,) * shared + (0.0,) * own1 + (once,) * own2,
            (twice,) * shared + (once,) * (own1 + own2),
        ):
            remaining, uncertainty, posteriors = _conditional_entropy(network, observed, exact_prior)
            bits.append(max(entropy - remaining, 0.0))
            errors.append(uncertainty)
            sources.append(MergedSource(posteriors[0], posteriors[1], exact_prior))
        first, second, both = bits
        return merged_decomposition((sources[0], sources[1]), (first, second, both), sum(errors))


def _conditional_entropy(
    network: Network, observed: tuple[float, ...], prior: Float[Tensor, " classes"]
) -> tuple[float, float, Float[Tensor, "2 n classes"]]:
    """Estimate H(Y|X) in bits.

    p(y|x) is estimated twice at each point x, on separate points for the unobserved features. The entropy
    of their mean p is below the truth by c / points to first order, and that of each estimate by twice as
    much. So 2 h(p) minus the mean of the two entropies is free of this bias. Points of x are doubled until
    five standard errors over scramblings are below `ACCURACY`.

    Args:
        network: Matrices of the scores.
        observed: Fraction of every feature's variance that X explains.
        prior: p(y).

    Returns:
        H(Y|X), its error, and the two estimates of p(y|x).
    """
    fraction = torch.tensor(observed, dtype=torch.float64)
    seen, hidden = (fraction > 0).nonzero()[:, 0], (fraction < 1).nonzero()[:, 0]
    if not len(hidden):
        return 0.0, 0.0, prior.expand(2, 2, -1)  # X determines Y; its posteriors are never used
    if not len(seen):
        return float(_entropy(prior)), 0.0, prior.expand(2, 2, -1)
    scale = math.sqrt(VARIANCE)
    pairs, entropies = [], prior
    for power in range(FIRST_POINTS, LAST_POINTS + 1):
        pairs, entropies = [], torch.zeros(SCRAMBLES, dtype=torch.float64)
        for k in range(SCRAMBLES):
            rng = np.random.default_rng(k)
            x = scale * fraction[seen].sqrt() * _normal(_sobol(len(seen), power, rng))
            pair = _posteriors(network, (x, seen), (scale * (1.0 - fraction[hidden]).sqrt(), hidden), rng)
            each = (_entropy(pair[0]) + _entropy(pair[1])) / 2.0
            entropies[k] = (2.0 * _entropy((pair[0] + pair[1]) / 2.0) - each).mean()
            pairs.append(pair)
        if _error(entropies) < ACCURACY:
            break
    return float(entropies.mean()), _error(entropies), torch.cat(pairs, dim=1)


def _posteriors(
    network: Network,
    observed: tuple[Tensor, Tensor],
    unobserved: tuple[Tensor, Tensor],
    rng: np.random.Generator,
) -> Float[Tensor, "2 n classes"]:
    """Estimate p(y|x) twice, on separate points that are shifted anew for each chunk of x.

    Args:
        network: Matrices of the scores.
        observed: Values x of the observed features, and the indices of these features.
        unobserved: Standard deviations of the features given x, and their indices.
        rng: Source of the points.

    Returns:
        Two estimates of the posterior of every x.
    """
    (x, seen), (sd, hidden) = observed, unobserved
    points = torch.stack([_sobol(len(hidden), UNSEEN_POINTS, rng) for _ in range(2)])
    posteriors = []
    for rows in x.float().split(CHUNK):
        shifted = (points + torch.as_tensor(rng.random((2, 1, len(hidden))))).remainder(1.0)
        rest = (sd * _normal(shifted.flatten(0, 1))).float()
        inputs = (rows @ network.inner[seen] + network.shift)[:, None] + rest @ network.inner[hidden]
        score = torch.tanh(inputs) @ network.bent
        score += (rows @ network.head[seen])[:, None] + rest @ network.head[hidden]
        labels = score.argmax(-1).unflatten(1, (2, -1))
        counts = torch.zeros(*labels.shape[:2], score.shape[-1], dtype=torch.float64)
        posteriors.append(counts.scatter_add_(-1, labels, torch.ones_like(labels, dtype=torch.float64)))
    return torch.cat(posteriors).transpose(0, 1) / 2**UNSEEN_POINTS


def _sobol(features: int, power: int, rng: np.random.Generator) -> Float[Tensor, "n features"]:
    return torch.as_tensor(qmc.Sobol(features, rng=rng).random_base2(power))


def _normal(uniform: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
    """Map uniform points to standard normal ones, the sequence's first coordinate along the sum.

    The first coordinate of a Sobol sequence is the most even, and the sum matters most for the label.
    """
    x = torch.special.ndtri(uniform.clamp(LEAST, 1.0 - LEAST))
    features = x.shape[1]
    if features == 1:
        return x
    # A Householder reflection that carries the first axis to the diagonal.
    mirror = torch.full((features,), features**-0.5, dtype=torch.float64)
    mirror[0] -= 1.0
    return x - 2.0 * torch.outer(x @ mirror, mirror) / (mirror @ mirror)


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1) / math.log(2.0)


def _error(over_scramblings: Tensor) -> float:
    return 5.0 * float(over_scramblings.std()) / math.sqrt(len(over_scramblings))
