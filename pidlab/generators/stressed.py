"""Any generator under stress dials, with its truth restated exactly."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float

from pidlab.decomposition import TERMS, Decomposition, Planted
from pidlab.encoders import Modality
from pidlab.errors import InvalidRequest
from pidlab.generators.atoms_stack import MOST_CELLS
from pidlab.generators.dials import Dials
from pidlab.generators.generator import (
    Generator,
    Sample,
    Target,
    ViewInformation,
    ingredient_specs,
    target_from_law,
)
from pidlab.generators.parameters import check_policy
from pidlab.generators.stressed_stack import StressedStack
from pidlab.info import decompose, entropy

# Largest difference in bits between a generator's pmf and its stated information.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Stressed(Generator):
    """A generator whose labels, pairs of modalities or class probabilities are disturbed.

    A row is drawn as follows: the base generator draws it, again until the class probabilities are those of
    `rare_class`; a share of rows gets the second modality of an independent row; a share of modalities is
    replaced by zeros; labels become another class with a symmetric channel per target and are divided into
    subclasses. Views are those of the base generator on the rows before this: they keep the clean label, and
    each modality keeps its own row.

    Truth. Subclasses are independent of everything else, so that no information changes. The other dials act
    on symbols that are functions of the observations. They turn the exact pmf p(x1, x2, y) of the symbols
    into another exact pmf (`Dials.apply`), and the information is that of the new pmf:

    - One target and a finite pmf: the certified solver decomposes the new pmf.
    - Broken pairs or missing modalities with several targets: whether a pair is broken is common to all
      targets, so their terms do not add up. The solver decomposes the pmf of all symbols and targets.
    - Label noise or a rare class otherwise: if a set of modalities had all the information about T that there
      is, it now has H(T') - H(T'|X1,X2), in closed form; if it had none, it has none. A target for which this
      holds for every set keeps its single term. Terms of independent targets add up.

    Everything else is refused, because the truth is not known.

    Args:
        base: The generator.
        dials: The dials.
        needs_truth: Whether to refuse a distribution whose truth is unknown, as that of training data may be.

    Raises:
        InvalidRequest: If the truth under these dials is not known exactly.

    Example:
        >>> from pidlab.generators.gate import Gate
        >>> round(Stressed(Gate("xor"), Dials(label_noise=0.1)).truth.synergy, 3)
        0.531
    """

    base: Generator
    dials: Dials
    needs_truth: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        for name in ("name", "policies", "independent_targets"):
            object.__setattr__(self, name, getattr(self.base, name))
        if self.dials.broken_pairs:  # whether a pair is broken shows in all targets
            object.__setattr__(self, "independent_targets", False)
        self._check()

    def _check(self) -> None:
        """Refuse what cannot be drawn or whose truth is not known."""
        dials, specs = self.dials, self.base.target_specs
        if dials.changes_modalities and len(self.base.modalities) != 2:
            raise self._refusal("broken pairs and missing modalities need two modalities")
        if dials.rare_class is not None:
            if self.base.rows("train") is not None:
                raise self._refusal("rare_class needs a distribution, not finitely many rows")
            if len(specs) > 1:
                raise self._refusal(
                    f"rare_class needs one target and not {', '.join(specs)}; in atoms, a term of h(p) bits "
                    "with entropy tuning has a class of probability p (p = 0.01: 0.0808 bits)"
                )
            if np.count_nonzero(next(iter(specs.values())).prior) < 2:
                raise self._refusal("rare_class needs two classes")
        if not self._is_known or not self.dials.changes_truth:
            return
        if dials.broken_pairs and "nuisance:shared" in self.base.auxiliary_specs:
            raise self._refusal("shared nuisance would reveal broken pairs; set shared_nuisance = 0")
        if self.base.truth.gap > TOLERANCE:
            raise self._refusal(f"its own truth is only known to {self.base.truth.gap:.1g} bits")
        if self._needs_solver:
            self._joint_law()
        if any(math.isnan(bits) for t in self.target_specs.values() for bits in t.information.values()):
            raise self._refusal("a modality has some but not all of the information about a target")
        if not self._needs_solver and not _is_sum(self.base.truth, specs):
            raise self._refusal("its truth is not the sum of one pure term per target")

    def _refusal(self, why: str) -> InvalidRequest:
        active = ", ".join(f"{name} = {value:g}" for name, value in self.dials.active.items())
        return InvalidRequest(f"{active}: not possible for {self.name}; {why}")

    @property
    def world(self) -> int:  # type: ignore[override]
        """Seed of the random part of the base generator's construction."""
        return self.base.world

    def in_world(self, world: int) -> Self:
        # The truth does not depend on the world, so what is cached stays valid, and nothing is checked again.
        other = object.__new__(type(self))
        vars(other).update(vars(self), base=self.base.in_world(world))
        return other

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.base.parameters, **self.dials.active}

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.base.modalities

    @property
    def shape_key(self) -> Any:
        active = self.dials.active
        return (self.base.shape_key, tuple(active), self.dials.subclasses)

    def rows(self, split: str) -> int | None:
        return self.base.rows(split)

    @property
    def _is_known(self) -> bool:
        return self.needs_truth and self.base.truth.how != "unknown"

    @property
    def _needs_solver(self) -> bool:
        """True if the truth is that of the stressed pmf, and not a closed form for each target."""
        return self.dials.changes_modalities or (
            len(self.base.target_specs) == 1 and bool(self.base.cell_laws)
        )

    def _joint_law(self) -> Float[np.ndarray, "n1 n2 y"]:
        law = self.symbol_law()
        if law is None:
            raise self._refusal("it has no pmf of finitely many symbols")
        if law.size > MOST_CELLS:
            raise self._refusal(f"the pmf has {law.size} cells, too many to decompose; ask for fewer symbols")
        return law

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"] | None:
        law, specs = self.base.symbol_law(), self.base.target_specs.values()
        if law is None:
            return None
        # The pmf of several targets has no axis for those without information.
        classes = [t.classes for t in specs if len(specs) == 1 or t.information[0, 1] > 0.0]
        if math.prod(classes) != law.shape[2]:
            raise self._refusal("its pmf does not enumerate the classes of its targets")
        return self.dials.apply(law, classes)

    @cached_property
    def _truth(self) -> Decomposition | Planted:
        before = self.base.truth
        if not self.dials.changes_truth:
            return before
        if not self._is_known:
            nan = math.nan
            return Decomposition(nan, nan, nan, nan, how="unknown", gap=math.inf)
        if self._needs_solver:
            law = self._joint_law()
            return _solve(law.tobytes(), law.shape)
        if isinstance(before, Planted):
            return Planted(_pure_terms(self.target_specs, is_planted=True))
        terms = _pure_terms(self.target_specs)
        return Decomposition(**terms, how="closed form", gap=before.gap)  # type: ignore[arg-type]

    @property
    def truth(self) -> Decomposition | Planted:
        return self._truth

    @property
    def target_truth(self) -> Decomposition | Planted:
        return self._truth if self.dials.changes_truth else self.base.target_truth

    @cached_property
    def _specs(self) -> dict[str, Target]:
        return {name: self._spec(target) for name, target in self.base.target_specs.items()}

    @property
    def target_specs(self) -> dict[str, Target]:
        return self._specs

    def _spec(self, target: Target) -> Target:
        dials = self.dials
        clean = np.array(target.prior)
        prior = dials.divide(dials.prior(clean))
        information = dict(target.information)
        if dials.changes_truth and not self._is_known:
            information = dict.fromkeys(information, math.nan)
        elif dials.changes_truth and self._needs_solver:
            law = dials.apply(self._verified_law(target), [target.classes])
            information = dict(target_from_law(target.name, law).information)
        elif dials.changes_truth:
            most = max(information.values())
            left = self.base.noisy_label_entropy(target.name, dials.label_noise)
            bits = max(float(entropy(dials.prior(clean))) - left, 0.0)
            if dials.rare_class is not None and not math.isclose(most, target.entropy, abs_tol=1e-12):
                bits = math.nan  # p(x1, x2) changes in a way that the informations do not tell
            for key, before in information.items():
                is_all = math.isclose(before, most, abs_tol=1e-12)
                information[key] = 0.0 if before == 0.0 else bits if is_all else math.nan
        return replace(
            target, prior=tuple(map(float, prior)), entropy=float(entropy(prior)), information=information
        )

    def _verified_law(self, target: Target) -> Float[np.ndarray, "n1 n2 y"]:
        law = self.base.cell_laws.get(target.name)
        if law is None:
            raise self._refusal("it has no pmf of finitely many symbols, or one of too many cells")
        stated, found = target.information, target_from_law(target.name, law).information
        if any(abs(stated[key] - bits) > TOLERANCE for key, bits in found.items()):
            raise self._refusal("its symbols are not functions of its observations")
        return law

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        specs = {
            name: target
            for name, target in self.base.auxiliary_specs.items()
            # The information about nuisance in a missing modality is not stated.
            if not (name.startswith("nuisance:") and any(self.dials.missing))
        }
        for name, law in self.pair_laws.items():
            specs |= ingredient_specs(name, law)
        return specs

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return self._stressed_laws(self.base.pair_laws)

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return self._stressed_laws(self.base.cell_laws)

    def _stressed_laws(self, laws: dict[str, Float[np.ndarray, "a b y"]]) -> dict[str, Any]:
        dials = self.dials
        return {name: dials.divide(dials.apply(law, [law.shape[2]])) for name, law in laws.items()}

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) of the base generator where the dials leave them known, in bits.

        Labels do not change I(X;X'). I(X';T') is I(X1,X2;T') if the view keeps all information about the
        clean label. Nothing is stated for changed pairs.
        """
        information = {}
        for name, before in self.base.view_information(policy).items():
            base, target = self.base.target_specs[name], self.target_specs[name]
            is_all = before.target is not None and math.isclose(
                before.target, max(base.information.values()), abs_tol=1e-12
            )
            is_kept = self._is_known and is_all and not self.dials.changes_modalities
            kept = max(target.information.values()) if is_kept else None
            is_same = not self.dials.changes_modalities and self.dials.rare_class is None
            information[name] = ViewInformation(before.between if is_same else None, kept)
        return information

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        return StressedStack([self]).sample(n, [seed], split, device).member(0)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        check_policy(self, policy)
        return StressedStack([self]).view(sample.as_stack(), policy, [seed]).member(0)

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> "StressedStack":
        return StressedStack([g for g in generators if isinstance(g, Stressed)])


@lru_cache(maxsize=4096)  # every run of a sweep at one point solves the same law
def _solve(law: bytes, shape: tuple[int, ...]) -> Decomposition:
    return decompose(np.frombuffer(law).reshape(shape))


def _pure_terms(specs: Mapping[str, Target], is_planted: bool = False) -> dict[str, float]:
    """Return the terms of independent targets, if each set of modalities has all of the information or none.

    If both modalities have it, it is redundant: U1 = U2 = -S follows from R + U1 = R + U2 = R + U1 + U2 + S.
    If one has it, it is unique; if none has it, synergistic.

    Args:
        specs: Specifications of the targets.
        is_planted: Whether each target is the factor of its name.
    """
    if is_planted:
        return {name: max(target.information.values()) for name, target in specs.items()}
    bits: dict[str, float] = dict.fromkeys(TERMS, 0.0)
    for target in specs.values():
        first, second = (target.information[key] > 0.0 for key in ((0,), (1,)))
        term = ("redundant" if second else "unique1") if first else ("unique2" if second else "synergy")
        bits[term] += target.information[0, 1]
    return bits


def _is_sum(truth: Decomposition | Planted, specs: Mapping[str, Target]) -> bool:
    terms = _pure_terms(specs, isinstance(truth, Planted))
    return terms.keys() == truth.terms.keys() and all(
        math.isclose(terms[name], bits, abs_tol=TOLERANCE) for name, bits in truth.terms.items()
    )
