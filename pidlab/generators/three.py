"""Three modalities with information planted in any set of them."""

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
from pidlab.generators.generator import Sample, Target, ViewInformation, joint_prior
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.generators.parameters import check_labels, check_nonnegative
from pidlab.info import binary_entropy, inverse_binary_entropy
from pidlab.seeds import child, torch_generator

MODALITIES = 3
SUBSETS = tuple(s for k in range(1, MODALITIES + 1) for s in combinations(range(MODALITIES), k))
# Modalities of every factor.
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
    """Symbols of one factor.

    Args:
        name: One of `FACTORS`.
        bits: Bits of information that the factor has.
    """

    name: str
    bits: float

    @property
    def modalities(self) -> tuple[int, ...]:
        """Indices of the modalities that have the factor."""
        return FACTORS[self.name]

    @property
    def is_synergistic(self) -> bool:
        """True if only all of its modalities together determine the factor."""
        return self.name.startswith("synergy")

    @property
    def fractions(self) -> list[float]:
        """Bits of every symbol: 1, then the remainder; a factor of 0 bits has one constant symbol."""
        return [min(self.bits - i, 1.0) for i in range(max(math.ceil(self.bits), 1))]

    @property
    def probabilities(self) -> list[float]:
        """Probability that a symbol is 1."""
        return [0.5 if self.is_synergistic else inverse_binary_entropy(f) for f in self.fractions]

    @property
    def target(self) -> Target:
        """Specification of the symbols as one label; a set of modalities has all of it or nothing."""
        members = set(self.modalities)
        is_known = {s: members <= set(s) if self.is_synergistic else bool(members & set(s)) for s in SUBSETS}
        prior = joint_prior([(1.0 - p, p) for p in self.probabilities])
        entropy = math.fsum(binary_entropy(p) for p in self.probabilities)
        return Target(self.name, prior, entropy, {s: self.bits * known for s, known in is_known.items()})


@dataclass(frozen=True)
class Three(Rendered):
    """Three modalities with independent factors, each redundant, unique or synergistic in a set of them.

    Distribution: a factor of b bits is floor(b) fair bits and one bit for the fraction f. A redundant or
    unique symbol is in each of its modalities and is Bernoulli(p) with h(p) = f. A synergistic symbol is
    the XOR of fair bits, one in each of its modalities; the last of these is shown with probability f and
    otherwise erased. Fewer modalities have no information about a synergistic symbol, and no modality has
    information about another. The target of a factor is its symbols; Y is all targets together.

    Truth, by design (`pidlab.decomposition.Planted`): for a factor in the set A, I(X_B;T) = b if B
    intersects A (redundant, unique) or contains A (synergy), else 0. The factors are independent, so their
    bits add up to I(X_B;Y).

    Latents are symbols in {-1, 0, 1} plus normal noise truncated inside half their gap, and normal nuisance.
    Views: `task` keeps symbols and erasures and redraws the ingredients of every XOR; `noise` keeps the
    ingredients too; `generic` corrupts the observation.

    Args:
        redundant: Bits that every modality has; None, here and below, plants no such factor.
        redundant12: Bits that the first and the second modality have.
        redundant13: Bits that the first and the third modality have.
        redundant23: Bits that the second and the third modality have.
        unique1: Bits that only the first modality has.
        unique2: Bits that only the second modality has.
        unique3: Bits that only the third modality has.
        synergy: Bits that only all three modalities together have.
        synergy12: Bits that only the first and the second modality together have.
        synergy13: Bits that only the first and the third modality together have.
        synergy23: Bits that only the second and the third modality together have.
        noise: Standard deviation of a symbol's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If a value is out of range, nothing is planted, or ``width`` is too small.

    Example:
        >>> three = Three(redundant12=1, synergy13=0.5)
        >>> three.target_specs["synergy13"].information[0, 2]
        0.5
        >>> three.target_specs["synergy13"].information[0, 1]
        0.0
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
        """Planted factors."""
        bits = {name: getattr(self, name) for name in FACTORS}
        return tuple(Factor(name, value) for name, value in bits.items() if value is not None)

    @property
    def coordinates(self) -> tuple[int, ...]:
        # Counted without listing the symbols, so that a request for 10^9 bits is refused quickly.
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
    def target_specs(self) -> dict[str, Target]:
        return {factor.name: factor.target for factor in self.factors}

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) of each factor's symbols under a policy, exact in bits.

        Of an XOR, `task` keeps the erasure pattern and the value where it is shown. `noise` also keeps the
        fair bits of all its modalities but the last.
        """
        if policy not in ("task", "noise"):
            return super().view_information(policy)
        information = {}
        for factor in self.factors:
            between = factor.bits
            if factor.is_synergistic:
                bits = len(factor.modalities) - 1 if policy == "noise" else 0
                between += math.fsum(binary_entropy(f) + bits for f in factor.fractions)
            information[factor.name] = ViewInformation(between, factor.bits)
        return information

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
            if factor.is_synergistic:
                latents[f"{factor.name}:shown"] = (uniform[1] < fractions).long()
        return latents | self._draw_ingredients(n, seed, device)

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            factor.name: sum(
                (bit << i for i, bit in enumerate(latents[factor.name])),
                torch.zeros_like(latents[factor.name][0]),
            )
            for factor in self.factors
        }

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Redraw the ingredients of every XOR."""
        y = sample.y
        return sample.latents | self._draw_ingredients(len(y), seed, y.device)

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {
            factor.name: tuple(_shown_symbols(factor, m, latents) for m in factor.modalities)
            for factor in self.factors
        }

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        latent = next(iter(latents.values()))
        coordinates = [torch.zeros((0, latent.shape[-1]), device=latent.device)]
        for factor in (factor for factor in self.factors if m in factor.modalities):
            clean = _shown_symbols(factor, m, latents)
            uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
            # An erased symbol is 0, half-way between the two others.
            half_gap = 0.5 if factor.is_synergistic and m == factor.modalities[-1] else 1.0
            coordinates.append(clean + truncated_normal(uniform, self.noise, half_gap))
        return torch.cat(coordinates)

    def _draw_ingredients(self, n: int, seed: int, device: torch.device | str) -> dict[str, Tensor]:
        """Draw the fair bits of every XOR for all of its modalities but the last."""
        return {
            f"{factor.name}:{m}": bits
            for factor in self.factors
            if factor.is_synergistic
            for m, bits in self._draw_bits(factor, n, seed, device)
        }

    def _draw_bits(
        self, factor: Factor, n: int, seed: int, device: torch.device | str
    ) -> Iterator[tuple[int, Tensor]]:
        modalities = factor.modalities[:-1]
        uniform = self._uniform(factor, (len(modalities),), n, child(seed, "parts"), device)
        return zip(modalities, (uniform < 0.5).long(), strict=True)

    @staticmethod
    def _uniform(
        factor: Factor, shape: tuple[int, ...], n: int, seed: int, device: torch.device | str
    ) -> Tensor:
        # One stream per factor, so that the other factors do not change its draws.
        generator = torch_generator(child(seed, factor.name), device)
        size = (*shape, len(factor.fractions), n)
        return torch.rand(size, generator=generator, device=device)


def _shown_symbols(factor: Factor, m: int, latents: dict[str, Tensor]) -> Tensor:
    """Return a factor's noiseless symbols in modality `m`: -1 or 1, or 0 if erased."""
    bit = latents[factor.name]
    *others, last = factor.modalities
    if factor.is_synergistic and m == last:
        for other in others:
            bit = bit ^ latents[f"{factor.name}:{other}"]
        return (2.0 * bit - 1.0) * latents[f"{factor.name}:shown"]
    if factor.is_synergistic:
        bit = latents[f"{factor.name}:{m}"]
    return 2.0 * bit - 1.0
