"""Three modalities with the atoms of PID_SSL: symbols of 7 values that Latin squares combine."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from pidlab.decomposition import Planted
from pidlab.errors import InvalidRequest, nearest
from pidlab.generators.generator import Sample, Target
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.generators.parameters import MOST_JOINT_SYMBOLS, check_nonnegative, check_whole
from pidlab.generators.three import FACTORS, MODALITIES, SUBSETS
from pidlab.seeds import child, torch_generator

# A pair and a third modality that each determine the target.
PAIR_REDUNDANT = {"redundant12_3": (0, 1, 2), "redundant13_2": (0, 2, 1), "redundant23_1": (1, 2, 0)}
# Modalities of every atom; of a pair-redundant atom, the third modality is last.
ATOMS = FACTORS | PAIR_REDUNDANT
MOST_VALUES = 64


@dataclass(frozen=True)
class PIDSSL(Rendered):
    """Three modalities with independent atoms of log2(values) bits each, as in PID_SSL.

    Distribution: a symbol has `values` = q values, 7 in the paper. A redundant or unique atom is one uniform
    symbol in each of its modalities. A synergistic atom has independent uniform symbols, one in each of its
    modalities, and its target T is their sum modulo q after a random permutation of each symbol and of the
    sum (a Latin square or cube). In a pair-redundant atom such as `redundant12_3`, T = L(a, b) with a Latin
    square L, the first modality shows a, the second b, and the third T. Views: `task`, `noise`, `generic`.

    Truth, by design: I(X_B;T) is log2(q) or 0 for every set B of modalities. A redundant or unique target is
    known to each of its modalities and a synergistic target only to all of them together. A pair-redundant
    target is known to its third modality and to its pair, and no modality of the pair knows anything about
    it. These informations need no lattice. Names follow the lattice of Williams and Beer: `redundant12_3` is
    its node {12}{3}. X3 and (X1,X2) each determine T, so as two sources they have R = H(T) by BROJA.

    A symbol z is one coordinate 2 z / (q - 1) - 1 with truncated normal noise, as in the paper; noise and
    nuisance are mapped with it by the random bijection.

    Differences from the released code (kkontras/PID_SSL, data/dataset_v3.py), all deliberate: there a symbol
    is repeated in 4 coordinates without a rendering. There the target of all three modalities applies one
    random permutation per third symbol, with which X1 and X2 know part of it (0.93 of 2.81 bits at the
    default seed); here every pair knows nothing.

    Args:
        atoms: Names of the atoms, separated by spaces: `unique1` to `unique3`; `redundant`, `redundant12`,
            `redundant13`, `redundant23`; `synergy`, `synergy12`, `synergy13`, `synergy23`; `redundant12_3`,
            `redundant13_2`, `redundant23_1`. The default is that of the released code.
        values: Number q of values of a symbol.
        noise: Standard deviation of a coordinate's noise before truncation, in units of half the gap
            between two values; 0.12 in the paper.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering and of the permutations.

    Raises:
        InvalidRequest: If an atom is unknown or given twice, there is none, or a value is out of range.

    Example:
        >>> information = PIDSSL("redundant12_3").target_specs["redundant12_3"].information
        >>> [round(information[held], 2) for held in ((0,), (1,), (2,), (0, 1))]
        [0.0, 0.0, 2.81, 2.81]
    """

    name: ClassVar[str] = "pid_ssl"

    atoms: str = "unique1 unique2 unique3 redundant12 synergy12"
    values: int = 7
    noise: float = 0.12

    def __post_init__(self) -> None:
        check_whole(self, values=2)
        if self.values > MOST_VALUES:
            raise InvalidRequest(f"values = {self.values}: expected {MOST_VALUES} or fewer")
        check_nonnegative(self, "noise")
        names = self.names
        if not names:
            raise InvalidRequest(f"atoms = {self.atoms!r}: expected one or more of {', '.join(ATOMS)}")
        for name in names:
            if name not in ATOMS:
                raise InvalidRequest(f"atoms = {self.atoms!r}: {name!r} is no atom; {nearest(name, ATOMS)}")
            if names.count(name) > 1:
                raise InvalidRequest(f"atoms = {self.atoms!r}: {name} is given twice; name it once")
        if len(names) * math.log2(self.values) > MOST_JOINT_SYMBOLS:
            raise InvalidRequest(
                f"values = {self.values}: Y of {len(names)} atoms has more than 2^{MOST_JOINT_SYMBOLS} "
                "classes; ask for fewer atoms or values"
            )
        super().__post_init__()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the atoms."""
        return tuple(str(self.atoms).split())

    @property
    def coordinates(self) -> tuple[int, ...]:
        return tuple(sum(m in ATOMS[name] for name in self.names) for m in range(MODALITIES))

    @property
    def shape_key(self) -> Any:
        return (self.names, self.values, *super().shape_key)

    @property
    def truth(self) -> Planted:
        return Planted(dict.fromkeys(self.names, math.log2(self.values)))

    @property
    def target_specs(self) -> dict[str, Target]:
        bits, prior = math.log2(self.values), (1.0 / self.values,) * self.values
        return {
            name: Target(name, prior, bits, {held: bits * _determine(held, name) for held in SUBSETS})
            for name in self.names
        }

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        targets = {name: self._uniform(name, "targets", (n,), seed, device) for name in self.names}
        return targets | self._draw_parts(targets, seed)

    def _draw_parts(self, targets: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Draw the symbols that each atom shows in its modalities, given its target."""
        parts = {}
        for name, target in targets.items():
            size = (len(ATOMS[name]), len(target))
            if not (_is_synergistic(name) or name in PAIR_REDUNDANT):
                parts[f"{name}:parts"] = target.expand(size)
                continue
            shown = self._uniform(name, "parts", size, seed, target.device)
            combined = shown[:2] if name in PAIR_REDUNDANT else shown
            *permutations, of_sum = self._permutations[name].to(target.device)
            # The last symbol is the one for which the permuted sum of all of them is the target.
            left = of_sum.argsort()[target]
            for symbol, permutation in zip(combined[:-1], permutations, strict=False):
                left = left - permutation[symbol]
            combined[-1] = permutations[len(combined) - 1].argsort()[left % self.values]
            if name in PAIR_REDUNDANT:
                shown[2] = target
            parts[f"{name}:parts"] = shown
        return parts

    @cached_property
    def _permutations(self) -> dict[str, Tensor]:
        """A permutation of the symbol of each modality of an atom, then one of their sum."""
        return {
            name: torch.stack([
                torch.randperm(
                    self.values, generator=torch_generator(child(self.world, "latin", name, i)), device="cpu"
                )
                for i in range(len(ATOMS[name]) + 1)
            ])
            for name in self.names
        }  # fmt: skip

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: latents[name] for name in self.names}

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Redraw the symbols that Latin squares combine, given their targets."""
        return sample.targets | self._draw_parts(sample.targets, seed)

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {
            name: tuple(2.0 * part[None] / (self.values - 1) - 1.0 for part in latents[f"{name}:parts"])
            for name in self.names
        }

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        target = latents[self.names[0]]
        shown = [torch.zeros((0, len(target)), device=target.device)]  # a modality may have no atom
        for name, symbols in self.symbols(latents).items():
            if m in ATOMS[name]:
                shown.append(symbols[ATOMS[name].index(m)])
        clean = torch.cat(shown)
        uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
        return clean + truncated_normal(uniform, self.noise, 1.0 / (self.values - 1))

    def _uniform(
        self, name: str, what: str, size: tuple[int, ...], seed: int, device: torch.device | str
    ) -> Tensor:
        # One stream per atom, so that the other atoms do not change its draws.
        generator = torch_generator(child(seed, what, name), device)
        return torch.randint(self.values, size, generator=generator, device=device)


def _is_synergistic(name: str) -> bool:
    return name.startswith("synergy")


def _determine(held: tuple[int, ...], name: str) -> bool:
    """Return whether a set of modalities determines the target of an atom; otherwise it is independent."""
    *pair, third = members = ATOMS[name]
    if name in PAIR_REDUNDANT:
        return third in held or set(pair) <= set(held)
    return set(members) <= set(held) if _is_synergistic(name) else bool(set(members) & set(held))
