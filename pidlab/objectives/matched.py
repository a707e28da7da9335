"""Baselines with the architecture of an objective: its model before training, and trained with the labels."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.objective import Batch, MakeObjective, Phase, represent
from pidlab.objectives.supervised import summed_cross_entropy

# The readout that the labels train.
JOINT = "z12"


class Floor(nn.Module):
    """The model of an objective before training.

    Args:
        encoders: The encoders, as the objective gets them.
        make: Builds the objective from encoders.
    """

    phases: tuple[Phase, ...] = ()

    def __init__(self, encoders: Encoders, make: MakeObjective) -> None:
        super().__init__()
        self.objective = make(encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Return zero."""
        return torch.zeros((), device=batch.x1.device)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return the readouts of the objective."""
        return represent(self.objective, x)


class Ceiling(nn.Module):
    """The encoders and the fusion of an objective, trained with the labels.

    loss = sum over two heads h and all targets of -mean log softmax(h(z12))[target], in nats. One head is
    linear and one has a hidden layer, because linear and nonlinear probes read z12. Other readouts are not
    trained themselves; they are parts of the model on the way to z12.

    Args:
        encoders: The encoders, as the objective gets them.
        make: Builds the objective from encoders.

    Raises:
        ValueError: If the objective has no readout z12.
    """

    needs = ("labels",)

    def __init__(self, encoders: Encoders, make: MakeObjective) -> None:
        super().__init__()
        self.objective = make(encoders)  # before the heads, so that its weights are those of the floor
        self.classes = encoders.classes
        width, outputs = joint_width(self.objective, encoders), sum(self.classes.values())
        self.heads = nn.ModuleList([Linear(width, outputs), mlp(width, encoders.hidden, outputs)])

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the cross-entropy of a labeled batch, summed over heads and targets."""
        z = represent(self.objective, batch.x)[JOINT]
        losses = [summed_cross_entropy(head(z), self.classes, batch.targets) for head in self.heads]
        return torch.stack(losses).sum()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return the readouts of the objective."""
        return represent(self.objective, x)


def joint_width(objective: nn.Module, encoders: Encoders) -> int:
    """Return the width of an objective's readout z12.

    Args:
        objective: The objective. Its state does not change.
        encoders: The encoders that it was built from.

    Raises:
        ValueError: If it has no such readout.
    """
    # A copy, because modules may count their calls or keep statistics of what they have seen.
    copied = copy.deepcopy(objective).eval()
    with torch.no_grad():
        readouts = represent(copied, tuple(torch.zeros(2, *m.shape) for m in encoders.modalities))
    if JOINT not in readouts:
        raise ValueError(f"no readout {JOINT}: the ceiling is trained from it; return it from represent()")
    return readouts[JOINT].shape[-1]
