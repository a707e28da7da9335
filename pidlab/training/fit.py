"""One run: an objective fitted to a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import Training
from pidlab.generators import Generator
from pidlab.objectives import load_objective
from pidlab.objectives.load import as_objective
from pidlab.training.cohort import FittedCohort, Member, train


@dataclass(frozen=True)
class Fitted:
    """A frozen model.

    Args:
        cohort: the cohort it was trained in.
        generator: what it was fitted to.
    """

    cohort: FittedCohort
    generator: Generator

    @property
    def losses(self) -> Float[Tensor, " steps"]:
        """The loss at every step, in the objective's own unit (nats for the built-in ones)."""
        return self.cohort.losses[:, 0]

    def represent(self, *x: Float[Tensor, "n ..."]) -> dict[str, Float[Tensor, "n _"]]:
        """Every readout of the observations x1, x2, ..."""
        return {name: z[0] for name, z in self.cohort.represent([xi[None] for xi in x]).items()}


def fit(
    objective: str | Callable[..., Any],
    generator: Generator,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Fitted:
    """Fits an objective to a generator.

    Args:
        objective: a reference such as `"comm(temperature=0.1)"`; a class or function that makes an
            objective from encoders; or a loss(z1, z2).
        generator: what to fit it to.
        seed: seeds the weights, the data, the batches and the views.
        device: where to train.
        settings: fields of `pidlab.defaults.Training`: views, steps, batch, samples, dim, ...

    Returns:
        The frozen model.

    Raises:
        InvalidRequest: an unknown objective, more of a batch than there are samples.
        TypeError: an unknown setting.
    """
    make = load_objective(objective) if isinstance(objective, str) else as_objective(objective)
    members: Sequence[Member] = [Member(generator, seed)]
    return Fitted(train(make, members, Training(**settings), device), generator)


__all__ = ["Fitted", "fit"]
