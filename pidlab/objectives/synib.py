"""SynIB: supervised fusion that must not be confident with one modality destroyed."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.base import Batch, BuiltIn


class SynIB(BuiltIn):
    """Cross-entropies and an information bottleneck on destroyed modalities (arXiv 2606.09853,
    kkontras/SynIB), in nats.

    loss = CE(fused) + sum_i CE(modality i) + CE(fused, one random modality destroyed) + weight * sum_i KL_i,
    with KL_i = mean over samples of ½ sum(e^v + mu² - 1 - v), mu the fused logits with modality i destroyed
    and v from a linear head. A destroyed modality is the embedding of another random sample. Each
    cross-entropy is summed over the targets.

    Args:
        encoders: One encoder for each modality.
        weight: Weight l of the KL terms: 0.001 to 1 in the paper.
    """

    name = "synib"
    needs = ("labels", "random")

    def __init__(self, encoders: Encoders, *, weight: float = 0.01) -> None:
        super().__init__(encoders)
        self.weight, self.classes = weight, encoders.classes
        width, outputs = encoders.dim * len(encoders), sum(encoders.classes.values())
        self.fusion = mlp(width, encoders.hidden, width)
        self.head, self.log_variance = Linear(width, outputs), Linear(width, outputs)
        # The variance starts at 1: e^v of a randomly initialized head would dominate the loss.
        nn.init.zeros_(self.log_variance.weight)
        self.unimodal = nn.ModuleList(Linear(encoders.dim, outputs) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a labeled batch."""
        codes = self.encode(batch.x)
        loss = self._cross_entropy(self.head(self._fuse(codes)), batch)
        for head, code in zip(self.unimodal, codes, strict=True):
            loss = loss + self._cross_entropy(head(code), batch)
        # Rows of other samples, in one random order per modality.
        orders = batch.uniform(len(codes)).argsort(0)
        destroyed, divergences = [], []
        for i, code in enumerate(codes):
            fused = self._fuse([code[orders[:, i]] if j == i else other for j, other in enumerate(codes)])
            mean, v = self.head(fused), self.log_variance(fused)
            divergences.append(0.5 * (v.exp() + mean.square() - 1 - v).sum(-1).mean())
            destroyed.append(mean)
        choice = (batch.uniform()[:1] * len(codes)).long()
        logits = torch.stack(destroyed).index_select(0, choice)[0]
        return loss + self._cross_entropy(logits, batch) + self.weight * torch.stack(divergences).sum()

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
