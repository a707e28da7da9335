"""Generators whose training data have other parameters than those they are examined on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float

from pidlab.decomposition import Decomposition, Planted
from pidlab.encoders import Modality
from pidlab.errors import InvalidRequest
from pidlab.generators.dials import DIALS
from pidlab.generators.generator import Generator, Sample, Stack, Target, ViewInformation
from pidlab.generators.parameters import check_policy
from pidlab.generators.stressed import Stressed

# The latent that marks rows of the split "train".
TRAINING = "training"


@dataclass(frozen=True)
class Shifted(Generator):
    """A generator that draws the split ``"train"`` from another one of the same shape and world.

    Truth: that of the examination, because the split ``"eval"`` is drawn from it. Views are those of the
    generator that drew the rows.

    Args:
        examination: Generator of all splits but ``"train"``.
        training: Generator of the split ``"train"``.

    Raises:
        InvalidRequest: If the observations, classes or rendering of the two differ.

    Example:
        >>> from pidlab.generators.atoms import Atoms
        >>> shifted = Shifted(Atoms(redundant=0, unique1=1), Atoms(redundant=1, unique1=0))
        >>> shifted.truth.unique1, shifted.sample(4, split="train").targets["unique1"].tolist()
        (1.0, [0, 0, 0, 0])
    """

    examination: Generator
    training: Generator

    def __post_init__(self) -> None:
        examination, training = self.examination, self.training
        classes = [[t.classes for t in g.target_specs.values()] for g in (examination, training)]
        if _unstressed(examination).shape_key != _unstressed(training).shape_key or classes[0] != classes[1]:
            changed = ", ".join(f"train_{name} = {value!r}" for name, value in self._differences.items())
            raise InvalidRequest(
                f"{changed}: training data of {examination.name} would have other coordinates or classes; "
                "choose values for which both have equal shapes"
            )
        policies = tuple(policy for policy in examination.policies if policy in training.policies)
        for name, value in {
            "name": examination.name,
            "policies": policies,
            "independent_targets": examination.independent_targets,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def _differences(self) -> dict[str, Any]:
        """Parameters of the training that differ from those of the examination."""
        tested, trained = DIALS | self.examination.parameters, DIALS | self.training.parameters
        return {name: value for name, value in trained.items() if tested[name] != value}

    @property
    def parameters(self) -> dict[str, Any]:
        return self.examination.parameters | {f"train_{k}": v for k, v in self._differences.items()}

    @property
    def world(self) -> int:  # type: ignore[override]
        """Seed of the random part of the construction of both generators."""
        return self.examination.world

    def in_world(self, world: int) -> Self:
        # Nothing that was checked depends on the world.
        other = object.__new__(type(self))
        examination, training = (g.in_world(world) for g in (self.examination, self.training))
        vars(other).update(vars(self), examination=examination, training=training)
        return other

    @property
    def truth(self) -> Decomposition | Planted:
        return self.examination.truth

    @property
    def target_truth(self) -> Decomposition | Planted:
        return self.examination.target_truth

    @property
    def target_specs(self) -> dict[str, Target]:
        return self.examination.target_specs

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        return self.examination.auxiliary_specs

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return self.examination.pair_laws

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return self.examination.cell_laws

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"] | None:
        return self.examination.symbol_law()

    def solve(self) -> Decomposition | None:
        return self.examination.solve()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.examination.modalities

    @property
    def shape_key(self) -> Any:
        return (TRAINING, self.examination.shape_key, self.training.shape_key)

    def rows(self, split: str) -> int | None:
        return (self.training if split == "train" else self.examination).rows(split)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) of views of training rows, in bits."""
        return self.training.view_information(policy)

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        return ShiftedStack([self]).sample(n, [seed], split, device).member(0)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        check_policy(self, policy)
        return ShiftedStack([self]).view(sample.as_stack(), policy, [seed]).member(0)

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> "ShiftedStack":
        return ShiftedStack([g for g in generators if isinstance(g, Shifted)])


class ShiftedStack(Stack):
    """Shifted generators of equal `shape_key`, drawn together.

    Args:
        generators: The members.
    """

    def __init__(self, generators: Sequence[Shifted]) -> None:
        super().__init__(generators)
        pairs = ([g.examination for g in generators], [g.training for g in generators])
        # A stack for examination and one for training.
        self._stacks = tuple(type(members[0]).stack(members) for members in pairs)

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        is_training = split == "train"
        sample = self._stacks[is_training].sample(n, seeds, split, device)
        mark = torch.full((len(seeds), n), is_training, device=device)
        return replace(sample, latents=sample.latents | {TRAINING: mark})

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        latents = {name: latent for name, latent in sample.latents.items() if name != TRAINING}
        # All rows of a sample are of one split.
        stack = self._stacks[int(sample.latents[TRAINING].flatten()[0])]
        view = stack.view(replace(sample, latents=latents), policy, seeds)
        return replace(view, latents=view.latents | {TRAINING: sample.latents[TRAINING]})


def _unstressed(generator: Generator) -> Generator:
    return generator.base if isinstance(generator, Stressed) else generator
