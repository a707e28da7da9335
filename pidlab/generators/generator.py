"""Interface of a generator, its samples and its targets."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition, Planted
from pidlab.encoders import Image, Modality, Vector
from pidlab.generators.dials import noisy_label_entropy
from pidlab.generators.parameters import check_policy
from pidlab.info import decompose, entropy, joint_information, source_informations
from pidlab.seeds import child, torch_generator

# The `generic` view: standard deviation of its normal noise, then the probability to drop a coordinate.
GENERIC_NOISE, GENERIC_DROP = 0.1, 0.2


@dataclass(frozen=True)
class Target:
    """Specification of a discrete target T.

    Args:
        name: Name of a term if the generator has one target per term, else the target's own name.
        prior: Exact probability of every class.
        entropy: H(T) in bits.
        information: Bits that each set of modalities has about T, keyed by the indices of the modalities:
            ``(0,)`` for I(X1;T), ``(1,)`` for I(X2;T), ``(0, 1)`` for I(X1,X2;T).
        low: Lower bounds of the information in bits, by the same keys, if `information` is known to be an
            upper bound only; None if it is exact.
    """

    name: str
    prior: tuple[float, ...]
    entropy: float
    information: Mapping[tuple[int, ...], float]
    low: Mapping[tuple[int, ...], float] | None = None

    @property
    def classes(self) -> int:
        """Number of classes, including classes of probability 0."""
        return len(self.prior)


@dataclass(frozen=True)
class Sample:
    """Paired observations with their labels and latents; tensors may have leading member axes.

    Args:
        x: One tensor per modality, shape (*members, n, d) or (*members, n, channels, height, width).
        targets: Class indices by target name, shape (*members, n).
        classes: Number of classes by target name.
        latents: Tensors from which the generator makes views, by name; the sample axis is last.
        symbols: Noiseless symbols of each target, one tensor per modality; the sample axis is last.
        auxiliary_targets: Class indices by name of the variables in `Generator.auxiliary_specs`.
        cells: All symbols of a modality as one number, one tensor per modality, shape (*members, n); empty
            if the generator has no `cell_laws`.
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
        """Observations of the first modality."""
        return self.x[0]

    @property
    def x2(self) -> Tensor:
        """Observations of the second modality."""
        return self.x[1]

    @property
    def y(self) -> Int[Tensor, "*members n"]:
        """Joint label: all targets as one number in mixed radix, the first target most significant."""
        total = torch.zeros_like(next(iter(self.targets.values())))
        for name, value in self.targets.items():
            total = total * self.classes[name] + value
        return total

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        groups = (self.targets, self.latents, self.auxiliary_targets)
        tensors = [*self.x, *self.cells, *(t for group in groups for t in group.values())]
        tensors += [t for ts in self.symbols.values() for t in ts]
        return sum(t.nbytes for t in tensors)

    def take(self, index: Int[Tensor, "*members m"]) -> "Sample":
        """Select rows.

        Args:
            index: Row indices, for each member separately, shape (*members, m).

        Returns:
            The sample with the selected rows in all of its tensors.
        """
        lead = index.shape[:-1]

        def rows_last(t: Tensor) -> Tensor:
            between = [1] * (t.ndim - index.ndim)
            return torch.take_along_dim(t, index.reshape(*lead, *between, -1), -1)

        def rows_first(t: Tensor) -> Tensor:
            after = [1] * (t.ndim - index.ndim)
            return torch.take_along_dim(t, index.reshape(*index.shape, *after), index.ndim - 1)

        return self._map(rows_first, rows_last)

    def member(self, i: int) -> "Sample":
        """Return member `i` of a stacked sample, without the member axis."""
        return self._map(lambda t: t[i], lambda t: t[i])

    def as_stack(self) -> "Sample":
        """Return this sample with a member axis of length 1."""
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
    """Information that a view keeps about the symbols of one term, in bits; None if not known exactly.

    Args:
        between: I(X;X') of the term's symbols and their view, in bits; infinite if a view can show
            continuous symbols without noise.
        target: I(X';T) of the view and the term's target, in bits.
    """

    between: float | None
    target: float | None


class Generator(ABC):
    """A distribution over modalities X1, X2 (or more) and discrete targets with a known decomposition.

    A generator is a frozen dataclass of parameters. The parameter `world` seeds the random part of its
    construction (rendering maps): generators of equal parameters and world have equal distributions.

    A subclass defines `name`, `truth`, `target_specs` and `sample`. All other members have defaults that
    follow from these: modalities and `shape_key` from a sample of one row, views as `generic` corruption
    with unknown information, no auxiliary targets, no laws of symbols.

    Example:
        >>> @dataclass(frozen=True)
        ... class Copy(Generator):
        ...     name = "copy"
        ...     world: int = 0
        ...     truth = Decomposition(1.0, 0.0, 0.0, 0.0)
        ...     target_specs = {"y": target_from_truth(truth, (0.5, 0.5))}
        ...     def sample(self, n, seed=0, split="eval", device="cpu"):
        ...         y = torch.randint(2, (n,), generator=torch_generator(seed, device), device=device)
        ...         return Sample((y[:, None].float(), y[:, None].float()), {"y": y}, {"y": 2})
        >>> Copy().modalities
        (Vector(dim=1), Vector(dim=1))
    """

    name: ClassVar[str]
    policies: ClassVar[tuple[str, ...]] = ("generic",)
    # Whether the targets are independent of each other, so that their bits add up.
    independent_targets: ClassVar[bool] = False
    world: int

    @property
    @abstractmethod
    def truth(self) -> Decomposition | Planted:
        """Decomposition of I(X1,X2;Y) in bits; for more than two modalities, the planted bits."""

    @property
    @abstractmethod
    def target_specs(self) -> dict[str, Target]:
        """Specifications of the targets by name."""

    @abstractmethod
    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draw `n` samples.

        Args:
            n: Number of rows.
            seed: Seed of the draw.
            split: ``"train"`` or ``"eval"``; the truth is that of ``"eval"``.
            device: Device of the tensors.

        Returns:
            The observations, labels and latents.

        Raises:
            InvalidRequest: If ``n`` is below 1 or the split is unknown.
        """

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Specification of every modality, from which encoders are built."""
        shapes = [tuple(x.shape[1:]) for x in self.sample(1).x]
        return tuple(Image(*shape) if len(shape) == 3 else Vector(math.prod(shape)) for shape in shapes)

    @property
    def shape_key(self) -> Any:
        """Hashable key; generators with equal keys have tensors of equal shape and can be stacked."""
        one = self.sample(1)
        return (
            tuple(x.shape for x in one.x),
            tuple(one.classes.items()),
            tuple((name, t.shape) for name, t in one.latents.items()),
            tuple((name, tuple(t.shape for t in ts)) for name, ts in one.symbols.items()),
        )

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draw a view of every row that preserves what the policy specifies.

        Args:
            sample: Rows of this generator.
            policy: One of `policies`.
            seed: Seed of the views.

        Returns:
            Rows with the same targets and new observations.

        Raises:
            InvalidRequest: If the generator does not offer the policy.
        """
        check_policy(self, policy)
        return generic_view(sample, seed)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return the information that a view keeps, per target, in bits.

        Args:
            policy: One of `policies`.

        Returns:
            I(X;X') and I(X';T) of every target's symbols; None where they are not known exactly.

        Raises:
            InvalidRequest: If the generator does not offer the policy.
        """
        check_policy(self, policy)
        return {name: ViewInformation(None, None) for name in self.target_specs}

    @property
    def target_truth(self) -> Decomposition | Planted:
        """Decomposition of the targets; less than `truth` if they quantize a continuous Y."""
        return self.truth

    @property
    def bounds(self) -> dict[str, tuple[float, float]] | None:
        """Lower and upper bound of every term in bits, if `truth` is known up to bounds; None otherwise."""
        return None

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        """Specifications of further variables that are probed besides the targets, by name.

        ``T:1`` and ``T:2`` are the two ingredients of a synergistic target T, one in each modality.
        ``nuisance:...`` are variables that are independent of Y.
        """
        return {}

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        """Joint pmf of the auxiliary targets ``T:1``, ``T:2`` and of T, for every target with ingredients."""
        return {}

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        """Joint pmf of `Sample.cells` and a target, for every target; empty if there is no finite law."""
        return {}

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"] | None:
        """Return the exact joint pmf of the symbols of X1, X2 and Y; None if there is no finite law.

        Raises:
            InvalidRequest: If the pmf has too many cells.
        """
        return None

    def solve(self) -> Decomposition | None:
        """Decompose the exact law numerically, as a check of `truth`; None if there is no finite law.

        Raises:
            InvalidRequest: If the pmf has too many cells.
        """
        law = self.symbol_law()
        return None if law is None else decompose(law)

    def noisy_label_entropy(self, name: str, label_noise: float) -> float:
        """Compute H(T'|X1,X2) of a target whose labels are replaced by another class with some probability.

        Args:
            name: Name of the target.
            label_noise: Probability that a label is replaced; the other class is drawn uniformly.

        Returns:
            The entropy in bits; NaN if it is not known exactly. By default it is known if the modalities
            determine the target.
        """
        target = self.target_specs[name]
        is_determined = math.isclose(max(target.information.values()), target.entropy, abs_tol=1e-12)
        return noisy_label_entropy(1.0, label_noise, target.classes) if is_determined else math.nan

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of all fields by name; together with `name` they identify the distribution."""
        # The values are immutable, so the deep copy that `dataclasses.asdict` makes is not needed.
        values = vars(self)
        return {name: values[name] for name in field_names(type(self))}

    def in_world(self, world: int) -> Self:
        """Return a generator of the same parameters in another world."""
        return replace(self, world=world)  # type: ignore[type-var]

    def rows(self, split: str) -> int | None:
        """Return the number of distinct rows of a split; None if rows are drawn from a distribution.

        A generator of finitely many rows has three more splits, disjoint parts of ``"eval"``: ``"probe"``
        to fit probes, ``"validation"`` to select one, ``"test"`` to score it.
        """
        return None

    @classmethod
    def stack(cls, generators: Sequence["Generator"]) -> "Stack":
        """Combine generators with equal `shape_key`; their tensors get a leading member axis."""
        return Stack(generators)


class Stack:
    """Generators that are sampled one after the other; subclasses of `Generator` may provide a faster one.

    Args:
        generators: Generators with equal `shape_key`.
    """

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.generators = tuple(generators)

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draw `n` samples of every member.

        Args:
            n: Number of rows.
            seeds: Seed of each member.
            split: ``"train"`` or ``"eval"``.
            device: Device of the tensors.

        Returns:
            Tensors of shape (members, n, ...).
        """
        pairs = list(zip(self.generators, seeds, strict=True))
        # Equal members with equal seeds have equal rows; drawing images twice would be slow.
        drawn = {(g, seed): g.sample(n, seed, split, device) for g, seed in dict.fromkeys(pairs)}
        return stack_samples([drawn[pair] for pair in pairs])

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        """Draw a view of every row of every member.

        Args:
            sample: Rows of this stack.
            policy: One of the generators' policies.
            seeds: Seed of each member.

        Returns:
            Rows with the same targets and new observations.
        """
        members = enumerate(zip(self.generators, seeds, strict=True))
        return stack_samples([g.view(sample.member(i), policy, seed) for i, (g, seed) in members])


@cache
def field_names(cls: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass."""
    return tuple(f.name for f in fields(cls))


def stack_samples(samples: Sequence[Sample]) -> Sample:
    """Combine samples of equal shape; their tensors get a leading member axis."""
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


def generic_view(sample: Sample, seed: int) -> Sample:
    """Draw the `generic` view of one member's rows: normal noise and dropped coordinates.

    Args:
        sample: Rows without a member axis.
        seed: Seed of the view.

    Returns:
        Rows with new observations.
    """
    x = []
    for m, clean in enumerate(sample.x):
        noise, kept = draw_corruption(clean.shape, torch_generator(child(seed, "generic", m), clean.device))
        x.append((clean + noise) * kept)
    return replace(sample, x=tuple(x))


def draw_corruption(shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the noise that the `generic` view adds and the mask of the coordinates that it keeps."""
    noise = torch.randn(shape, generator=generator, device=generator.device)
    kept = torch.rand(shape, generator=generator, device=generator.device) >= GENERIC_DROP
    return GENERIC_NOISE * noise, kept


def target_from_truth(truth: Decomposition, prior: tuple[float, ...], name: str = "y") -> Target:
    """Specify the target of a decomposition.

    Args:
        truth: Decomposition of I(X1,X2;T) in bits.
        prior: Probability of every class of T.
        name: Name of the target.

    Returns:
        The specification, with H(T) computed from the prior.

    Example:
        >>> target_from_truth(Decomposition(0.0, 0.0, 0.0, 1.0), (0.5, 0.5)).information[0, 1]
        1.0
    """
    bits = {(0,): truth.mi1, (1,): truth.mi2, (0, 1): truth.total}
    return Target(name, prior, float(entropy(np.array(prior))), {k: float(v) for k, v in bits.items()})


def target_from_law(name: str, law: Float[np.ndarray, "n1 n2 y"]) -> Target:
    """Specify the target T of a joint pmf p(x1, x2, t).

    Args:
        name: Name of the target.
        law: Joint pmf, shape (n1, n2, classes).

    Returns:
        The specification, with all information computed from the pmf.
    """
    prior = law.sum((0, 1))
    first, second = source_informations(law)
    information = {(0,): first, (1,): second, (0, 1): joint_information(law)}
    # Differences of entropies that are exactly 0 can round to a negative number.
    information = {key: max(float(bits), 0.0) for key, bits in information.items()}
    return Target(name, tuple(map(float, prior)), float(entropy(prior)), information)


def ingredient_specs(name: str, law: Float[np.ndarray, "a b y"]) -> dict[str, Target]:
    """Specify the two ingredients of a target, ``name:1`` and ``name:2``, from p(a, b, y)."""
    pair = law.sum(2)
    first = pair[:, :, None] * np.eye(pair.shape[0])[:, None, :]
    second = pair[:, :, None] * np.eye(pair.shape[1])[None, :, :]
    return {
        f"{name}:1": target_from_law(f"{name}:1", first),
        f"{name}:2": target_from_law(f"{name}:2", second),
    }


def joint_prior(priors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the prior of independent parts as one label, the first part least significant."""
    cells = [1.0]
    for prior in priors:
        cells = [p * cell for p in prior for cell in cells]
    # Products of rounded probabilities need not sum to exactly 1.
    total = math.fsum(cells)
    return tuple(cell / total for cell in cells)
