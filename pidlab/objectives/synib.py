"""SynIB: supervised fusion that must not be confident with one modality destroyed."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.objective import Batch, BuiltIn, check_option

# Decay of the running statistics and smallest variance, as in the released code.
DECAY = 0.99
SMALLEST_VARIANCE = 1e-6


class SynIB(BuiltIn):
    """Cross-entropies and an information bottleneck on destroyed modalities (arXiv 2606.09853).

    loss = CE(fused) + sum_i CE(modality i) + CE(fused, one random modality destroyed) + weight * sum_i KL_i,
    with KL_i = mean over samples of ½ sum(e^v + mu² - 1 - v), mu the fused logits with modality i destroyed
    and v from a linear head. Each cross-entropy is summed over the targets. A destroyed modality is the
    embedding of another random sample, or noise from a running Gaussian, drawn for each sample and each
    coordinate: m + sqrt(max(s - m², 1e-6)) * N(0, 1), with m and s the means of the coordinate and of its
    square. Every step moves m and s to 0.99 times themselves plus 0.01 times the values of the batch; the
    first step sets them to the values of its batch. No gradient passes through them.

    Source of the noise: class `FeatureStatsMasker` in src/synib/models/vlm/synib_mask_model.py of
    github.com/kkontras/SynIB. Departures: the whole embedding is destroyed, as in qwen_cached.py next to it,
    where synib_mask_model.py masks some coordinates; the embedding is a vector and has no layer norm.

    Args:
        encoders: One encoder for each modality.
        weight: Weight l of the KL terms: 0.001 to 1 in the paper.
        destroyed: What replaces a destroyed modality: `"swap"`, another sample, or `"noise"`.

    Raises:
        ValueError: If `destroyed` is neither of them.
    """

    name = "synib"
    needs = ("labels", "random")

    def __init__(self, encoders: Encoders, *, weight: float = 0.01, destroyed: str = "swap") -> None:
        super().__init__(encoders)
        check_option("destroyed", destroyed, ("swap", "noise"))
        self.weight, self.destroyed, self.classes = weight, destroyed, encoders.classes
        width, outputs = encoders.dim * len(encoders), sum(encoders.classes.values())
        self.fusion = mlp(width, encoders.hidden, width)
        self.head, self.log_variance = Linear(width, outputs), Linear(width, outputs)
        # e^v of a head at He's scale would dominate the loss at the start.
        with torch.no_grad():
            self.log_variance.weight.mul_(0.1)
        self.unimodal = nn.ModuleList(Linear(encoders.dim, outputs) for _ in encoders)
        # Buffers, because every model has its own: m, s, and the number of steps that have updated them.
        self.mean: Tensor
        self.square: Tensor
        self.updates: Tensor
        if destroyed == "noise":
            self.register_buffer("mean", torch.zeros(len(encoders), encoders.dim))
            self.register_buffer("square", torch.zeros(len(encoders), encoders.dim))
            self.register_buffer("updates", torch.zeros(()))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a labeled batch."""
        codes = self.encode(batch.x)
        loss = self._cross_entropy(self.head(self._fuse(codes)), batch)
        for head, code in zip(self.unimodal, codes, strict=True):
            loss = loss + self._cross_entropy(head(code), batch)
        if self.destroyed == "noise":
            self._update_statistics(codes)
        destroyed, divergences = [], []
        for i, code in enumerate(codes):
            replaced = _shuffle(code, batch) if self.destroyed == "swap" else self._noise(i, batch)
            fused = self._fuse([replaced if j == i else other for j, other in enumerate(codes)])
            mean, v = self.head(fused), self.log_variance(fused)
            divergences.append(0.5 * (v.exp() + mean.square() - 1 - v).sum(-1).mean())
            destroyed.append(mean)
        # Each sample's destroyed modality is drawn at random.
        choice = (batch.uniform() * len(codes)).long()
        logits = torch.stack(destroyed).gather(0, choice[None, :, None].expand(1, -1, destroyed[0].shape[1]))[
            0
        ]
        return loss + self._cross_entropy(logits, batch) + self.weight * torch.stack(divergences).sum()

    def _update_statistics(self, codes: list[Tensor]) -> None:
        # New tensors, because `torch.vmap` does not support updates in place.
        share = torch.where(self.updates == 0, 1.0, 1 - DECAY)
        values = torch.stack([code.detach() for code in codes])
        self.mean = self.mean.lerp(values.mean(1), share)
        self.square = self.square.lerp(values.square().mean(1), share)
        self.updates = self.updates + 1

    def _noise(self, modality: int, batch: Batch) -> Float[Tensor, "n d"]:
        mean = self.mean[modality]
        variance = (self.square[modality] - mean.square()).clamp(min=SMALLEST_VARIANCE)
        return mean + variance.sqrt() * batch.normal(len(mean))

    def _fuse(self, codes: list[Tensor]) -> Tensor:
        return self.fusion(torch.cat(codes, -1))

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        parts = logits.split(list(self.classes.values()), dim=-1)
        losses = [
            F.cross_entropy(part, batch.targets[name]) for name, part in zip(self.classes, parts, strict=True)
        ]
        return torch.stack(losses).sum()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Compute z1, z2, ... (embeddings) and z12 (the fused code)."""
        codes = self.encode(x)
        return {**{f"z{i + 1}": z for i, z in enumerate(codes)}, "z12": self._fuse(codes)}


def _shuffle(code: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, "n d"]:
    """Replace every row by that of another sample: the next one in a random order."""
    order = batch.uniform().argsort()
    rank = order.argsort()
    return code[order[(rank + 1) % len(order)]]
