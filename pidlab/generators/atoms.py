"""The default generator: independent symbols, one set per term, exact in bits by design."""

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
from pidlab.errors import InvalidRequest
from pidlab.generators.atoms_stack import (
    MOST_CELLS,
    AtomsStack,
    Slot,
    cell_law,
    gap_of,
    slot_count,
    slots_of,
    symbol_law,
    values_shown,
)
from pidlab.generators.base import (
    Generator,
    Sample,
    Target,
    ViewInformation,
    check_labels,
    check_nonnegative,
    check_policy,
    check_rendering,
    ingredients_of,
    joint_prior,
)
from pidlab.info import binary_entropy, inverse_binary_entropy

Tuning = Literal["entropy", "erasure", "channel"]


@dataclass(frozen=True)
class Atoms(Generator):
    """Data with any number of redundant, unique and synergistic bits, exact by design.

    A term of b bits is floor(b) fair bits and, for the rest, one bit tuned to the fraction f:

    - `entropy`: Bernoulli(p) with h(p) = f, which Y holds exactly;
    - `erasure`: a fair bit, shown (as ±1) with probability f, else as 0;
    - `channel`: a fair bit that Y sees through a binary symmetric channel, 1 - h(flip) = f.

    A redundant symbol is in both modalities, a unique one in its own. A synergy symbol is the XOR of
    two bits, one in each modality, each on its own independent of it; erasure hides the second. The
    target of a term is its symbols; Y is all of them together. Symbols are independent, so the BROJA
    terms of the parts add up (Bertschinger et al. 2014): the truth is the design. With
    `synergy_tuning="entropy"` the two bits are correlated (I(X1;X2) = 1 - f), still pure synergy.

    Latents are symbols in {-1, 0, 1} plus normal noise truncated inside half their gap, so that every
    symbol is a function of the observation; private normal nuisance; nuisance bits that both
    modalities share. A random bijection (`pidlab.generators.latent`) carries them to `width`.

    Args:
        redundant: bits in both modalities.
        unique1: bits in the first modality only.
        unique2: bits in the second only.
        synergy: bits in neither alone.
        redundant_tuning: how a fraction of a redundant bit is made.
        unique_tuning: how a fraction of a unique bit is made.
        synergy_tuning: how a fraction of a synergistic bit is made.
        noise: standard deviation of a symbol's noise before truncation, in units of half the gap
            between its values: 1 for a symbol in {-1, 1}, 1/2 for one that can be erased.
        nuisance: private normal coordinates in each modality.
        shared_nuisance: bits that both modalities share and Y does not hold (entropy-tuned).
        missing: the part of a fair bit of Y that a view lacks: views of the symbols (`task`, `noise`,
            `unique`) draw each of Y's anew with probability 2 h^-1(missing). 0 to 1.
        depth: leaky ReLU layers of the rendering.
        slope: their slope on negative numbers.
        width: numbers in an observation.
        world: which random rendering.

    Raises:
        InvalidRequest: a value out of range, more latents than `width` can carry, more bits than labels can.
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
        check_nonnegative(self, *TERMS, "shared_nuisance", "missing")
        check_rendering(self)
        for name in ("redundant_tuning", "unique_tuning", "synergy_tuning"):
            if getattr(self, name) not in get_args(Tuning):
                raise InvalidRequest(
                    f"{name} = {getattr(self, name)!r}: expected one of {', '.join(get_args(Tuning))}"
                )
        if self.missing > 1.0:
            raise InvalidRequest(f"missing = {self.missing}: expected the part of a bit, 0 to 1")
        if self.missing:  # the others know nothing of symbols
            object.__setattr__(self, "policies", ("task", "noise", "unique"))
        # Counted before the symbols are made: a million bits must be refused, not built.
        counts = {name: slot_count(name, getattr(self, name)) for name in (*TERMS, "shared_nuisance")}
        for m in (0, 1):
            self._check_width(m, counts)
        check_labels({term: counts[term] for term in TERMS})
        check_labels({"shared_nuisance": counts["shared_nuisance"]})

    def _check_width(self, m: int, counts: Mapping[str, int]) -> None:
        held = ("redundant", f"unique{m + 1}", "synergy", "shared_nuisance")
        needs = {name: counts[name] for name in held} | {"nuisance": self.nuisance}
        total = sum(needs.values())
        if total > self.width:
            parts = ", ".join(f"{name} {count}" for name, count in needs.items() if count)
            raise InvalidRequest(
                f"modality {m + 1} needs {total} dimensions ({parts}) but width is {self.width}: "
                f"ask for fewer bits or for a width of {total} or more"
            )

    @property
    def redraws(self) -> float:
        """How likely a view draws a symbol of Y anew: a fair one then shares 1 - `missing` bits with it."""
        return 2.0 * inverse_binary_entropy(self.missing)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Every symbol, term by term; a term of no bits keeps one constant symbol."""
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
    def targets(self) -> dict[str, Target]:
        """One target per term: the term's symbols as Y sees them."""
        targets = {}
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
            targets[term] = Target(term, prior, entropy, information)
        return targets

    @property
    def auxiliary_targets(self) -> dict[str, Target]:
        """The two parts of the XOR, a private nuisance bit of each modality, the shared nuisance.

        `nuisance:1` is the sign of the first private coordinate, a fair bit, and likewise `nuisance:2`.
        """
        found = ingredients_of("synergy", self.pair_laws["synergy"]) if self.pair_laws else {}
        if self.nuisance:
            for m, name in enumerate(("nuisance:1", "nuisance:2")):
                bits = {(0,): 1.0 - m, (1,): float(m), (0, 1): 1.0}
                found[name] = Target(name, (0.5, 0.5), 1.0, bits)
        shared = [slot for slot in self.slots if slot.term == "shared"]
        if shared:
            prior = joint_prior([(1.0 - slot.p, slot.p) for slot in shared])
            bits = dict.fromkeys(((0,), (1,), (0, 1)), self.shared_nuisance)
            found["nuisance:shared"] = Target("nuisance:shared", prior, self.shared_nuisance, bits)
        return found

    @property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return self._pair_laws

    @property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return self._cell_laws

    @cached_property
    def _pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return _laws([slot for slot in self.slots if slot.term == "synergy"], ("synergy",))

    @cached_property
    def _cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return _laws([slot for slot in self.slots if slot.term != "shared"], TERMS)

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return symbol_law(self.slots)

    @property
    def shape_key(self) -> Any:
        # Told without the symbols, whose probabilities take longer than all else of planning a big sweep.
        shape = tuple(
            (t, gap_of(tuning)) for t, bits, tuning in self._parts for _ in range(slot_count(t, bits))
        )
        return (shape, self.noise, self.nuisance, self.depth, self.slope, self.width)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';Y) of each term's symbols under a policy, exact in bits.

        Symbols that are `missing` in a view are drawn from their own law, whatever the policy keeps.

        `noise` keeps every symbol. `task` flips both bits of an XOR with probability 1/2, so only
        their XOR and the erasure pattern stay; a channel-tuned symbol is drawn afresh from p(y|x), so
        it passes the channel twice. `unique` is FactorCL's (X2' given X1): I(X1;X1') = I(X1;Y) redraws
        the first bit of an XOR, I(X2;X2'|X1) = I(X2;Y|X1) keeps the second, so X' holds a bit that only X1
        makes sense of, and nothing of their XOR. `independent` and `generic` work on the observation: not
        known exactly.
        """
        check_policy(self, policy)
        if policy in ("independent", "generic"):
            return {term: ViewInformation(None, None) for term in self.targets}
        redrawn, unique = policy in ("task", "unique"), policy == "unique"
        stated = {}
        for term in self.targets:
            between = target = 0.0
            for slot in (slot for slot in self.slots if slot.term == term):
                if term == "synergy" and unique:
                    # The second bit, which is fair, is kept in place of the XOR.
                    between += slot.keep * (1.0 - binary_entropy(slot.p))
                else:
                    target += slot.information(3 if redrawn else 1, self.redraws)
                between += binary_entropy(slot.keep) + slot.information(2 if redrawn else 0, self.redraws)
                if term == "synergy" and not redrawn:
                    between += 1.0  # the first of the two bits, which the others redraw
            stated[term] = ViewInformation(between, target)
        return stated

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draws `n` samples; both splits follow the same law.

        Raises:
            InvalidRequest: fewer than one sample, or an unknown split.
        """
        return AtomsStack([self]).sample(n, [seed], split, device).member(0)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a view of every row under one of `policies`.

        Raises:
            InvalidRequest: an unknown policy.
        """
        check_policy(self, policy)
        return AtomsStack([self]).view(sample.alone(), policy, [seed]).member(0)

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> AtomsStack:
        return AtomsStack([g for g in generators if isinstance(g, Atoms)])


def _laws(slots: Sequence[Slot], terms: Sequence[str]) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
    """Laws of all that the modalities show of `slots` with each term's target; none where too large."""
    labels = max(2 ** sum(slot.term == term for slot in slots) for term in terms)
    cells = math.prod(len(values_shown(slot, m)) for slot in slots for m in (0, 1))
    return {} if labels * cells > MOST_CELLS else {term: cell_law(slots, term) for term in terms}
