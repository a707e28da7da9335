"""Contrastive losses of two sets of embeddings, in nats, with little memory traffic."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.objectives.fused import fused_loss

# With temperatures from this value on, exp(±1 / temperature) and its sums do not overflow float32.
LEAST_TEMPERATURE = 0.0125
# exp(x) = 2^(x log2 e). On the CPU `exp2` takes less than half the time of `exp`.
LOG2_E = math.log2(math.e)


def checked_temperature(temperature: float) -> float:
    """Return the temperature if exp(1 / temperature) does not overflow float32.

    Args:
        temperature: Temperature of cosine similarities.

    Raises:
        ValueError: If it is not a finite number of at least 0.0125.
    """
    if not LEAST_TEMPERATURE <= temperature < math.inf:
        raise ValueError(f"temperature {temperature}: expected {LEAST_TEMPERATURE} or more")
    return float(temperature)


def nt_xent(
    a: Float[Tensor, "*member n d"], b: Float[Tensor, "*member n d"], temperature: float
) -> Float[Tensor, "*member"]:
    """Compute NT-Xent of the 2n embeddings of n pairs (SimCLR, Chen et al. 2020, Eq. 1), in nats.

    The positive of a row is its partner; its candidates are the other 2n - 1 rows of both sets. Similarities
    are cosines divided by the temperature. The loss is the mean cross-entropy of the 2n rows.

    Args:
        a: Embeddings, one row per sample, shape (n, d).
        b: Embeddings of the partners, shape (n, d).
        temperature: Temperature, at least 0.0125.

    Raises:
        ValueError: If the temperature is lower.

    Example:
        >>> z = torch.eye(8)
        >>> bool(nt_xent(z, z, 0.1) < 0.01)
        True
    """
    return nt_xent_sum([a, b], {(0, 1): 1.0}, temperature)


def nt_xent_sum(
    sets: Sequence[Float[Tensor, "*member n d"]],
    weights: Mapping[tuple[int, int], float],
    temperature: float,
) -> Float[Tensor, "*member"]:
    """Compute a weighted sum of `nt_xent` over pairs of sets of embeddings, in nats.

    Similarities within a set are computed once for all pairs that contain it.

    Args:
        sets: Sets of embeddings, each (n, d); all of them are in a pair. A leading member axis is allowed.
        weights: Weight of each pair, by the indices of its two sets.
        temperature: Temperature, at least 0.0125.

    Returns:
        The sum, one number or one per member.

    Raises:
        ValueError: If the temperature is lower.
    """
    z = torch.stack([*sets], dim=-3)
    first, second = (torch.tensor(side, device=z.device) for side in zip(*weights, strict=True))
    weight = z.new_tensor([*weights.values()])[:, None]
    compute = partial(_nt_xent_sum, first, second, weight, checked_temperature(temperature))
    return fused_loss(compute, (len(weights) + len(sets)) * z.shape[-2] ** 2, 3, z)


def _nt_xent_sum(
    first: Int[Tensor, " pairs"],
    second: Int[Tensor, " pairs"],
    weight: Float[Tensor, "pairs 1"],
    temperature: float,
    sets: Float[Tensor, "*member s n d"],
) -> tuple[Float[Tensor, "*member"], Float[Tensor, "*member s n d"]]:
    """Compute the loss of `nt_xent_sum` and its gradient.

    With E = exp(cosine / temperature), a pair (a, b) has the kernel [[E_aa, E_ab], [E_abᵀ, E_bb]] with a zero
    diagonal. Cosines are bounded, so the maximum of a row need not be subtracted.
    """
    n = sets.shape[-2]
    z, length = _unit(sets)
    a, b = z.index_select(-3, first), z.index_select(-3, second)
    scale = LOG2_E / temperature
    across, within = ((a * scale) @ b.mT).exp2_(), ((z * scale) @ z.mT).exp2_()
    _diagonal(within).zero_()
    rows = within.sum(-1)
    totals = rows.index_select(-2, first) + across.sum(-1), rows.index_select(-2, second) + across.sum(-2)
    positives = (a * b).sum(-1) / temperature
    losses = (totals[0].log() + totals[1].log()) / 2.0 - positives
    # The derivative of log(row sum of E) by a similarity is E / row sum, and E_ij is in the rows of i and j.
    u, v = (weight / (2.0 * n) / total for total in totals)
    both = torch.zeros_like(rows).index_add_(-2, first, u).index_add_(-2, second, v)
    across.mul_(u[..., None] + v[..., None, :])
    _diagonal(across).sub_(weight / n)
    within.mul_(both[..., None] + both[..., None, :])
    grad = within @ z
    grad.index_add_(-3, first, across @ b).index_add_(-3, second, across.mT @ a)
    return (weight[:, 0] * losses.mean(-1)).sum(-1), _through_unit(grad.div_(temperature), z, length)


def _unit(x: Float[Tensor, "*lead d"]) -> tuple[Float[Tensor, "*lead d"], Float[Tensor, "*lead 1"]]:
    """Scale vectors to unit length; return them and the lengths (see `torch.nn.functional.normalize`)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12)
    return x / length, length


def _through_unit(
    grad: Float[Tensor, "*lead d"], z: Float[Tensor, "*lead d"], length: Float[Tensor, "*lead 1"]
) -> Float[Tensor, "*lead d"]:
    """Turn the gradient by unit vectors into that by the vectors, in place."""
    return grad.addcmul_(z, (grad * z).sum(-1, keepdim=True), value=-1.0).div_(length)


def _diagonal(matrix: Float[Tensor, "*lead n n"]) -> Float[Tensor, "*lead n"]:
    return matrix.diagonal(dim1=-2, dim2=-1)


def over_pairs(z: Sequence[Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Float[Tensor, "*member"]:
    """Compute the mean of a loss over all pairs of modalities (CMC, Tian et al. 2020).

    Args:
        z: Embeddings of each modality, each (n, d).
        loss: Loss of two sets of embeddings.
    """
    return torch.stack([loss(a, b) for a, b in combinations(z, 2)]).mean(0)


def clip_loss(
    a: Float[Tensor, "*member n d"], b: Float[Tensor, "*member n d"], scale: Float[Tensor, "*member"]
) -> Float[Tensor, "*member"]:
    """Compute the symmetric InfoNCE loss of two modalities (CLIP, Radford et al. 2021), in nats.

    With S = scale * cosines, the loss is the mean of the cross-entropies of the rows and of the columns of S,
    where the partner is the correct class. log n minus the loss is a lower bound on I(A;B).

    Args:
        a: Embeddings of the first modality, shape (n, d).
        b: Embeddings of the second modality, shape (n, d).
        scale: Factor of the cosines, the inverse of a temperature.

    Example:
        >>> z = torch.eye(8)
        >>> bool(clip_loss(z, z, torch.tensor(50.0)) < 1e-6)
        True
    """
    return _softmax_loss(a, b, scale, both=True)


def infonce_of_cosines(
    a: Float[Tensor, "*member n d"], b: Float[Tensor, "*member n d"], temperature: float
) -> Float[Tensor, "*member"]:
    """Compute `pidlab.objectives.bounds.infonce` of the scores cosine / temperature, in nats.

    Args:
        a: Vectors of a, whose rows are the candidates of each row of b, shape (n, d).
        b: Vectors of b, shape (n, d).
        temperature: Temperature of the cosines.

    Example:
        >>> z = torch.eye(8)
        >>> bool(infonce_of_cosines(z, z, 0.05) > math.log(8) - 1e-6)
        True
    """
    scale = a.new_full(a.shape[:-2], 1.0 / temperature)
    return math.log(a.shape[-2]) - _softmax_loss(b, a, scale, both=False)


def _softmax_loss(a: Tensor, b: Tensor, scale: Tensor, *, both: bool) -> Tensor:
    # The scale may be a single number on the CPU.
    inputs = a, b, scale.to(a)
    return fused_loss(partial(_softmax_loss_and_gradient, both), a.shape[-2] ** 2, 2, *inputs)


def _softmax_loss_and_gradient(
    both: bool,
    a: Float[Tensor, "*member n d"],
    b: Float[Tensor, "*member n d"],
    scale: Float[Tensor, "*member"],
) -> tuple[Tensor, ...]:
    """Compute the cross-entropy of the rows of S, or of rows and columns if `both`, and its gradient.

    The derivative by S is softmax(S) - identity, averaged over rows, and over both directions.
    """
    n, factor = a.shape[-2], scale[..., None, None]
    (x, x_length), (y, y_length) = _unit(a), _unit(b)
    # In units of log 2, for `exp2`.
    scores = (x * (factor * LOG2_E)) @ y.mT
    positives = _diagonal(scores)
    slope, normalizer = _softmax(scores, -1)
    if both:
        columns, other = _softmax(scores, -2)
        slope.add_(columns).mul_(0.5)
        normalizer = (normalizer + other) / 2.0
    _diagonal(slope).sub_(1.0)
    pull = slope @ y
    grad_scale = (x * pull).sum((-2, -1)) / n
    grad_a = _through_unit(pull.mul_(factor / n), x, x_length)
    grad_b = _through_unit((slope.mT @ x).mul_(factor / n), y, y_length)
    loss = (normalizer - positives).mean(-1) / LOG2_E
    return loss, grad_a, grad_b, grad_scale


def _softmax(scores: Float[Tensor, "*member n n"], dim: int) -> tuple[Tensor, Float[Tensor, "*member n"]]:
    """Return 2^scores, normalized along an axis, and the binary logarithms of the normalizers."""
    top = scores.amax(dim, keepdim=True)
    shares = (scores - top).exp2_()
    total = shares.sum(dim, keepdim=True)
    return shares.div_(total), (total.log2() + top).squeeze(dim)


def supcon(
    views: Sequence[Float[Tensor, "n d"]],
    labels: Int[Tensor, " n"] | None,
    temperature: float,
    *,
    normalize: bool = True,
    anchors: int | None = None,
) -> Float[Tensor, ""]:
    """Compute the supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, Eq. 2), in nats.

    Every embedding of every view is an anchor a. Its candidates are all other embeddings. Its positives P(a)
    are the candidates of the same label, or without labels the other views of the same sample. With
    s = a·k / temperature, loss = mean over anchors of the mean over p in P(a) of
    [log sum over candidates exp(s_ak) - s_ap]. An anchor without positives contributes 0.

    Args:
        views: One or more embeddings of each sample, each (n, d).
        labels: Class index of each sample, shape (n,), or None.
        temperature: Temperature, at least 0.0125.
        normalize: Whether embeddings are normalized to unit length.
        anchors: Number of views whose embeddings are anchors, counted from the first; all by default.

    Raises:
        ValueError: If the temperature is lower.

    Example:
        >>> z = torch.eye(4)
        >>> bool(supcon([z, z], None, 0.05) < 1e-4)
        True
    """
    z = torch.cat(list(views))
    z = F.normalize(z, dim=-1) if normalize else z
    n, rows = len(views[0]), len(z) if anchors is None else anchors * len(views[0])
    sample = torch.arange(n, device=z.device) if labels is None else labels
    kind = sample.repeat(len(views))
    other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)[:rows]
    positive = (kind[:rows, None] == kind[None, :]) & other
    scores = z[:rows] @ z.mT / checked_temperature(temperature)
    normaliser = torch.logsumexp(scores.masked_fill(~other, -math.inf), dim=1)
    count = positive.sum(1)
    pulled = torch.where(positive, scores, 0.0).sum(1) / count.clamp_min(1)
    return torch.where(count > 0, normaliser - pulled, 0.0).mean()
