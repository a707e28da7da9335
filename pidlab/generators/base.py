"""What a generator is: a distribution over modalities and targets that knows its own information."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition, Planted
from pidlab.info import decompose, entropy, joint_information, source_informations
from pidlab.modality import Modality


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
        beside: class numbers of what is examined beside the targets (see `Generator.beside`).
        cells: all symbols of a modality as one number, one tensor per modality; empty where the
            generator has no `cell_laws`.
    """

    x: tuple[Float[Tensor, "..."], ...]
    targets: dict[str, Int[Tensor, "*members n"]]
    classes: dict[str, int]
    latents: dict[str, Tensor] = field(default_factory=dict)
    symbols: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    beside: dict[str, Int[Tensor, "*members n"]] = field(default_factory=dict)
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
            {name: per_row(t) for name, t in self.beside.items()},
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
    def beside(self) -> dict[str, Target]:
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
    def signature(self) -> Any:
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
        {name: torch.stack([s.beside[name] for s in samples]) for name in first.beside},
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
