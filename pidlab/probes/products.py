"""Product probe: class frequencies in bins of one coordinate, or of a product of up to four.

Networks of moderate size learn neither fast oscillations of a coordinate nor parities of three and more
coordinates from the rows of a sweep. This probe searches for them and reads them.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.probes.features import normal_scores
from pidlab.seeds import torch_generator

# Rows of the search, its bins, and the bins of the fitted probe.
SEARCH_ROWS, SEARCH_BINS, BINS = 2048, 64, 128
# Maximum number of coordinates in the search for products of three and of four. They bound time and memory.
MAX_TRIPLE, MAX_QUADRUPLE = 64, 32
# Multiply-adds of the search for products of four; it uses fewer rows for more pairs.
MAX_WORK, MIN_ROWS = 3e7, 512
# Correlations below this number of standard errors are chance: of 10^6 products one exceeds it with
# probability 0.04.
SIGNIFICANT = 5.5
# Contrasts of targets with more than two classes.
CONTRASTS = 3
# Factors of products are clipped to this many standard deviations, so that few rows cannot dominate.
CLIP = 1.5


def find_products(
    z: Float[Tensor, "n d"], y: Int[Tensor, " n"], classes: int, seed: int
) -> dict[tuple[int, ...], float]:
    """Search for coordinates, and products of up to four coordinates, that depend on a label.

    Products are ranked by their correlation with a contrast of the classes, single coordinates by the
    information in bins of them, which also finds oscillations.

    Args:
        z: Whitened rows; the first `SEARCH_ROWS` are used, shape (n, d).
        y: Class indices, shape (n,).
        classes: Number of classes.
        seed: Seed of the contrasts of more than two classes.

    Returns:
        The best coordinate and the best significant products of two, three and four coordinates, as column
        indices, with the information in bins of them in bits. Chance adds (bins - 1)(classes - 1)/(2 n ln 2).
    """
    z, y = z[:SEARCH_ROWS], y[:SEARCH_ROWS]
    scores = normal_scores(z[None], z[None])[0]
    single = binned_information(scores, y, classes)
    best = int(single.argmax())
    candidates = [(best,)]
    factors = scores.clamp(-CLIP, CLIP)
    for contrast in _contrasts(y, classes, seed):
        candidates += [c for c in _best_products(factors, contrast) if _is_significant(factors, c, contrast)]
    found = {}
    for columns in dict.fromkeys(candidates):
        bits = binned_information(scores[:, list(columns)].prod(1)[:, None], y, classes)
        found[columns] = float(bits[0])
    return found


def fit_product(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    held_out: Sequence[Float[Tensor, "_ d"]],
    columns: Sequence[int],
    log_prior: Float[Tensor, " classes"],
) -> list[Float[Tensor, "classes _"]]:
    """Fit class frequencies in quantile bins of a product of normal scores.

    Args:
        z: Whitened training rows, shape (n, d).
        y: Class indices, shape (n,).
        held_out: Other rows, each of shape (m, d).
        columns: Coordinates of the product.
        log_prior: Natural log of the exact prior, shape (classes,).

    Returns:
        ln q(y|z) of each held-out set, shape (classes, m).
    """
    reference = z[None, :, list(columns)]

    def product(rows: Tensor) -> Tensor:
        return normal_scores(rows[None, :, list(columns)], reference)[0].prod(-1).contiguous()

    values, classes = product(z), len(log_prior)
    levels = torch.arange(1, BINS, device=z.device) * len(values) // BINS
    edges = values.sort().values[levels].contiguous()
    cells = torch.bucketize(values, edges) * classes + y
    counts = torch.bincount(cells, minlength=BINS * classes).view(BINS, classes).to(z.dtype)
    # One pseudo-count, in proportion to the prior: a class that a bin lacks keeps a finite loss.
    counts = counts + log_prior.exp()
    log_q = (counts / counts.sum(1, keepdim=True)).log()
    return [log_q[torch.bucketize(product(rows), edges)].T for rows in held_out]


def binned_information(
    values: Float[Tensor, "n k"], y: Int[Tensor, " n"], classes: int
) -> Float[Tensor, " k"]:
    """Compute the plug-in estimate of I(bin; y) in bits for quantile bins of each column.

    Args:
        values: Real numbers, shape (n, k).
        y: Class indices, shape (n,).
        classes: Number of classes.
    """
    n, k = values.shape
    # Ranks break ties by position, which is independent of the label.
    ranks = values.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    bins = ranks * SEARCH_BINS // n
    column = torch.arange(k, device=values.device)
    cells = ((column * SEARCH_BINS + bins) * classes + y[:, None]).flatten()
    law = torch.bincount(cells, minlength=k * SEARCH_BINS * classes).view(k, SEARCH_BINS, classes) / n
    independent = law.sum(2, keepdim=True) * law.sum(1, keepdim=True)
    return torch.special.xlogy(law, law / independent.clamp_min(1e-30)).sum((1, 2)) / math.log(2.0)


def _contrasts(y: Tensor, classes: int, seed: int) -> list[Tensor]:
    """Return functions of the label of mean 0 and variance 1: one for two classes, else random ones."""
    if classes == 2:
        codes = torch.tensor([[0.0, 1.0]])
    else:
        codes = torch.randn(CONTRASTS, classes, generator=torch_generator(seed))
    values = codes.to(y.device)[:, y]
    values = values - values.mean(1, keepdim=True)
    return [c / c.square().mean().sqrt() for c in values if float(c.square().mean()) > 0.0]


def _best_products(u: Float[Tensor, "n d"], contrast: Float[Tensor, " n"]) -> list[tuple[int, ...]]:
    """Return the products of two, three and four coordinates of the largest mean product with a contrast."""
    n, d = u.shape
    if d < 2:
        return []
    weighted = u * contrast[:, None]
    first, second = torch.triu_indices(d, d, 1, device=u.device)
    two = (weighted.T @ u)[first, second].abs()
    best: list[tuple[int, ...]] = [_pair(int(two.argmax()), first, second)]
    if 3 <= d <= MAX_TRIPLE:
        pairs = u[:, first] * u[:, second]
        three = (weighted.T @ pairs).abs()
        i, pair = divmod(int(three.argmax()), three.shape[1])
        best.append((i, *_pair(pair, first, second)))
        if 4 <= d <= MAX_QUADRUPLE:
            rows = min(n, max(MIN_ROWS, int(MAX_WORK / pairs.shape[1] ** 2)))
            part = pairs[:rows]
            four = ((part * contrast[:rows, None]).T @ part).abs()
            one, other = divmod(int(four.argmax()), four.shape[1])
            best.append((*_pair(one, first, second), *_pair(other, first, second)))
    return best


def _pair(index: int, first: Tensor, second: Tensor) -> tuple[int, int]:
    return int(first[index]), int(second[index])


def _is_significant(u: Tensor, columns: tuple[int, ...], contrast: Tensor) -> bool:
    """Return whether a product correlates with a contrast by more than chance."""
    product = u[:, list(columns)].prod(1)
    product = product - product.mean()
    deviation = product.square().mean().sqrt().clamp_min(1e-12)
    correlation = (product * contrast).mean() / deviation
    return float(correlation.abs()) * len(u) ** 0.5 > SIGNIFICANT
