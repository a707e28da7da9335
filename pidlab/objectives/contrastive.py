"""Contrastive losses of two sets of embeddings, in nats, with little memory traffic."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# With temperatures from this value on, exp(±1 / temperature) and its sums do not overflow float32.
LEAST_TEMPERATURE = 0.0125


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


def nt_xent(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
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
    z = F.normalize(torch.cat([a, b]), dim=-1)
    return _NTXent.apply(z, checked_temperature(temperature))[0]


class _NTXent(torch.autograd.Function):
    # Only one matrix is stored: the similarities, overwritten by their exponentials E = exp(cos / T). E is
    # symmetric and has a zero diagonal. With its row sums r,
    # 2n T dL/dz = diag(1/r) E z + E diag(1/r) z - 2 partner(z). Cosines are bounded, so the row maximum need
    # not be subtracted.

    @staticmethod
    def forward(z: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        n = z.shape[-2] // 2
        cosines = (z / temperature) @ z.mT
        positives = torch.diagonal(cosines, n, -2, -1).mean(-1)
        kernel = cosines.exp_()
        torch.diagonal(kernel, 0, -2, -1).zero_()
        rows = kernel.sum(-1)
        return rows.log().mean(-1) - positives, kernel, rows

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        z, ctx.temperature = inputs
        _, kernel, rows = output
        ctx.mark_non_differentiable(kernel, rows)
        ctx.set_materialize_grads(False)  # otherwise the kernel gets a zero gradient of its size
        ctx.save_for_backward(z, kernel, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, None]:  # type: ignore[override]
        if grad is None:
            return None, None
        z, kernel, rows = ctx.saved_tensors
        n = z.shape[-2] // 2
        weight = rows.reciprocal()[..., None]
        plain, weighted = (kernel @ torch.cat([z, weight * z], dim=-1)).chunk(2, dim=-1)
        pull = torch.cat([z[..., n:, :], z[..., :n, :]], dim=-2)
        scale = (grad / (2 * n * ctx.temperature))[..., None, None]
        return (plain * weight + weighted - 2.0 * pull) * scale, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, z: Tensor, temperature: float) -> Any:  # type: ignore[override]
        return _NTXent.apply(z.movedim(in_dims[0], 0), temperature), (0, 0, 0)


def over_pairs(z: Sequence[Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Float[Tensor, ""]:
    """Compute the mean of a loss over all pairs of modalities (CMC, Tian et al. 2020).

    Args:
        z: Embeddings of each modality, each (n, d).
        loss: Loss of two sets of embeddings.
    """
    return torch.stack([loss(a, b) for a, b in combinations(z, 2)]).mean()


def clip_loss(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
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
    scores = (F.normalize(a, dim=-1) * scale) @ F.normalize(b, dim=-1).mT
    normalisers = torch.logsumexp(scores, 0) + torch.logsumexp(scores, 1)
    return (normalisers / 2 - scores.diagonal()).mean()


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
