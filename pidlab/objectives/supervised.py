"""Baselines: an untrained network (floor) and a supervised network on both modalities (ceiling)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.encoders import Encoders, Linear
from pidlab.objectives.objective import Batch, BuiltIn, Phase


class Untrained(BuiltIn):
    """Encoders that are not trained: the information that a probe extracts from a random network.

    Args:
        encoders: The encoders e_i.
    """

    name = "untrained"
    phases: tuple[Phase, ...] = ()

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Return zero."""
        return torch.zeros((), device=batch.x1.device)


class Supervised(BuiltIn):
    """Cross-entropy of every target from `encoders.joint(x1, x2)` with one linear head, in nats.

    loss = sum over targets of -mean log softmax(head(z12))[target]. A linear head on two concatenated
    embeddings cannot compute an XOR; on a joint network it can. The only readout is z12.

    Args:
        encoders: Encoders with a joint network.
    """

    name = "supervised"
    stackable = True
    needs = ("labels",)

    def __init__(self, encoders: Encoders) -> None:
        super().__init__(encoders)
        self.joint = encoders.joint
        self.classes = encoders.classes
        self.head = Linear(encoders.dim * len(encoders), sum(self.classes.values()))

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the summed cross-entropy of a labeled batch."""
        return summed_cross_entropy(self.head(self.joint(*batch.x)), self.classes, batch.targets)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return z12, the output of the joint network."""
        return {"z12": self.joint(*x)}


def summed_cross_entropy(
    logits: Float[Tensor, "*member n outputs"],
    classes: Mapping[str, int],
    targets: Mapping[str, Int[Tensor, "*member n"]],
) -> Float[Tensor, "*member"]:
    """Compute the cross-entropy of every target, summed over targets, in nats.

    Args:
        logits: Logits of all targets, one after the other, shape (n, sum of classes).
        classes: Number of classes of every target, in the order of the logits.
        targets: Label of each target, each (n,).
    """
    parts = logits.split(list(classes.values()), dim=-1)
    losses = [
        -F.log_softmax(logit, dim=-1).gather(-1, targets[name][..., None]).mean((-2, -1))
        for name, logit in zip(classes, parts, strict=True)
    ]
    return torch.stack(losses).sum(0)
