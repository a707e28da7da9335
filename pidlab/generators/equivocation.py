"""Upper confidence bounds on H(class | features), from a classifier that predicts rows it has not seen.

Let V be a function of the class C, and q any predictive distribution. The cross-entropy E[-log2 q(V|X)] is at
least H(V|X) (Gibbs' inequality), so every classifier bounds from above what the features lack about V.

**Sequential prediction** (Dawid, Statistical theory: the prequential approach, JRSS A 147, 1984). The rows of
each class are divided at random into `BLOCKS` blocks. The classifier that predicts a block is fitted and
selected on earlier blocks only, so that all blocks but the first `STARTING` are held out once.

**Confidence**. Row t of block b and class c has weight w_t = p(c) / (blocks n_bc) and loss
l_t = -log2 q_b(V|x_t) in [0, r_c]. S is the sum of w_t l_t. Given earlier blocks, the losses of a block are
independent and the expectation of its weighted sum is at least H(V|X) / blocks. With M = max w_t r_c and
lambda > 0, convexity gives
E[exp(-lambda w l)] <= exp(-w E[l] (1 - exp(-lambda M)) / M), and therefore

    P(S <= s) <= exp(-(h - s + s ln(s / h)) / M)    for s <= h = H(V|X),

the Chernoff bound of a Poisson variable. The largest h that this does not exclude at level delta is an upper
confidence bound for any number of rows; it needs no normal approximation.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import log_softmax, logsumexp

from pidlab.generators.feature_banks import Bank
from pidlab.info import entropy
from pidlab.seeds import child

# Blocks of rows; the first ones are only fitted, so that there is a first choice between classifiers.
BLOCKS, STARTING = 10, 2

# More rows per class make the bound little tighter.
MOST_ROWS = 1000

# Number of principal components that the classifiers see, and their least share of the largest variance.
MOST_COMPONENTS, LEAST_VARIANCE = 128, 1e-6

# Weight of the pooled covariance in a Gaussian classifier; the rest is a multiple of the identity.
SHRINKAGES = (0.5, 0.9, 0.99)

# Bandwidths of the kernel classifiers, in units of the median distance to the nearest row of the own class.
BANDWIDTHS = (0.25, 0.35, 0.5, 0.7, 1.0)


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """Predictions of the class of held-out rows.

    Args:
        log_likelihood: ln p(x|c) of every class up to a constant of the row, shape (n, classes).
        labels: Class index of each row, shape (n,).
        blocks: Index of the block of each row, 0 to the number of held-out blocks - 1, shape (n,).
    """

    log_likelihood: Float[np.ndarray, "n classes"]
    labels: Int[np.ndarray, " n"]
    blocks: Int[np.ndarray, " n"]


def score_bank(bank: Bank) -> HeldOutScores:
    """Predict the classes of a bank's rows sequentially, each row by a classifier fitted to earlier blocks.

    Candidates are Gaussian classifiers with a common shrunken covariance and kernel density classifiers. The
    one with the least loss on earlier blocks, for equally likely classes, predicts the next block.

    Args:
        bank: The rows.

    Returns:
        The predictions of all blocks but the first `STARTING`.
    """
    x, labels, block = _shuffle(bank)
    x = _principal_components(x, x[block < STARTING])
    scores, losses = [], 0.0
    for b in range(1, BLOCKS):
        past, now = block < b, block == b
        candidates = np.stack(list(_log_likelihoods(x[past], labels[past], x[now])))
        if b >= STARTING:
            scores.append(candidates[np.argmin(losses)])
        own = log_softmax(candidates, axis=2)[:, np.arange(now.sum()), labels[now]]
        losses = losses - own.sum(1)
    held_out = block >= STARTING
    return HeldOutScores(np.concatenate(scores), labels[held_out], block[held_out] - STARTING)


def weigh_losses(
    scores: HeldOutScores,
    prior: Float[np.ndarray, " classes"],
    symbols: Int[np.ndarray, " classes"],
    risk: float,
) -> tuple[float, float]:
    """Return the weighted sum S of losses about V, and the upper limit M of a weighted loss, in bits.

    The predictive distribution is (1 - e) q(v|x) + e p(v), with q from the classifier and e = w ln(1/risk)
    for the largest weight w of a row, near the best value for a classifier without errors. The mixture
    limits the loss of a row to -log2(e p(v)).

    Args:
        scores: Predictions of held-out rows.
        prior: Probability of every class, shape (classes,); 0 for classes that do not occur.
        symbols: Symbol V of every class, shape (classes,).
        risk: The risk of the bound that the sum is used for.
    """
    used = np.flatnonzero(prior > 0)
    prior, symbols = prior[used], symbols[used]
    rows = np.isin(scores.labels, used)
    index, blocks = np.searchsorted(used, scores.labels[rows]), scores.blocks[rows]
    counts = np.zeros((blocks.max() + 1, len(used)))
    np.add.at(counts, (blocks, index), 1.0)
    weight = prior[index] / (len(counts) * counts[blocks, index])
    log_joint = scores.log_likelihood[rows][:, used] + np.log(prior)
    own = symbols[index]
    log_own = logsumexp(np.where(symbols == own[:, None], log_joint, -np.inf), axis=1)
    q = np.exp(log_own - logsumexp(log_joint, axis=1))
    p = np.bincount(symbols, weights=prior)[own]
    mixed = min(0.5, float(weight.max()) * math.log(1.0 / risk))
    # Rounding must not make the loss of a certain symbol negative.
    loss = np.maximum(-np.log2((1.0 - mixed) * q + mixed * p), 0.0)
    return float(weight @ loss), float(np.max(-weight * np.log2(mixed * p)))


def equivocation_bounds(
    scores: Sequence[HeldOutScores],
    priors: Sequence[Float[np.ndarray, " classes"]],
    symbols: Sequence[Int[np.ndarray, " classes"]],
    risk: float,
) -> tuple[float, float, float]:
    """Bound H(V1|X1), H(V2|X2) and their sum from above, where symbols are functions of the classes.

    The rows of both modalities are independent, so that the sum of both sums of losses obeys the same
    Chernoff bound with the larger M. The bound on it is smaller than the sum of two bounds.

    Args:
        scores: Predictions of held-out rows of each modality.
        priors: Probability of every class of each modality.
        symbols: Symbol V of every class of each modality.
        risk: Probability that any of the three bounds is wrong.

    Returns:
        The bounds in bits, none larger than the entropy of the symbols.
    """
    each = risk / 3.0
    sums = [weigh_losses(*given, each) for given in zip(scores, priors, symbols, strict=True)]
    most = [
        float(entropy(np.bincount(symbol, weights=prior)))
        for symbol, prior in zip(symbols, priors, strict=True)
    ]
    one, two = (min(poisson_upper_bound(*pair, each), limit) for pair, limit in zip(sums, most, strict=True))
    total, largest = sum(pair[0] for pair in sums), max(pair[1] for pair in sums)
    return one, two, min(poisson_upper_bound(total, largest, each), one + two)


def poisson_upper_bound(total: float, largest: float, risk: float) -> float:
    """Return the largest mean h with (h - s + s ln(s / h)) / M <= ln(1 / risk).

    Args:
        total: Sum s of independent nonnegative terms.
        largest: Upper limit M of a term.
        risk: Probability that the mean of the sum exceeds the bound.

    Returns:
        The bound, in the unit of the terms.

    Example:
        >>> round(poisson_upper_bound(0.0, 0.01, risk=0.001), 4)  # no loss: M ln(1 / risk)
        0.0691
    """
    s, limit = total / largest, math.log(1.0 / risk)

    def excess(h: float) -> float:
        return h - s + (s * math.log(s / h) if s > 0 else 0.0) - limit

    # excess(s) = -limit, and the upper end is positive: h - s - s ln(h / s) >= (h - s)^2 / (2 h).
    return largest * float(
        brentq(excess, s if s > 0 else 0.0, s + 2.0 * limit + 2.0 * math.sqrt(s * limit) + 1.0)
    )


def _shuffle(bank: Bank) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw at most `MOST_ROWS` rows of each class in random order; return features, labels and blocks."""
    rng = np.random.default_rng(child(0, "blocks"))
    starts = np.cumsum(bank.counts) - bank.counts
    rows, blocks = [], []
    for start, count in zip(starts, bank.counts, strict=True):
        chosen = start + rng.permutation(count)[:MOST_ROWS]
        rows.append(chosen)
        blocks.append(np.arange(len(chosen)) * BLOCKS // len(chosen))
    order = np.argsort(np.concatenate(blocks), kind="stable")
    chosen = np.concatenate(rows)[order]
    x = bank.x[chosen].reshape(len(chosen), -1).astype(np.float64)
    return x, bank.labels[chosen], np.concatenate(blocks)[order]


def _principal_components(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Project rows on principal components of `fitted`, which must not have rows that are held out."""
    center = fitted.mean(0)
    _, deviations, axes = np.linalg.svd(fitted - center, full_matrices=False)
    kept = (deviations**2 > LEAST_VARIANCE * deviations[0] ** 2)[:MOST_COMPONENTS]
    return (x - center) @ axes[: kept.sum()].T


def _log_likelihoods(x: np.ndarray, labels: np.ndarray, new: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ln p(new|c) of every candidate, up to a constant of the row, shape (rows, classes)."""
    one_hot = labels[:, None] == np.arange(labels.max() + 1)
    means = one_hot.T @ x / one_hot.sum(0)[:, None]
    within = x - means[labels]
    pooled = within.T @ within / len(x)
    identity = np.eye(x.shape[1]) * np.trace(pooled) / x.shape[1]
    for share in SHRINKAGES:
        # Any positive definite matrix gives a valid likelihood, so the small ridge is harmless.
        inverse = np.linalg.inv(share * pooled + (1.0 - share) * identity + 1e-12 * identity)
        projected = means @ inverse
        yield new @ projected.T - 0.5 * np.sum(projected * means, axis=1)
    squares = _squared_distances(new, x)
    scale = _nearest_in_class(x, labels)
    for bandwidth in BANDWIDTHS:
        log_kernel = -squares / (2.0 * (bandwidth * scale) ** 2)
        top = log_kernel.max(1, keepdims=True)
        # Classes whose rows are all far away would have a likelihood of 0; the floor is far below any choice.
        density = np.exp(log_kernel - top) @ one_hot / one_hot.sum(0) + 1e-300
        yield np.log(density)


def _nearest_in_class(x: np.ndarray, labels: np.ndarray) -> float:
    """Return the median distance of a row to the nearest other row of its class."""
    nearest = []
    for c in range(labels.max() + 1):
        squares = _squared_distances(x[labels == c], x[labels == c])
        np.fill_diagonal(squares, np.inf)
        nearest.append(squares.min(1))
    # Rows that are almost equal must not make the bandwidth 0.
    return max(float(np.sqrt(np.median(np.concatenate(nearest)))), 1e-9)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1) - 2.0 * a @ b.T
    return np.maximum(squares, 0.0)
