"""The ceiling: one network on both modalities, trained on every target."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders, Linear
from pidlab.objectives.base import Batch, BuiltIn, Phase


class Untrained(BuiltIn):
    """Encoders that are never trained: what a random network of this width lets a probe read."""

    name = "untrained"
    phases: tuple[Phase, ...] = ()

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Zero, whatever the batch."""
        return torch.zeros((), device=batch.x1.device)


class Supervised(BuiltIn):
    """Cross-entropy of every target from `encoders.joint(x1, x2)`, through one linear head.

    loss = sum over targets of -mean log softmax(head(z12))[target], in nats. Towers with late fusion
    do not learn the XOR; the joint network does. Its one readout is z12.
    """

    name = "supervised"
    needs = ("labels",)

    def __init__(self, encoders: Encoders) -> None:
        super().__init__(encoders)
        self.joint = encoders.joint
        self.classes = encoders.classes
        self.head = Linear(encoders.dim * len(encoders), sum(self.classes.values()))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The summed cross-entropy of a batch with `targets`."""
        logits = self.head(self.joint(*batch.x)).split(list(self.classes.values()), dim=-1)
        losses = [
            F.cross_entropy(logit, batch.targets[name])
            for name, logit in zip(self.classes, logits, strict=True)
        ]
        return torch.stack(losses).sum()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """z12, the joint network's output."""
        return {"z12": self.joint(*x)}
