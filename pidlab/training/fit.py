"""One run: an objective trained on a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import Training, recipe_settings
from pidlab.doubling import doubled
from pidlab.errors import check_keywords
from pidlab.generators import Generator, as_generator
from pidlab.generators.parameters import default_policy
from pidlab.objectives import load_objective
from pidlab.objectives.load import as_objective
from pidlab.objectives.objective import needs_of, phases_of
from pidlab.seeds import child, temporary_seed
from pidlab.training.cohort import FittedCohort, Member, train
from pidlab.training.stream import Stream, tree_map


@dataclass(frozen=True, repr=False)
class Fitted:
    """A trained model with frozen parameters.

    Args:
        cohort: Cohort that it was trained in.
        generator: Generator that it was trained on.
    """

    cohort: FittedCohort
    generator: Generator

    def __repr__(self) -> str:
        objective = type(self.cohort.program.objective).__name__
        loss = (
            f"loss {self.losses[-1]:.4g} after {len(self.losses)} steps" if len(self.losses) else "untrained"
        )
        return f"Fitted({objective} on {self.generator.name}, {loss})"

    @property
    def losses(self) -> Float[Tensor, " steps"]:
        """Loss at every step, in the unit of the objective (nats for the built-in ones)."""
        return self.cohort.losses[:, 0]

    def represent(self, *x: Float[Tensor, "n ..."]) -> dict[str, Float[Tensor, "n _"]]:
        """Compute the readouts of observations.

        Args:
            x: Observations of each modality: x1, x2, ..., each (n, ...).

        Returns:
            Readouts by name, each (n, width).
        """
        return {name: z[0] for name, z in self.cohort.represent([xi[None] for xi in x]).items()}


def fit(
    objective: str | Callable[..., Any],
    generator: str | Generator,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    recipe: str | None = None,
    **settings: Any,
) -> Fitted:
    """Train an objective on a generator.

    Args:
        objective: A reference such as `"comm(temperature=0.1)"`, a class or function that builds an objective
            from encoders, or a loss(z1, z2).
        generator: A generator, or a reference such as `"atoms(unique1=0.5)"`.
        seed: Seed of the weights, the data, the batches and the views.
        device: Device to train on.
        recipe: Name of published training settings (`pidlab.defaults.RECIPES`), used where `settings` sets
            nothing.
        settings: Fields of `pidlab.defaults.Training`: views, steps, batch, samples, dim, ...

    Returns:
        The model with frozen parameters.

    Raises:
        InvalidRequest: If a reference or a setting is unknown, or if the batch is larger than the training
            set.

    Example:
        >>> fit("comm", "atoms", steps=3, batch=32).losses.shape
        torch.Size([3])
    """
    make = load_objective(objective) if isinstance(objective, str) else as_objective(objective)
    law = as_generator(generator)
    known = [field.name for field in fields(Training)]
    check_keywords("fit", settings, [*known, "seed", "device", "recipe"])
    chosen: dict[str, Any] = {"views": default_policy(law.policies)} | recipe_settings(recipe) | settings
    return Fitted(train(make, [Member(law, seed)], Training(**chosen), device), law)


def fresh_losses(
    fitted: FittedCohort,
    members: Sequence[Member],
    training: Training,
    batches: int,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "batches members"]:
    """Compute the loss of the first phase on new batches, in the unit of the objective (nats).

    Batches come from the child `"fresh"` of the seed of a member, so that members with one seed and one
    generator are evaluated on the same batches.

    Args:
        fitted: Trained models.
        members: Generator and seed of each model.
        training: Views and batch size.
        batches: Number of batches.
        device: Device of the tensors.

    Raises:
        ValueError: If the objective has no phase, and so no loss.
    """
    program = fitted.program
    phases = phases_of(program.objective)
    if not phases:
        raise ValueError("the objective has no phase, so it has no loss")
    padded = doubled(members) if program.vectorised else [*members]
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
                member_losses = (
                    program(phases[0].loss, *state, tree_map(lambda t, i=i: t[i], batch), i)[0]
                    for i, state in enumerate(fitted.states)
                )
                loss = torch.stack([*member_losses])
            losses.append(loss[: len(members)].cpu())
    return torch.stack(losses)
