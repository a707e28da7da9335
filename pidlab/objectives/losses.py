"""Losses of multimodal and self-supervised learning as plain functions of embeddings.

The functions depend on torch alone. They can be imported into any training loop:
`from pidlab.objectives.losses import nt_xent, symile_loss`. Losses are in nats. Functions that need random
numbers take them as arguments, so that a seeded caller gets the same loss each time.
"""

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.objectives.contrastive import clip_loss, nt_xent, supcon

__all__ = [
    "barlow_twins_loss",
    "clip_loss",
    "coral_orthogonality",
    "epps_pulley",
    "gram_loss",
    "infmasking_term",
    "nt_xent",
    "siglip_loss",
    "supcon",
    "symile_loss",
    "triangle_loss",
    "vicreg_loss",
]


def siglip_loss(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], scale: Tensor | float, bias: Tensor | float
) -> Float[Tensor, ""]:
    """Compute the pairwise sigmoid loss (SigLIP, Zhai et al. 2023, arXiv 2303.15343, Algorithm 1), in nats.

    loss = -1/n sum_ij log sigmoid(s_ij (scale cos(a_i, b_j) + bias)), with s_ij = 1 for i = j and -1
    otherwise.

    Args:
        a: Embeddings of the first modality, shape (n, d).
        b: Embeddings of the second modality, shape (n, d).
        scale: Factor on the cosines, the inverse of a temperature.
        bias: Added to every logit.

    Returns:
        The loss, 0-d.

    Example:
        >>> siglip_loss(torch.eye(2), torch.eye(2), scale=10.0, bias=-10.0)
        tensor(0.6932)
    """
    logits = scale * (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT) + bias
    # softplus(-s l) = -log sigmoid(s l); the sign is 1 on the diagonal and -1 elsewhere.
    sign = 2.0 * torch.eye(len(a), device=a.device, dtype=a.dtype) - 1.0
    return F.softplus(-sign * logits).sum() / len(a)


def vicreg_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Float[Tensor, ""]:
    """Compute variance-invariance-covariance regularization (VICReg, Bardes et al. 2022, arXiv 2105.04906).

    loss = invariance mean (a - b)² + variance ½ [v(a) + v(b)] + covariance [c(a) + c(b)], with
    v(z) = mean_d max(0, 1 - sqrt(Var z_d + 1e-4)) and c(z) = 1/d sum over d ≠ e of Cov(z_d, z_e)². The factor
    ½ on the variance term is that of the authors' code and of lightly.

    Args:
        a: Embeddings of the first view or modality, shape (n, d).
        b: Embeddings of the second view or modality, shape (n, d).
        invariance: Weight of the mean squared difference.
        variance: Weight of the hinge on the standard deviations.
        covariance: Weight of the squared off-diagonal covariances.

    Returns:
        The loss, 0-d, without a unit.

    Example:
        >>> z = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg_loss(z, z)
        tensor(0.)
    """
    similar = F.mse_loss(a, b)
    spread, decorrelated = [], []
    for z in (a, b):
        centered = z - z.mean(0)
        matrix = centered.mT @ centered / (len(z) - 1)
        # The constant keeps the gradient of the square root finite for a collapsed dimension.
        spread.append(F.relu(1.0 - (matrix.diagonal() + 1e-4).sqrt()).mean())
        decorrelated.append((matrix.square().sum() - matrix.diagonal().square().sum()) / z.shape[1])
    return invariance * similar + variance * sum(spread) / 2 + covariance * sum(decorrelated)


def barlow_twins_loss(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, redundancy: float = 5e-3
) -> Float[Tensor, ""]:
    """Compute the cross-correlation loss (Barlow Twins, Zbontar et al. 2021, arXiv 2103.03230, Eq. 1).

    loss = sum_d (1 - C_dd)² + redundancy sum over d ≠ e of C_de², with C the correlation of the columns of a
    and b.

    Args:
        a: Embeddings of the first view or modality, shape (n, d).
        b: Embeddings of the second view or modality, shape (n, d).
        redundancy: Weight λ of the off-diagonal terms.

    Returns:
        The loss, 0-d, without a unit.

    Example:
        >>> z = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]])
        >>> round(float(barlow_twins_loss(z, z)), 6)
        0.0
    """
    # As in batch normalization: biased variance, and a constant against division by 0.
    first, second = ((z - z.mean(0)) * (z.var(0, correction=0) + 1e-5).rsqrt() for z in (a, b))
    correlation = first.mT @ second / len(a)
    diagonal = correlation.diagonal()
    return (diagonal - 1).square().sum() + redundancy * (correlation.square().sum() - diagonal.square().sum())


def symile_loss(
    z: Sequence[Float[Tensor, "n d"]],
    scale: Tensor | float,
    orders: Int[Tensor, "modalities n"] | None = None,
) -> Float[Tensor, ""]:
    """Compute the Symile loss of two or more modalities (Saporta et al. 2024, arXiv 2411.01053), in nats.

    The score of a tuple is scale sum_d of the product of its embeddings (the multilinear inner product). For
    each modality as the anchor, the loss is the cross-entropy of the true tuple against negatives, averaged
    over anchors. Embeddings are normalized to unit length.

    Args:
        z: One matrix of embeddings per modality, shape (n, d).
        scale: Factor on the scores.
        orders: One permutation of the rows per modality, shape (modalities, n): negative j of an anchor
            combines the rows `orders[m][j]` of the other modalities (n - 1 negatives per anchor). None: all
            n^(modalities - 1) combinations of the other modalities.

    Returns:
        The loss, 0-d.

    Example:
        >>> z = [torch.eye(3)] * 3
        >>> symile_loss(z, scale=1.0, orders=torch.tensor([[1, 2, 0]] * 3))
        tensor(0.8620)
    """
    z = [F.normalize(zi, dim=-1) for zi in z]
    n = len(z[0])
    losses = []
    for anchor, own in enumerate(z):
        others = [(m, zm) for m, zm in enumerate(z) if m != anchor]
        if orders is None:
            # All combinations, the true ones at equal indices of every other modality.
            products = reduce(lambda p, q: (p[:, None] * q[None]).flatten(0, 1), [zm for _, zm in others])
            step = sum(n**k for k in range(len(others)))
            logits, labels = own @ products.mT, torch.arange(n, device=own.device) * step
        else:
            shuffled = reduce(torch.mul, [zm[orders[m]] for m, zm in others])
            positive = reduce(torch.mul, [own, *(zm for _, zm in others)]).sum(-1)
            labels = torch.arange(n, device=own.device)
            logits = torch.where(labels[:, None] == labels, positive[:, None], own @ shuffled.mT)
        losses.append(F.cross_entropy(scale * logits, labels))
    return torch.stack(losses).mean()


def gram_loss(
    z: Sequence[Float[Tensor, "n d"]], temperature: float = 0.07, smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Compute the GRAM loss of two or more modalities (Cicchetti et al. 2024, arXiv 2412.11959), in nats.

    The logit of anchor i (the first modality) with the other modalities of sample j is minus the volume of
    the parallelotope of their unit embeddings, sqrt(|det G|) with G their Gram matrix, over the temperature.
    The loss is the mean of the cross-entropies of rows and of columns.

    Args:
        z: One matrix of embeddings per modality, shape (n, d); the first is the anchor.
        temperature: Divides the volumes.
        smoothing: Label smoothing; the authors' code uses 0.1.

    Returns:
        The loss, 0-d.

    Example:
        >>> gram_loss([torch.eye(3)] * 3, temperature=1.0)
        tensor(1.0986)
    """
    anchor, *others = (F.normalize(zi, dim=-1) for zi in z)
    n, k = len(anchor), len(others)
    across = torch.stack([anchor @ zm.mT for zm in others], dim=-1)  # (n, n, k)
    within = torch.stack(
        [torch.stack([(p * q).sum(-1) for q in others], -1) for p in others], -2
    )  # (n, k, k)
    # det [[1, c'], [c, W]] = det W - c' adj(W) c; for k = 1, 2 the adjugate has a closed form.
    if k == 1:
        determinant = within[:, 0, 0] - across[..., 0].square()
    elif k == 2:
        swap = torch.stack(
            [
                torch.stack([within[:, 1, 1], -within[:, 0, 1]], -1),
                torch.stack([-within[:, 1, 0], within[:, 0, 0]], -1),
            ],
            -2,
        )
        area = within[:, 0, 0] * within[:, 1, 1] - within[:, 0, 1] * within[:, 1, 0]
        determinant = area - torch.einsum("ijk,jkl,ijl->ij", across, swap, across)
    else:
        top = torch.cat([torch.ones_like(across[..., :1]), across], -1)[..., None, :]
        bottom = torch.cat([across[..., None], within.expand(n, n, k, k)], -1)
        determinant = torch.linalg.det(torch.cat([top, bottom], -2))
    # The square root has no finite gradient at 0, where unit vectors coincide.
    volume = determinant.abs().clamp_min(1e-8).sqrt()
    return _symmetric_cross_entropy(-volume / temperature, smoothing)


def triangle_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    c: Float[Tensor, "n d"],
    temperature: float = 0.07,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Compute the TRIANGLE loss of three modalities, in nats.

    The logit of anchor i with b_j and c_j is -½ (|u|² |v|² - (u·v)²) over the temperature, with u = a_i - b_j
    and v = a_i - c_j: twice the squared area of their triangle. Embeddings are normalized to unit length. The
    loss is the mean of the cross-entropies of rows and of columns.

    Args:
        a: Embeddings of the anchor modality, shape (n, d).
        b: Embeddings of the second modality, shape (n, d).
        c: Embeddings of the third modality, shape (n, d).
        temperature: Divides the areas.
        smoothing: Label smoothing; the authors' code uses 0.1.

    Returns:
        The loss, 0-d.

    Example:
        >>> triangle_loss(torch.eye(2), torch.eye(2), torch.eye(2), temperature=1.0)
        tensor(0.6931)
    """
    a, b, c = (F.normalize(z, dim=-1) for z in (a, b, c))
    ab, ac, bc = a @ b.mT, a @ c.mT, (b * c).sum(-1)
    # |a_i - b_j|² and the product (a_i - b_j)·(a_i - c_j) of unit vectors.
    first, second, inner = 2 - 2 * ab, 2 - 2 * ac, 1 - ab - ac + bc
    return _symmetric_cross_entropy(-(first * second - inner.square()) / (2 * temperature), smoothing)


def infmasking_term(
    q: Float[Tensor, "n d"], k: Float[Tensor, "masks n d"], temperature: float, ratio: Tensor | float
) -> Float[Tensor, ""]:
    """Compute the masking term of InfMasking (arXiv 2509.25270, Eq. 9), in nats.

    With m and Σ the mean and covariance of a sample's masked codes and T the temperature, the term is the
    mean over samples of -q·m/T + log[exp(q·m/T + ratio qᵀΣq / (2T²)) + sum over masks t and samples j ≠ i of
    exp(q·k_tj/T) + sum over j ≠ i of exp(q·q_j/T)]. It bounds the InfoNCE loss of infinitely many Gaussian
    masked codes from above.

    Args:
        q: Clean fused codes, shape (n, d).
        k: Fused codes of masked tokens, shape (masks, n, d).
        temperature: T.
        ratio: Weight of the covariance.

    Returns:
        The term, 0-d.

    Example:
        >>> infmasking_term(torch.eye(2), torch.eye(2)[None], temperature=1.0, ratio=1.0)
        tensor(0.5514)
    """
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    n = len(q)
    mean = k.mean(0)
    # qᵀ Σ q is the variance of the projections q·k over the masks.
    quadratic = ((k - mean) * q).sum(-1).square().mean(0)
    positive = (q * mean).sum(-1) / temperature
    self_pair = torch.eye(n, dtype=torch.bool, device=q.device)
    others = torch.cat([torch.einsum("id,tjd->itj", q, k), (q @ q.mT)[:, None]], dim=1) / temperature
    others = others.masked_fill(self_pair[:, None], -math.inf).flatten(1)
    first = positive + ratio * quadratic / (2 * temperature**2)
    return (torch.logsumexp(torch.cat([first[:, None], others], dim=1), dim=1) - positive).mean()


def coral_orthogonality(z: Sequence[Float[Tensor, "n d"]]) -> Float[Tensor, ""]:
    """Compute the mean over samples of the squared cosines of every two embeddings (COrAL).

    Args:
        z: Embeddings that should be orthogonal, each of shape (n, d).

    Returns:
        The sum over pairs, 0-d, from 0 to the number of pairs.

    Example:
        >>> coral_orthogonality([torch.ones(3, 2), torch.tensor([[1.0, -1.0]] * 3)])
        tensor(0.)
    """
    z = [F.normalize(zi, dim=-1) for zi in z]
    pairs = [(p * q).sum(-1).square().mean() for i, p in enumerate(z) for q in z[i + 1 :]]
    return torch.stack(pairs).sum()


def epps_pulley(
    z: Float[Tensor, "n d"], directions: Float[Tensor, "d slices"], *, knots: int = 17, limit: float = 3.0
) -> Float[Tensor, ""]:
    """Compute the sketched test of an isotropic Gaussian (SIGReg of LeJEPA, arXiv 2511.08544).

    For each unit direction, the statistic is n ∫ |φ_n(t) - exp(-t²/2)|² exp(-t²/2) dt over [-limit, limit],
    with φ_n the empirical characteristic function of the projections; the result is its mean over directions.

    Args:
        z: Embeddings, shape (n, d).
        directions: Random directions, shape (d, slices); normalized to unit length here.
        knots: Points of the trapezoidal rule on [0, limit].
        limit: End of the integral.

    Returns:
        The statistic, 0-d.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> z = torch.randn(4096, 4, generator=generator)
        >>> bool(epps_pulley(z, torch.eye(4)) < epps_pulley(2 * z, torch.eye(4)))
        True
    """
    t = torch.linspace(0.0, limit, knots, device=z.device, dtype=z.dtype)
    target = torch.exp(-t.square() / 2)
    # The integrand is even in t: twice the trapezoidal weights of [0, limit].
    weights = torch.full_like(t, 2 * limit / (knots - 1))
    weights = weights * torch.where((t == 0) | (t == limit), 0.5, 1.0) * target
    angles = (z @ F.normalize(directions, dim=0))[..., None] * t
    real, imaginary = angles.cos().mean(0), angles.sin().mean(0)
    distance = (real - target).square() + imaginary.square()
    return len(z) * (distance @ weights).mean()


def _symmetric_cross_entropy(logits: Float[Tensor, "n n"], smoothing: float) -> Float[Tensor, ""]:
    labels = torch.arange(len(logits), device=logits.device)
    rows = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    columns = F.cross_entropy(logits.mT, labels, label_smoothing=smoothing)
    return (rows + columns) / 2
