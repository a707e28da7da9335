"""Generators by name: `atoms`, `"atoms(noise=0.1)"`."""

import importlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition, Planted
from pidlab.encoders import Modality
from pidlab.errors import InvalidRequest, nearest
from pidlab.info import (
    decompose,
    entropy,
    joint_information,
    source_informations,
)
from pidlab.registry import look_up, parse, scan

# Binary symbols of a target, whose classes are listed one by one, and of Y, which is an int64.
MOST_SYMBOLS, MOST_JOINT_SYMBOLS = 20, 62

# Bins of a continuous variable: of so many float32 misses .005 bits.
MOST_CLASSES = 2**14


def parameters_of(cls: type) -> list[str]:
    """The names of the parameters that a generator's class takes."""
    return list(_signature(cls))


def required_of(cls: type) -> list[str]:
    """The names of those that it gives no default."""
    return [name for name, parameter in _signature(cls).items() if parameter.default is parameter.empty]


@cache  # a sweep asks once for every run
def _signature(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def check_nonnegative(generator: Any, *names: str) -> None:
    """Keeps each parameter as a float; it is a finite number, 0 or more.

    Raises:
        InvalidRequest: it is not.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not math.isfinite(value) or value < 0:
            raise InvalidRequest(f"{name} = {value!r}: expected a finite number, 0 or more")
        object.__setattr__(generator, name, float(value))


def check_probability(generator: Any, *names: str) -> None:
    """Keeps each parameter as a float between 0 and 1.

    Raises:
        InvalidRequest: it is not one.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not 0 <= value <= 1:
            raise InvalidRequest(f"{name} = {value!r}: expected a number from 0 to 1")
        object.__setattr__(generator, name, float(value))


def check_whole(generator: Any, **least: int) -> None:
    """Keeps each parameter as an int; it is a whole number, however written, of at least this.

    Raises:
        InvalidRequest: it is not.
    """
    for name, lowest in least.items():
        value = getattr(generator, name)
        whole = _is_number(value) and math.isfinite(value) and value == int(value)
        if not whole or value < lowest:
            raise InvalidRequest(f"{name} = {value!r}: expected a whole number, {lowest} or more")
        object.__setattr__(generator, name, int(value))


def check_rendering(generator: Any) -> None:
    """Checks what generators of noisy symbols have: noise, nuisance, depth, slope, width and world."""
    check_nonnegative(generator, "noise")
    check_bijection(generator)


def check_bijection(generator: Any) -> None:
    """Checks what every rendered generator has: nuisance, depth, slope, width and world."""
    check_whole(generator, nuisance=0, depth=0, width=1, world=0)
    slope = generator.slope
    if not _is_number(slope) or not 0 < slope <= 1:
        raise InvalidRequest(f"slope = {slope!r}: expected a number above 0 and up to 1")


def check_classes(generator: Any) -> None:
    """Checks `classes` of a target cut from a continuous variable: 2 or more, no finer than float32 shows.

    Raises:
        InvalidRequest: it is not.
    """
    check_whole(generator, classes=2)
    if generator.classes > MOST_CLASSES:
        raise InvalidRequest(f"classes = {generator.classes}: expected {MOST_CLASSES} or fewer")


def check_labels(symbols: Mapping[str, int]) -> None:
    """Checks that targets of so many binary symbols each can be listed, and their joint label be an int64.

    Raises:
        InvalidRequest: they cannot.
    """
    for name, count in symbols.items():
        if count > MOST_SYMBOLS:
            raise InvalidRequest(
                f"{name}: a label of {count} bits has 2^{count} classes; ask for {MOST_SYMBOLS} bits or fewer"
            )
    total = sum(symbols.values())
    if total > MOST_JOINT_SYMBOLS:
        raise InvalidRequest(
            f"{', '.join(symbols)}: Y of {total} bits has 2^{total} classes; "
            f"ask for {MOST_JOINT_SYMBOLS} bits or fewer in all"
        )


def check_sample(n: int, split: str, splits: Sequence[str] = ("train", "eval")) -> None:
    """Checks what every sample is asked for.

    Raises:
        InvalidRequest: fewer than one sample, or an unknown split.
    """
    if n < 1:
        raise InvalidRequest(f"{n} samples: expected 1 or more")
    if split not in splits:
        expected = " or ".join(map(repr, splits))
        raise InvalidRequest(f"unknown split {split!r}: expected {expected}")


def check_policy(generator: Any, policy: str) -> None:
    """Checks that a generator offers these views.

    Raises:
        InvalidRequest: it does not.
    """
    if policy not in generator.policies:
        offered = ", ".join(generator.policies)
        raise InvalidRequest(f"unknown views {policy!r}: {generator.name} offers {offered}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Target:
    """A discrete variable that bits are about.

    Args:
        name: a term for generators with a target per term, else the target's own name.
        prior: exact probability of every class.
        entropy: H(target) in bits.
        information: bits that each set of modalities holds, keyed by their indices:
            `(0,)` for I(X1;T), `(1,)` for I(X2;T), `(0, 1)` for I(X1,X2;T).
    """

    name: str
    prior: tuple[float, ...]
    entropy: float
    information: Mapping[tuple[int, ...], float]

    @property
    def classes(self) -> int:
        """Number of classes, those of zero probability included."""
        return len(self.prior)


@dataclass(frozen=True)
class Sample:
    """Paired observations with what they are made of; tensors may carry leading member axes.

    Args:
        x: one tensor per modality, (*members, n, d) or (*members, n, channels, height, width).
        targets: class numbers by target name.
        classes: number of classes by target name.
        latents: what the generator needs to make views; sample axis last.
        symbols: the noiseless symbols behind each target, one tensor per modality.
        beside: class numbers of what is examined beside the targets (see `Generator.auxiliary_targets`).
        cells: all symbols of a modality as one number, one tensor per modality; empty where the
            generator has no `cell_laws`.
    """

    x: tuple[Float[Tensor, "..."], ...]
    targets: dict[str, Int[Tensor, "*members n"]]
    classes: dict[str, int]
    latents: dict[str, Tensor] = field(default_factory=dict)
    symbols: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    auxiliary_targets: dict[str, Int[Tensor, "*members n"]] = field(default_factory=dict)
    cells: tuple[Int[Tensor, "*members n"], ...] = ()

    @property
    def x1(self) -> Tensor:
        """The first modality."""
        return self.x[0]

    @property
    def x2(self) -> Tensor:
        """The second modality."""
        return self.x[1]

    @property
    def y(self) -> Int[Tensor, "*members n"]:
        """The joint label: all targets as one number, in mixed radix."""
        total = torch.zeros_like(next(iter(self.targets.values())))
        for name, value in self.targets.items():
            total = total * self.classes[name] + value
        return total

    def take(self, index: Int[Tensor, "*members m"]) -> "Sample":
        """The rows at `index`, chosen for each member on its own."""
        lead = index.shape[:-1]

        def per_row(t: Tensor) -> Tensor:  # rows last
            between = [1] * (t.ndim - index.ndim)
            return torch.take_along_dim(t, index.reshape(*lead, *between, -1), -1)

        def observed(t: Tensor) -> Tensor:  # rows first
            after = [1] * (t.ndim - index.ndim)
            return torch.take_along_dim(t, index.reshape(*index.shape, *after), index.ndim - 1)

        return self._map(observed, per_row)

    def member(self, i: int) -> "Sample":
        """Member `i` of a stacked sample, without the member axis."""
        return self._map(lambda t: t[i], lambda t: t[i])

    def alone(self) -> "Sample":
        """This sample as the only member of a stack."""
        return self._map(lambda t: t[None], lambda t: t[None])

    def _map(self, observed: Callable[[Tensor], Tensor], per_row: Callable[[Tensor], Tensor]) -> "Sample":
        return Sample(
            tuple(observed(x) for x in self.x),
            {name: per_row(t) for name, t in self.targets.items()},
            self.classes,
            {name: per_row(t) for name, t in self.latents.items()},
            {name: tuple(per_row(t) for t in ts) for name, ts in self.symbols.items()},
            {name: per_row(t) for name, t in self.auxiliary_targets.items()},
            tuple(per_row(t) for t in self.cells),
        )


@dataclass(frozen=True)
class ViewInformation:
    """What a view keeps of one term's symbols, in bits; None where it is not known exactly.

    Args:
        between: I(X;X') of the term's symbols and their view.
        target: I(X';Y) of the view and the term's target.
    """

    between: float | None
    target: float | None


class Generator(ABC):
    """A distribution over modalities X1, X2 (later more) and discrete targets, with its truth.

    A generator is a frozen record of parameters. One more field, `world`, numbers the random part of
    its construction (rendering maps): same world, same law.
    """

    name: ClassVar[str]
    policies: ClassVar[tuple[str, ...]]
    # Whether the targets are independent of each other, so that their bits add up.
    independent_targets: ClassVar[bool] = False
    world: int

    @property
    @abstractmethod
    def modalities(self) -> tuple[Modality, ...]:
        """The specification of every modality; encoders are made from it."""

    @property
    @abstractmethod
    def truth(self) -> Decomposition | Planted:
        """The decomposition of I(X1,X2;Y), in bits; of more modalities, the bits that are planted."""

    @property
    @abstractmethod
    def targets(self) -> dict[str, Target]:
        """The targets by name."""

    @property
    def examined(self) -> Decomposition | Planted:
        """The decomposition of the targets; less than `truth` where these quantise a continuous Y."""
        return self.truth

    @property
    def auxiliary_targets(self) -> dict[str, Target]:
        """Variables that are no targets but worth reading too; `NAME:DETAIL` by convention.

        `T:1` and `T:2` are the two ingredients of a target T that both modalities make together, one
        in each; `nuisance:...` are bits that Y does not hold.
        """
        return {}

    @property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        """For targets T with ingredients: p(a, b, y) of `beside["T:1"]`, `beside["T:2"]` and T."""
        return {}

    @property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        """For every target, its law with `Sample.cells`; empty where there is none to write down."""
        return {}

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"] | None:
        """The exact joint pmf of the symbols of X1, of X2 and of Y; None where there is none to write down.

        Raises:
            InvalidRequest: it has too many cells to be assembled.
        """
        return None

    def solved(self) -> Decomposition | None:
        """The solver's own decomposition, to set beside `truth`; None where there is no law to give it.

        Raises:
            InvalidRequest: the law has too many cells to be assembled.
        """
        law = self.symbol_law()
        return None if law is None else decompose(law)

    @property
    @abstractmethod
    def shape_key(self) -> Any:
        """Generators of equal signature have tensors of equal shape and can be drawn as one program."""

    @abstractmethod
    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """What a view under `policy` keeps, per term, in bits."""

    @abstractmethod
    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draws `n` samples. `split` is `"train"` or `"eval"`: the truth belongs to `"eval"`."""

    def in_world(self, world: int) -> Self:
        """The same parameters in another world."""
        return replace(self, world=world)  # type: ignore[type-var]

    def rows(self, split: str) -> int | None:
        """How many different rows a split has; None where there is no end to them.

        A generator of finite rows has three more splits, parts of `"eval"` that share no row: `"probe"`
        to fit probes on, `"validation"` to choose between them, `"test"` to score them.
        """
        return None

    @abstractmethod
    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a view of every row of `sample` that preserves what `policy` says."""

    @classmethod
    def stack(cls, generators: Sequence["Generator"]) -> "Stack":
        """Several generators of one signature as one, whose tensors carry a leading member axis."""
        return Stack(generators)


class Stack:
    """Generators drawn side by side, one after the other; a generator may bring a faster one."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.generators = tuple(generators)

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """`n` samples of every member; tensors of shape (members, n, ...)."""
        pairs = list(zip(self.generators, seeds, strict=True))
        # Members of one law and one seed see the same draws, which are costly where they are images.
        drawn = {(g, seed): g.sample(n, seed, split, device) for g, seed in dict.fromkeys(pairs)}
        return _stack_samples([drawn[pair] for pair in pairs])

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        """A view of every row of every member."""
        members = enumerate(zip(self.generators, seeds, strict=True))
        return _stack_samples([g.view(sample.member(i), policy, seed) for i, (g, seed) in members])


def _stack_samples(samples: Sequence[Sample]) -> Sample:
    first = samples[0]
    return Sample(
        tuple(torch.stack(xs) for xs in zip(*(s.x for s in samples), strict=True)),
        {name: torch.stack([s.targets[name] for s in samples]) for name in first.targets},
        first.classes,
        {name: torch.stack([s.latents[name] for s in samples]) for name in first.latents},
        {
            name: tuple(torch.stack(ts) for ts in zip(*(s.symbols[name] for s in samples), strict=True))
            for name in first.symbols
        },
        {name: torch.stack([s.auxiliary_targets[name] for s in samples]) for name in first.auxiliary_targets},
        tuple(torch.stack(cells) for cells in zip(*(s.cells for s in samples), strict=True)),
    )


def target_of(name: str, law: Float[np.ndarray, "n1 n2 y"]) -> Target:
    """The target whose law with the symbols of two modalities is p(x1, x2, y)."""
    prior = law.sum((0, 1))
    first, second = source_informations(law)
    known = {(0,): first, (1,): second, (0, 1): joint_information(law)}
    # Differences of entropies: what is 0 can come out a rounding below it.
    information = {key: max(float(bits), 0.0) for key, bits in known.items()}
    return Target(name, tuple(map(float, prior)), float(entropy(prior)), information)


def ingredients_of(name: str, law: Float[np.ndarray, "a b y"]) -> dict[str, Target]:
    """What stands beside a target that two ingredients make: the ingredients `name:1` and `name:2`."""
    pair = law.sum(2)
    first = pair[:, :, None] * np.eye(pair.shape[0])[:, None, :]
    second = pair[:, :, None] * np.eye(pair.shape[1])[None, :, :]
    return {f"{name}:1": target_of(f"{name}:1", first), f"{name}:2": target_of(f"{name}:2", second)}


def joint_prior(priors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The prior of independent parts read as one label, the first part the least significant digit."""
    cells = [1.0]
    for prior in priors:
        cells = [p * cell for p in prior for cell in cells]
    total = math.fsum(cells)
    return tuple(cell / total for cell in cells)


@cache
def generators() -> Mapping[str, type[Generator]]:
    """Every registered generator by name."""
    return scan(importlib.import_module("pidlab.generators"), Generator)


def load_generator(reference: str, **parameters: Any) -> Generator:
    """The generator that `reference` names, with `parameters` over those it gives itself.

    Raises:
        InvalidRequest: no such generator, or one that has no such parameter.
    """
    asked = parse(reference)
    cls = look_up("generator", asked.name, generators())
    fields = parameters_of(cls)
    for key in parameters:
        if key not in fields:
            raise InvalidRequest(f"{asked.name} has no parameter {key!r}: {nearest(key, fields)}")
    given = {**asked.bind(fields), **parameters}
    for name in required_of(cls):
        if name not in given:
            raise InvalidRequest(f"{asked} lacks {name!r}: write {asked.name}({name}=...)")
    return cls(**given)
