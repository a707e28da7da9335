"""SynIB: supervised fusion that must not be confident with one modality destroyed."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.objective import Batch, BuiltIn


class SynIB(BuiltIn):
    """Cross-entropies and an information bottleneck on destroyed modalities (arXiv 2606.09853).

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
        # e^v of a head at He's scale would dominate the loss at the start.
        with torch.no_grad():
            self.log_variance.weight.mul_(0.1)
        self.unimodal = nn.ModuleList(Linear(encoders.dim, outputs) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a labeled batch."""
        codes = self.encode(batch.x)
        loss = self._cross_entropy(self.head(self._fuse(codes)), batch)
        for head, code in zip(self.unimodal, codes, strict=True):
            loss = loss + self._cross_entropy(head(code), batch)
        destroyed, divergences = [], []
        for i, code in enumerate(codes):
            fused = self._fuse([_shuffle(code, batch) if j == i else other for j, other in enumerate(codes)])
            mean, v = self.head(fused), self.log_variance(fused)
            divergences.append(0.5 * (v.exp() + mean.square() - 1 - v).sum(-1).mean())
            destroyed.append(mean)
        # Each sample's destroyed modality is drawn at random.
        choice = (batch.uniform() * len(codes)).long()
        logits = torch.stack(destroyed).gather(0, choice[None, :, None].expand(1, -1, destroyed[0].shape[1]))[
            0
        ]
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


def _shuffle(code: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, "n d"]:
    """Replace every row by that of another sample: the next one in a random order."""
    order = batch.uniform().argsort()
    rank = order.argsort()
    return code[order[(rank + 1) % len(order)]]
