"""An objective on one small minibatch: what the rules of the contract are tried on."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pidlab.defaults import Training
from pidlab.generators import Atoms, Generator
from pidlab.objectives.base import Batch, MakeObjective, Phase, loss_of, needs_of, phases_of
from pidlab.seeds import lent_randomness
from pidlab.training import Member
from pidlab.training.cohort import build
from pidlab.training.program import Program, choose_program
from pidlab.training.stream import Stream, tree_map

SETTINGS = Training(steps=3, batch=32, hidden=16)


class Trial:
    """An objective on one small minibatch, as the rules need it.

    Args:
        make: makes the objective from encoders.
        generator: what the data come from.
    """

    def __init__(self, make: MakeObjective, generator: Generator | None = None) -> None:
        self.make, self.generator = make, generator or Atoms()

    def model(self, seed: int = 0, device: str = "cpu") -> nn.Module:
        """An untrained model."""
        return build(self.make, Member(self.generator, seed), SETTINGS, device)

    def batch(self, seed: int = 0) -> dict[str, Any]:
        """A minibatch."""
        needs = needs_of(self.model())
        stream = Stream([self.generator], [seed], SETTINGS, needs, torch.device("cpu"))
        return tree_map(lambda t: t[0], stream.next())

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What is trained, in order."""
        return phases_of(self.model())

    def loss(self, model: nn.Module, phase: Phase, batch: dict[str, Any], seed: int = 0) -> Tensor:
        """A phase's loss; draws of its own are the same for the same seed."""
        with lent_randomness(seed):
            return loss_of(model, phase.loss, Batch(**batch))

    @cached_property
    def program(self) -> Program:
        """Vmap or loop."""
        pair = tree_map(lambda t: torch.stack([t, t]), self.batch())
        with lent_randomness(0):
            return choose_program(self.model(), pair)


def computed(model: nn.Module, phase: Phase, batch: dict[str, Any]) -> Tensor:
    """A phase's loss with whatever randomness stands around it, without its graph."""
    return loss_of(model, phase.loss, Batch(**batch)).detach()


def stacked(batches: list[Any]) -> Any:
    """Minibatches of several members with a leading member axis."""
    first = batches[0]
    if isinstance(first, dict):
        return {key: stacked([b[key] for b in batches]) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked([b[i] for b in batches]) for i in range(len(first)))
    return torch.stack(batches)


def on_meta(shapes: Any) -> Any:
    """Tensors without numbers, of the given shapes and types."""
    if isinstance(shapes, dict):
        return {key: on_meta(value) for key, value in shapes.items()}
    if isinstance(shapes, tuple) and isinstance(shapes[-1], torch.dtype):
        return torch.empty(shapes[0], dtype=shapes[1], device="meta")
    return tuple(on_meta(value) for value in shapes)
