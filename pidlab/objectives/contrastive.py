"""Contrastive losses of two sets of embeddings, written to move little memory. In nats."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# Down to this, exp(±1 / temperature) and its sums stay well inside float32.
LEAST_TEMPERATURE = 0.0125


def checked_temperature(temperature: float) -> float:
    """The temperature, if float32 can carry it.

    Raises:
        ValueError: it is not a finite number of 0.0125 or more.
    """
    if not LEAST_TEMPERATURE <= temperature < math.inf:
        raise ValueError(f"temperature {temperature}: expected {LEAST_TEMPERATURE} or more")
    return float(temperature)


def nt_xent(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
    """NT-Xent over the 2n embeddings of n pairs (SimCLR, Chen et al. 2020, Eq. 1), in nats.

    Each row's positive is its partner, its candidates are all other 2n - 1 rows of both sets;
    similarities are cosines over the temperature; the loss is the mean cross-entropy of 2n rows.

    Args:
        a: embeddings, one row a sample.
        b: their partners.
        temperature: at least 0.0125.

    Raises:
        ValueError: a lower temperature, which float32 cannot carry.
    """
    z = F.normalize(torch.cat([a, b]), dim=-1)
    return _NTXent.apply(z, checked_temperature(temperature))[0]


class _NTXent(torch.autograd.Function):
    # One similarity matrix, overwritten by its exponentials, is all that is kept: with
    # E = exp(cos / T), symmetric and without its diagonal, and r its row sums,
    # 2n T dL/dz = diag(1/r) E z + E diag(1/r) z - 2 partner(z). Cosines are bounded, so no row
    # maximum need be found and taken off.

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
        ctx.set_materialize_grads(False)  # the kernel would get zeros of its own size
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
    """The mean of a loss over all pairs of modalities (CMC, Tian et al. 2020): for two, the loss itself."""
    return torch.stack([loss(a, b) for a, b in combinations(z, 2)]).mean()


def clip_loss(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of two towers (CLIP, Radford et al. 2021), in nats.

    With S = scale * cosines: the mean of the cross-entropies of rows and of columns, each with its
    partner as the right answer. log n minus it is a lower bound on I(A;B).

    Args:
        a: embeddings of the first modality.
        b: of the second.
        scale: factor on the cosines, the inverse of a temperature.
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
    """Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, Eq. 2), in nats.

    Every embedding of every view is an anchor a. Its candidates are all the others, its positives P(a)
    those of its own label; without labels the other views of its own sample. With s = a·k / temperature,
    loss = mean over anchors of mean over p in P(a) of [log sum over candidates exp(s_ak) - s_ap]. An
    anchor without positives counts as 0.

    Args:
        views: one or more embeddings of each sample.
        labels: the class of every sample.
        temperature: at least 0.0125.
        normalize: whether embeddings are brought to unit length first.
        anchors: how many of the views, the first ones, are anchors; all by default.

    Raises:
        ValueError: a lower temperature, which float32 cannot carry.
    """
    z = torch.cat(list(views))
    z = F.normalize(z, dim=-1) if normalize else z
    n, asked = len(views[0]), len(z) if anchors is None else anchors * len(views[0])
    sample = torch.arange(n, device=z.device) if labels is None else labels
    kind = sample.repeat(len(views))
    other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)[:asked]
    positive = (kind[:asked, None] == kind[None, :]) & other
    scores = z[:asked] @ z.mT / checked_temperature(temperature)
    normaliser = torch.logsumexp(scores.masked_fill(~other, -math.inf), dim=1)
    count = positive.sum(1)
    pulled = torch.where(positive, scores, 0.0).sum(1) / count.clamp_min(1)
    return torch.where(count > 0, normaliser - pulled, 0.0).mean()
