"""The loss of trained models on batches that none of them has seen."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import Training
from pidlab.objectives.base import needs_of, phases_of
from pidlab.seeds import child, lent_randomness
from pidlab.training.cohort import FittedCohort, Member
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
    with torch.no_grad(), lent_randomness(0, device):
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
