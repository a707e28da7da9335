"""Three modalities, with information planted in any set of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from pidlab.decomposition import Planted
from pidlab.defaults import ATOMS
from pidlab.errors import InvalidRequest
from pidlab.generators.base import (
    Sample,
    Target,
    ViewInformation,
    check_labels,
    check_nonnegative,
    check_policy,
    joint_prior,
)
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.info import binary_entropy, inverse_binary_entropy
from pidlab.seeds import child, torch_generator

MODALITIES = 3
SUBSETS = tuple(s for k in range(1, MODALITIES + 1) for s in combinations(range(MODALITIES), k))
# The modalities of every factor.
FACTORS = {
    "redundant": (0, 1, 2),
    "redundant12": (0, 1),
    "redundant13": (0, 2),
    "redundant23": (1, 2),
    "unique1": (0,),
    "unique2": (1,),
    "unique3": (2,),
    "synergy": (0, 1, 2),
    "synergy12": (0, 1),
    "synergy13": (0, 2),
    "synergy23": (1, 2),
}


@dataclass(frozen=True)
class Factor:
    """The symbols of one factor.

    Args:
        name: one of `FACTORS`.
        bits: how many it holds.
    """

    name: str
    bits: float

    @property
    def modalities(self) -> tuple[int, ...]:
        """Who holds it, each or together."""
        return FACTORS[self.name]

    @property
    def together(self) -> bool:
        """Whether only all of its modalities together hold it."""
        return self.name.startswith("synergy")

    @property
    def fractions(self) -> list[float]:
        """Bits of every symbol: 1, and what is left over; a factor of no bits keeps a constant symbol."""
        return [min(self.bits - i, 1.0) for i in range(max(math.ceil(self.bits), 1))]

    @property
    def probabilities(self) -> list[float]:
        """P(symbol = 1)."""
        return [0.5 if self.together else inverse_binary_entropy(f) for f in self.fractions]

    @property
    def target(self) -> Target:
        """The symbols as one label. A set of modalities holds it or holds nothing of it."""
        members = set(self.modalities)
        held = {s: members <= set(s) if self.together else bool(members & set(s)) for s in SUBSETS}
        prior = joint_prior([(1.0 - p, p) for p in self.probabilities])
        entropy = math.fsum(binary_entropy(p) for p in self.probabilities)
        return Target(self.name, prior, entropy, {s: self.bits * there for s, there in held.items()})


@dataclass(frozen=True)
class Three(Rendered):
    """Three modalities and independent factors: each redundant, unique or synergistic in a set of them.

    A factor of b bits is floor(b) fair bits and one bit for the fraction f. A redundant or unique symbol
    is in each of its modalities, Bernoulli(p) with h(p) = f. A synergistic one is the XOR of fair bits,
    one in each of its modalities, of which the last is shown with probability f, else erased: fewer
    modalities hold nothing of it, and no modality tells anything of another. The target of a factor is
    its symbols; Y is all of them together. The truth is the design (`pidlab.decomposition.Planted`): for a
    factor in the set A, I(X_B;T) = b where B meets A (redundant, unique) or contains A (synergy), else 0,
    and the factors' bits add up to I(X_B;Y), as they are independent.

    Latents are symbols in {-1, 0, 1} plus normal noise truncated inside half their gap, and normal
    nuisance. Views: `task` keeps symbols and what is erased, and draws the parts of an XOR afresh;
    `noise` keeps the parts too; `generic` works on the observation.

    Args:
        redundant: bits that every modality has; None, here as below, plants no such factor.
        redundant12: bits that the first and the second have; and so on.
        redundant13: likewise.
        redundant23: likewise.
        unique1: bits that only the first has; and so on.
        unique2: likewise.
        unique3: likewise.
        synergy: bits that only all three together have.
        synergy12: bits that only the first and the second together have; and so on.
        synergy13: likewise.
        synergy23: likewise.
        noise: standard deviation of a symbol's noise before truncation, in units of half its gap.

    Raises:
        InvalidRequest: a value out of range, nothing planted, or more symbols than `width` can carry.
    """

    name: ClassVar[str] = "three"

    redundant: float | None = 1.0
    redundant12: float | None = None
    redundant13: float | None = None
    redundant23: float | None = None
    unique1: float | None = 1.0
    unique2: float | None = 1.0
    unique3: float | None = 1.0
    synergy: float | None = 1.0
    synergy12: float | None = None
    synergy13: float | None = None
    synergy23: float | None = None
    noise: float = ATOMS["noise"]

    def __post_init__(self) -> None:
        planted = [name for name in FACTORS if getattr(self, name) is not None]
        if not planted:
            raise InvalidRequest("nothing is planted: give one or more factors bits")
        check_nonnegative(self, *planted, "noise")
        super().__post_init__()
        check_labels({factor.name: len(factor.fractions) for factor in self.factors})

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """What is planted."""
        bits = {name: getattr(self, name) for name in FACTORS}
        return tuple(Factor(name, value) for name, value in bits.items() if value is not None)

    @property
    def coordinates(self) -> tuple[int, ...]:
        return tuple(
            sum(max(math.ceil(f.bits), 1) for f in self.factors if m in f.modalities)
            for m in range(MODALITIES)
        )

    @property
    def shape_key(self) -> Any:
        return (tuple((f.name, len(f.fractions)) for f in self.factors), *super().shape_key)

    @property
    def truth(self) -> Planted:
        return Planted({factor.name: factor.bits for factor in self.factors})

    @property
    def targets(self) -> dict[str, Target]:
        """One target per factor: its symbols."""
        return {factor.name: factor.target for factor in self.factors}

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';T) of each factor's symbols under a policy, exact in bits.

        Of an XOR `task` keeps its value, where it is shown, and what is erased; `noise` also the fair bits
        of all its modalities but the last. `generic` works on the observation: not known exactly.
        """
        check_policy(self, policy)
        if policy == "generic":
            return {name: ViewInformation(None, None) for name in self.targets}
        stated = {}
        for factor in self.factors:
            between = factor.bits
            if factor.together:
                parts = len(factor.modalities) - 1 if policy == "noise" else 0
                between += math.fsum(binary_entropy(f) + parts for f in factor.fractions)
            stated[factor.name] = ViewInformation(between, factor.bits)
        return stated

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        latents = {}
        for factor in self.factors:
            uniform = self._uniform(factor, (2,), n, child(seed, "symbols"), device)
            probabilities, fractions = (
                torch.tensor(values, device=device)[:, None]
                for values in (factor.probabilities, factor.fractions)
            )
            latents[factor.name] = (uniform[0] < probabilities).long()
            if factor.together:
                latents[f"{factor.name}:shown"] = (uniform[1] < fractions).long()
        return latents | self._parts(n, seed, device)

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            factor.name: sum(
                (bit << i for i, bit in enumerate(latents[factor.name])),
                torch.zeros_like(latents[factor.name][0]),
            )
            for factor in self.factors
        }

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """The parts of every XOR afresh."""
        y = sample.y
        return sample.latents | self._parts(len(y), seed, y.device)

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {
            factor.name: tuple(_shown(factor, m, latents) for m in factor.modalities)
            for factor in self.factors
        }

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        mine = [factor for factor in self.factors if m in factor.modalities]
        some = next(iter(latents.values()))
        coordinates = [torch.zeros((0, some.shape[-1]), device=some.device)]
        for factor in mine:
            clean = _shown(factor, m, latents)
            uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
            # Something that can be erased stands between two symbols.
            half_gap = 0.5 if factor.together and m == factor.modalities[-1] else 1.0
            coordinates.append(clean + truncated_normal(uniform, self.noise, half_gap))
        return torch.cat(coordinates)

    def _parts(self, n: int, seed: int, device: torch.device | str) -> dict[str, Tensor]:
        """The fair bits of every XOR, for all of its modalities but the last."""
        return {
            f"{factor.name}:{m}": bits
            for factor in self.factors
            if factor.together
            for m, bits in self._drawn_parts(factor, n, seed, device)
        }

    def _drawn_parts(
        self, factor: Factor, n: int, seed: int, device: torch.device | str
    ) -> Iterator[tuple[int, Tensor]]:
        others = factor.modalities[:-1]
        uniform = self._uniform(factor, (len(others),), n, child(seed, "parts"), device)
        return zip(others, (uniform < 0.5).long(), strict=True)

    @staticmethod
    def _uniform(
        factor: Factor, shape: tuple[int, ...], n: int, seed: int, device: torch.device | str
    ) -> Tensor:
        generator = torch_generator(child(seed, factor.name), device)
        size = (*shape, len(factor.fractions), n)
        return torch.rand(size, generator=generator, device=device)


def _shown(factor: Factor, m: int, latents: dict[str, Tensor]) -> Tensor:
    """What modality m shows of a factor, without noise: -1 or 1, or 0 where it is erased."""
    bit = latents[factor.name]
    if factor.together and m != factor.modalities[-1]:
        bit = latents[f"{factor.name}:{m}"]
    elif factor.together:
        for other in factor.modalities[:-1]:
            bit = bit ^ latents[f"{factor.name}:{other}"]
        return (2.0 * bit - 1.0) * latents[f"{factor.name}:shown"]
    return 2.0 * bit - 1.0
