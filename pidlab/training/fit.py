"""One run: an objective fitted to a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import Training
from pidlab.generators import Generator
from pidlab.objectives import load_objective
from pidlab.objectives.base import needs_of, phases_of
from pidlab.objectives.load import as_objective
from pidlab.seeds import child, temporary_seed
from pidlab.training.cohort import FittedCohort, Member, train
from pidlab.training.stream import Stream, tree_map


def fresh_losses(
    fitted: FittedCohort,
    members: Sequence[Member],
    training: Training,
    batches: int,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "batches members"]:
    """The loss of the first phase on `batches` new batches, in the objective's own unit (nats).

    Batches come from the child `"fresh"` of a member's seed, so that members of one seed and one law are
    scored on the same ones, whatever they were trained on.

    Raises:
        ValueError: an objective without a phase, which has no loss.
    """
    program = fitted.program
    phases = phases_of(program.objective)
    if not phases:
        raise ValueError("the objective has no phase, so it has no loss")
    padded = [*members] * 2 if program.vectorised and len(members) == 1 else [*members]
    training, seeds = replace(training, samples=None), [child(member.seed, "fresh") for member in padded]
    needs, generators = needs_of(program.objective), [member.generator for member in padded]
    stream = Stream(generators, seeds, training, needs, torch.device(device))
    losses = []
    with torch.no_grad(), temporary_seed(0, device):
        for _ in range(batches):
            batch = stream.next()
            if program.vectorised:
                loss, _ = program(phases[0].loss, *fitted.states[0], batch)
            else:
                each = (
                    program(phases[0].loss, *state, tree_map(lambda t, i=i: t[i], batch))[0]
                    for i, state in enumerate(fitted.states)
                )
                loss = torch.stack([*each])
            losses.append(loss[: len(members)].cpu())
    return torch.stack(losses)


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
