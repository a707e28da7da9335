"""Default generator: independent symbols for each term, with exact information by design."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from jaxtyping import Float

from pidlab.decomposition import TERMS, Decomposition
from pidlab.defaults import ATOMS
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest, suggest_keywords
from pidlab.generators.atoms_stack import (
    MOST_CELLS,
    AtomsStack,
    Slot,
    cell_law,
    gap_of,
    shown_values,
    slot_count,
    slots_of,
    symbol_law,
)
from pidlab.generators.dials import noisy_label_entropy
from pidlab.generators.generator import (
    Generator,
    Sample,
    Target,
    ViewInformation,
    ingredient_specs,
    joint_prior,
)
from pidlab.generators.parameters import (
    check_choice,
    check_labels,
    check_nonnegative,
    check_policy,
    check_rendering,
)
from pidlab.info import binary_entropy, inverse_binary_entropy

Tuning = Literal["entropy", "erasure", "channel"]


@suggest_keywords
@dataclass(frozen=True)
class Atoms(Generator):
    """Data with any number of redundant, unique and synergistic bits, exact by design.

    Distribution: a term of b bits is floor(b) fair bits and, for the fraction f, one tuned bit:

    - `entropy`: Bernoulli(p) with h(p) = f, which Y contains exactly;
    - `erasure`: a fair bit, shown (as ±1) with probability f and otherwise erased (0);
    - `channel`: a fair bit that Y receives through a binary symmetric channel with 1 - h(flip) = f.

    A redundant symbol is in both modalities, a unique symbol in one. A synergistic symbol is the XOR of
    two bits, one in each modality and each independent of the XOR; erasure applies to the second bit. The
    target of a term is its symbols; Y is all targets together.

    Truth, by design: the symbols are independent, so the BROJA terms of the parts add up (Bertschinger et
    al. 2014). With `synergy_tuning="entropy"` the two bits of an XOR are correlated (I(X1;X2) = 1 - f); the
    information is still purely synergistic.

    Latents are symbols in {-1, 0, 1} plus normal noise truncated inside half their gap, so that every
    symbol is a function of the observation; private normal nuisance; and nuisance bits that both modalities
    share. A random bijection (`pidlab.generators.latent.Rendering`) maps them to ``width`` numbers.

    Views: `task`, `noise`, `unique`, `independent`, `generic` (see `view_information`).

    Args:
        redundant: Bits in both modalities.
        unique1: Bits in the first modality only.
        unique2: Bits in the second modality only.
        synergy: Bits that only both modalities together have.
        redundant_tuning: Tuning of the fraction of a redundant bit.
        unique_tuning: Tuning of the fraction of a unique bit.
        synergy_tuning: Tuning of the fraction of a synergistic bit.
        noise: Standard deviation of a symbol's noise before truncation, in units of half the gap between
            its values: 1 for a symbol in {-1, 1}, 0.5 for one that can be erased.
        nuisance: Number of private normal coordinates of each modality.
        shared_nuisance: Bits that both modalities share and that are independent of Y (entropy-tuned).
        missing: Information in bits about each fair bit of Y that a view lacks, 0 to 1. Views of the symbols
            (`task`, `noise`, `unique`) redraw each bit with probability 2 h^-1(missing).
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If a value is out of range, ``width`` is too small for the latents, or there are too
            many bits for a label.

    Example:
        >>> atoms = Atoms(redundant=1, unique1=0.5, unique2=0, synergy=1)
        >>> atoms.truth.total
        2.5
        >>> sample = atoms.sample(4, seed=0)
        >>> tuple(sample.x1.shape), sample.targets["redundant"]
        ((4, 32), tensor([0, 1, 1, 1]))
    """

    name: ClassVar[str] = "atoms"
    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "unique", "independent", "generic")
    independent_targets: ClassVar[bool] = True

    redundant: float = ATOMS["redundant"]
    unique1: float = ATOMS["unique1"]
    unique2: float = ATOMS["unique2"]
    synergy: float = ATOMS["synergy"]
    redundant_tuning: Tuning = "entropy"
    unique_tuning: Tuning = "entropy"
    synergy_tuning: Tuning = "erasure"
    noise: float = ATOMS["noise"]
    nuisance: int = int(ATOMS["nuisance"])
    shared_nuisance: float = ATOMS["shared_nuisance"]
    missing: float = 0.0
    depth: int = int(ATOMS["depth"])
    slope: float = ATOMS["slope"]
    width: int = int(ATOMS["width"])
    world: int = 0

    def __post_init__(self) -> None:
        check_nonnegative(self, *TERMS, "noise", "shared_nuisance", "missing")
        check_rendering(self)
        for name in ("redundant_tuning", "unique_tuning", "synergy_tuning"):
            check_choice(self, name, get_args(Tuning))
        if self.missing > 1.0:
            raise InvalidRequest(f"missing = {self.missing}: expected a number from 0 to 1")
        if self.missing:  # the other policies work on the observation, not on symbols
            object.__setattr__(self, "policies", ("task", "noise", "unique"))
        # Counted before the symbols are built, so that a request for a million bits is refused quickly.
        counts = {name: slot_count(name, getattr(self, name)) for name in (*TERMS, "shared_nuisance")}
        for m in (0, 1):
            self._check_width(m, counts)
        check_labels({term: counts[term] for term in TERMS})
        check_labels({"shared_nuisance": counts["shared_nuisance"]})

    def _check_width(self, m: int, counts: Mapping[str, int]) -> None:
        names = ("redundant", f"unique{m + 1}", "synergy", "shared_nuisance")
        needs = {name: counts[name] for name in names} | {"nuisance": self.nuisance}
        total = sum(needs.values())
        if total > self.width:
            parts = ", ".join(f"{name} {count}" for name, count in needs.items() if count)
            raise InvalidRequest(
                f"modality {m + 1} needs {total} dimensions ({parts}) but width is {self.width}: "
                f"ask for fewer bits or for a width of {total} or more"
            )

    @property
    def redraw_probability(self) -> float:
        """Probability that a view redraws a symbol of Y; a fair one then has 1 - `missing` bits about it."""
        return 2.0 * inverse_binary_entropy(self.missing)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """All symbols, term by term; a term of 0 bits has one constant symbol."""
        return tuple(slot for part in self._parts for slot in slots_of(*part))

    @property
    def _parts(self) -> tuple[tuple[str, float, str], ...]:
        return (
            ("redundant", self.redundant, self.redundant_tuning),
            ("unique1", self.unique1, self.unique_tuning),
            ("unique2", self.unique2, self.unique_tuning),
            ("synergy", self.synergy, self.synergy_tuning),
            ("shared", self.shared_nuisance, "entropy"),
        )

    def in_world(self, world: int) -> Self:
        # The parameters are already checked, and checking them again dominates the planning of large sweeps.
        other = object.__new__(type(self))
        vars(other).update(vars(self), world=world)
        return other

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def truth(self) -> Decomposition:
        return Decomposition(self.redundant, self.unique1, self.unique2, self.synergy)

    @property
    def target_specs(self) -> dict[str, Target]:
        specs = {}
        for term in TERMS:
            bits = float(getattr(self, term))
            slots = [slot for slot in self.slots if slot.term == term]
            information = {
                (0,): bits if term in ("redundant", "unique1") else 0.0,
                (1,): bits if term in ("redundant", "unique2") else 0.0,
                (0, 1): bits,
            }
            prior = joint_prior([(1.0 - s.label_probability, s.label_probability) for s in slots])
            entropy = math.fsum(binary_entropy(slot.label_probability) for slot in slots)
            specs[term] = Target(term, prior, entropy, information)
        return specs

    def noisy_label_entropy(self, name: str, label_noise: float) -> float:
        # All bits of a target but the tuned one are known from the observation, so that at most two classes
        # are possible.
        tuned = [slot for slot in self.slots if slot.term == name][-1]
        classes = self.target_specs[name].classes

        def left(weight: float) -> float:
            return noisy_label_entropy(weight, label_noise, classes)

        return tuned.keep * left(1.0 - tuned.flip) + (1.0 - tuned.keep) * left(1.0 - tuned.label_probability)

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        """Specifications of the XOR's two bits, a private nuisance bit per modality, the shared nuisance.

        ``nuisance:1`` and ``nuisance:2`` are the signs of the first private coordinate, fair bits.
        """
        specs = ingredient_specs("synergy", self.pair_laws["synergy"]) if self.pair_laws else {}
        if self.nuisance:
            for m, name in enumerate(("nuisance:1", "nuisance:2")):
                bits = {(0,): 1.0 - m, (1,): float(m), (0, 1): 1.0}
                specs[name] = Target(name, (0.5, 0.5), 1.0, bits)
        shared = [slot for slot in self.slots if slot.term == "shared"]
        if shared:
            prior = joint_prior([(1.0 - slot.p, slot.p) for slot in shared])
            bits = dict.fromkeys(((0,), (1,), (0, 1)), self.shared_nuisance)
            specs["nuisance:shared"] = Target("nuisance:shared", prior, self.shared_nuisance, bits)
        return specs

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return _laws([slot for slot in self.slots if slot.term == "synergy"], ("synergy",))

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return _laws([slot for slot in self.slots if slot.term != "shared"], TERMS)

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return symbol_law(self.slots)

    @property
    def shape_key(self) -> Any:
        # Computed without the symbols, whose probabilities would dominate the planning of large sweeps.
        shape = tuple(
            (t, gap_of(tuning)) for t, bits, tuning in self._parts for _ in range(slot_count(t, bits))
        )
        return (shape, self.noise, self.nuisance, self.depth, self.slope, self.width)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) of each term's symbols under a policy, exact in bits.

        `noise` keeps every symbol. `task` keeps the labels: it flips both bits of an XOR with probability
        1/2, so that only their XOR and the erasure pattern remain, and redraws a channel-tuned symbol from
        p(symbol | label), so that it passes the channel twice. `unique` is FactorCL's policy (X2' given X1):
        I(X1;X1') = I(X1;Y) redraws the first bit of an XOR, I(X2;X2'|X1) = I(X2;Y|X1) keeps the second, so
        that X' has a bit that is informative only together with X1, and no information about the XOR.
        `independent` and `generic` work on the observation; their information is not known exactly. Under
        every policy, symbols that are `missing` in a view are redrawn from their own law.
        """
        if policy not in ("task", "noise", "unique"):
            return super().view_information(policy)
        check_policy(self, policy)
        is_redrawn, is_unique = policy in ("task", "unique"), policy == "unique"
        information = {}
        for term in TERMS:
            between = target = 0.0
            for slot in (slot for slot in self.slots if slot.term == term):
                if term == "synergy" and is_unique:
                    # The second bit, which is fair, is kept instead of the XOR.
                    between += slot.keep * (1.0 - binary_entropy(slot.p))
                else:
                    target += slot.information(3 if is_redrawn else 1, self.redraw_probability)
                between += binary_entropy(slot.keep) + slot.information(
                    2 if is_redrawn else 0, self.redraw_probability
                )
                if term == "synergy" and not is_redrawn:
                    between += 1.0  # the first of the two bits, which the other policies redraw
            information[term] = ViewInformation(between, target)
        return information

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        return AtomsStack([self]).sample(n, [seed], split, device).member(0)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        check_policy(self, policy)
        return AtomsStack([self]).view(sample.as_stack(), policy, [seed]).member(0)

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> AtomsStack:
        return AtomsStack([g for g in generators if isinstance(g, Atoms)])


def _laws(slots: Sequence[Slot], terms: Sequence[str]) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
    """Compute the cell law of each term's target; empty if a law has too many cells."""
    labels = max(2 ** sum(slot.term == term for slot in slots) for term in terms)
    cells = math.prod(len(shown_values(slot, m)) for slot in slots for m in (0, 1))
    return {} if labels * cells > MOST_CELLS else {term: cell_law(slots, term) for term in terms}
