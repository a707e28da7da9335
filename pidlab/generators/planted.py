"""Planted information on real features: rows of feature banks whose classes follow a law of symbols."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int

from pidlab.decomposition import TERMS, Decomposition
from pidlab.encoders import Modality
from pidlab.errors import InvalidRequest
from pidlab.generators.catalog import load_generator
from pidlab.generators.equivocation import HeldOutScores, equivocation_bounds, score_bank
from pidlab.generators.feature_banks import Bank, read_banks
from pidlab.generators.generator import Generator, Sample, Target, ViewInformation
from pidlab.generators.parameters import check_policy, check_whole
from pidlab.generators.planted_stack import SPLITS, PlantedStack
from pidlab.generators.planted_truth import Coding, bound_terms, with_lower_bounds
from pidlab.generators.shifted import Shifted
from pidlab.seeds import child, torch_generator

# Fractions of the rows of a class; "eval" is everything but "train".
FRACTIONS = {"train": 0.4, "probe": 0.2, "validation": 0.1, "test": 0.3}

# Probability that any bound of one generator is wrong.
RISK = 1e-3

# Rows of a class that balanced draws can need beyond their expected number.
SPARE_ROWS = 3


@dataclass(frozen=True)
class PlantedFeatures(Generator):
    """Real features with planted information: classes of rows code the symbols of another generator.

    Distribution: the generator `law` draws the symbols c1, c2 of both modalities and Y. Each modality has a
    feature bank of rows with class labels. A world assigns classes to symbols, each symbol an equal number,
    and shows c_i as a random row of them. Cells with equal laws share a symbol; k symbols need k classes, and
    a term of 0 bits needs none. R, S and one unique term of up to 1 bit each are 8 symbols. The fractions of
    bits are tuned as in `Atoms`; by default that of the synergy with `channel`, because an erased symbol is a
    third value.

    Rows: a world takes equally many rows of each class and divides them at random into train (0.4), probe
    (0.2), validation (0.1) and test (0.3); ``"eval"`` is the last three. Pairs for fitting and for selecting
    are drawn with replacement. Up to ``rows("test")`` test pairs use every row at most about once, because
    confidence intervals need independent rows. Features are shifted to mean 0 and divided by one number.

    Truth: the terms are those of the law, the planted information, and exact if the classes are separable
    (`separable`). Otherwise they are known up to `bounds` and `truth.gap`, and the information of a target up
    to `Target.low` (`pidlab.generators.planted_truth`). The bounds follow from upper confidence bounds on
    what the features lack about the symbols, H(symbol|features), by a classifier on rows it has not seen
    (`pidlab.generators.equivocation`). All of them hold with probability 0.999, if the rows of a class are
    independent draws from the population that the statement is about.

    Views: `noise` shows the same symbols by other rows of their classes, like an augmentation that keeps the
    class and redraws everything else. `task` and `unique` also redraw symbols as the law does (`Atoms`,
    `Finite`). All three use rows of the same part. `generic` adds noise and drops coordinates.

    Args:
        file: File with x1, c1, x2, c2 (see `read_arrays`): features of shape (n, d) or images, and one class
            label per row; or ``"digits"``, the images of scikit-learn as vectors.
        redundant: Bits in both modalities; None for the value in `law`.
        unique1: Bits in the first modality only; None for the value in `law`.
        unique2: Bits in the second modality only; None for the value in `law`.
        synergy: Bits that only both modalities together have; None for the value in `law`.
        law: Generator of the symbols: `atoms`, `gate` or another with `cell_laws`, such as ``"gate('and')"``.
        separable: Whether the classes are known to be functions of the features, so that the truth is exact.
            It is an assumption that no number of rows can confirm.
        world: Seed of the division, and of the assignment of classes to symbols.

    Raises:
        InvalidRequest: If the banks are refused (`read_banks`), the law has no finite symbols, or a bank has
            fewer classes than symbols.

    Example:
        >>> import tempfile
        >>> rng, c = np.random.default_rng(0), np.repeat(np.arange(8), 100)
        >>> x1, x2 = (8.0 * rng.normal(size=(8, 4))[c] + rng.normal(size=(800, 4)) for _ in range(2))
        >>> file = tempfile.mkdtemp() + "/banks.npz"
        >>> np.savez(file, x1=x1, c1=c, x2=x2, c2=c)
        >>> planted = PlantedFeatures(file, unique1=0.5)
        >>> low, high = planted.bounds["unique1"]
        >>> planted.truth.unique1, low < 0.5 < high
        (0.5, True)
    """

    name: ClassVar[str] = "planted"
    independent_targets: ClassVar[bool] = True

    file: str
    redundant: float | None = None
    unique1: float | None = None
    unique2: float | None = None
    synergy: float | None = None
    law: str = "atoms(synergy_tuning='channel')"
    separable: bool = False
    world: int = 0
    # Stored results are identified by the contents, because a file can change under its name.
    contents: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("file", "law"):
            if not isinstance(getattr(self, name), str):
                raise InvalidRequest(f"{name} = {getattr(self, name)!r}: expected a string")
        if not isinstance(self.separable, bool):
            raise InvalidRequest(f"separable = {self.separable!r}: expected True or False")
        check_whole(self, world=0)
        object.__setattr__(self, "contents", "+".join(bank.contents for bank in self.banks))
        for m, (bank, prior) in enumerate(zip(self.banks, self.coding.priors, strict=True), start=1):
            needed, available = len(prior), len(bank.counts)
            if needed > available:
                raise InvalidRequest(
                    f"modality {m} has {needed} symbols (at most {math.log2(needed):.3g} bits) but c{m} of "
                    f"{self.file} has {available} classes: ask for fewer bits or for a bank with {needed} "
                    "classes"
                )

    @property
    def banks(self) -> tuple[Bank, Bank]:
        """Rows of both modalities."""
        return read_banks(self.file)

    @property
    def symbol_generator(self) -> Generator:
        """Generator that draws the symbols."""
        return _symbol_generator(self.law, *(getattr(self, term) for term in TERMS))

    @property
    def coding(self) -> Coding:
        """Symbols that the classes distinguish."""
        return _coding(self.symbol_generator)

    @property
    def policies(self) -> tuple[str, ...]:  # type: ignore[override]
        """View policies: those of the law that redraw symbols, and `generic`."""
        offered = [name for name in ("task", "noise", "unique") if name in self.symbol_generator.policies]
        return (*offered, "generic")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(bank.modality for bank in self.banks)

    @property
    def shape_key(self) -> Any:
        law = self.symbol_generator
        # The number of symbols determines that of the rows of each.
        symbols = tuple(len(prior) for prior in self.coding.priors)
        key = (self.contents, type(law), law.shape_key, self.separable, symbols, self.rows("test"))
        return (*key, tuple(self.pair_laws))

    def rows(self, split: str) -> int:
        """Return the number of distinct pairs of rows; for ``"test"``, of pairs that share no row.

        The latter is rounded down to a power of the square root of 2, so that most points of a sweep have
        equally many test rows and are trained together.
        """
        first, second = (self.symbol_rows(m, split).shape[1] for m in (0, 1))
        if split != "test":
            return first * second * self.coding.pairs
        used = zip((first, second), self.coding.priors, strict=True)
        most = max(1.0, min((count - SPARE_ROWS) / prior.max() for count, prior in used))
        return math.floor(2.0 ** (math.floor(2.0 * math.log2(most)) / 2.0))

    def symbol_classes(self, m: int) -> Int[np.ndarray, "symbols classes"]:
        """Return the classes that show each symbol of modality `m` in this world."""
        symbols, classes = len(self.coding.priors[m]), len(self.banks[m].counts)
        order = torch.randperm(classes, generator=torch_generator(child(self.world, "classes", m))).numpy()
        return order[: classes // symbols * symbols].reshape(symbols, -1)

    def symbol_rows(self, m: int, split: str) -> Int[np.ndarray, "symbols rows"]:
        """Return the rows of a split that show each symbol of modality `m`, in random order."""
        rows = _divided_rows(self.banks[m], self.world, m)[:, _part(split, int(self.banks[m].counts.min()))]
        # Rows of different classes alternate.
        return np.stack([rows[classes].T.ravel() for classes in self.symbol_classes(m)])

    @property
    def truth(self) -> Decomposition:
        planted = self.symbol_generator.truth
        assert isinstance(planted, Decomposition)
        if self.bounds is None:
            return planted
        ends = [abs(end - planted.terms[term]) for term, both in self.bounds.items() for end in both]
        return replace(planted, how="held-out classifier", gap=float(planted.gap + max(ends)))

    @property
    def bounds(self) -> dict[str, tuple[float, float]] | None:
        """Lower and upper bound of every term in bits; None if the truth is exact. See `bound_terms`."""
        planted = self.symbol_generator.truth
        assert isinstance(planted, Decomposition)
        return None if self.separable else bound_terms(planted, self._equivocations[0])

    @property
    def target_specs(self) -> dict[str, Target]:
        return self._bounded(self.symbol_generator.target_specs)

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        """Specifications of the ingredients of synergistic targets, if the classes show all their values."""
        specs = self.symbol_generator.auxiliary_specs
        return self._bounded({f"{t}:{m}": specs[f"{t}:{m}"] for t in self.pair_laws for m in (1, 2)})

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return {
            target: law
            for target, law in self.symbol_generator.pair_laws.items()
            if all(
                np.count_nonzero(law.sum((1 - m, 2))) == len(set(self.coding.parts(target, m).tolist()))
                for m in (0, 1)
            )
        }

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return dict(self.coding.laws)

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"] | None:
        return self.symbol_generator.symbol_law()

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) under a policy; None where the classes may not be separable."""
        check_policy(self, policy)
        if policy == "generic" or not self.separable:
            return {name: ViewInformation(None, None) for name in self.target_specs}
        return self.symbol_generator.view_information(policy)

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        return PlantedStack([self]).sample(n, [seed], split, device).member(0)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        return PlantedStack([self]).view(sample.as_stack(), policy, [seed]).member(0)

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> PlantedStack:
        return PlantedStack([g for g in generators if isinstance(g, PlantedFeatures)])

    def _bounded(self, specs: dict[str, Target]) -> dict[str, Target]:
        if self.separable:
            return specs
        _, lost = self._equivocations
        return {name: with_lower_bounds(spec, lost[name.split(":")[0]]) for name, spec in specs.items()}

    @property
    def _equivocations(self) -> "tuple[Bounds, dict[str, Bounds]]":
        """Bounds on H(C1|X1), H(C2|X2) and their sum, then for the part that each target depends on."""
        return _equivocations(self)


@lru_cache(maxsize=256)
def _symbol_generator(law: str, *bits: float | None) -> Generator:
    given = {term: value for term, value in zip(TERMS, bits, strict=True) if value is not None}
    generator = load_generator(law, **given)
    if isinstance(generator, Shifted):
        raise InvalidRequest(
            f"law = {law!r}: planted rows of training and examination have one law; leave train_* parameters "
            "out"
        )
    if isinstance(generator, PlantedFeatures) or not generator.cell_laws:
        asked = "".join(f", {term} = {value:g}" for term, value in given.items())
        raise InvalidRequest(
            f"law = {law!r}{asked}: expected a generator of two modalities with few symbols, such as atoms "
            "or \"gate('and')\"; ask for fewer bits if it has too many symbols"
        )
    if getattr(generator, "shared_nuisance", 0.0):
        raise InvalidRequest(f"law = {law!r}: shared_nuisance cannot be planted; leave it out")
    return generator


@lru_cache(maxsize=256)
def _coding(generator: Generator) -> Coding:
    return Coding(generator.cell_laws, getattr(generator, "slots", ()))


@lru_cache(maxsize=8)
def _scores(bank: Bank) -> HeldOutScores:
    return score_bank(bank)


# Upper bounds on H(V1|X1), H(V2|X2) and on their sum, in bits.
Bounds = tuple[float, float, float]


@lru_cache(maxsize=4096)
def _equivocations(planted: PlantedFeatures) -> tuple[Bounds, dict[str, Bounds]]:
    coding, scores = planted.coding, [_scores(bank) for bank in planted.banks]
    # One risk for the symbols and one for the part of each target; together at most RISK.
    risk = RISK / (1 + len(coding.laws))

    def bounds(parts: Sequence[np.ndarray]) -> Bounds:
        priors, symbols = [], []
        for m, bank in enumerate(planted.banks):
            classes = planted.symbol_classes(m)
            priors.append(np.zeros(len(bank.counts)))
            symbols.append(np.zeros(len(bank.counts), dtype=np.int64))
            # The classes of a symbol are equally likely.
            priors[m][classes] = coding.priors[m][:, None] / classes.shape[1]
            symbols[m][classes] = parts[m][:, None]
        return equivocation_bounds(scores, priors, symbols, risk)

    everything = bounds([np.arange(len(prior)) for prior in coding.priors])
    return everything, {t: bounds([coding.parts(t, m) for m in (0, 1)]) for t in coding.laws}


@lru_cache(maxsize=64)
def _divided_rows(bank: Bank, world: int, m: int) -> Int[np.ndarray, "classes rows"]:
    """Return equally many rows of every class in random order; splits are consecutive columns."""
    key = torch.rand(
        len(bank.labels), generator=torch_generator(child(world, "rows", m)), dtype=torch.float64
    )
    order = np.lexsort((key.numpy(), bank.labels))
    starts = np.cumsum(bank.counts) - bank.counts
    return order[starts[:, None] + np.arange(bank.counts.min())]


def _part(split: str, count: int) -> slice:
    """Return the columns of a split among `count` columns."""
    ends = [round(count * end) for end in np.cumsum([0.0, *FRACTIONS.values()])]
    i = SPLITS.index(split)
    return slice(ends[1], ends[4]) if split == "eval" else slice(ends[i], ends[i + 1])
