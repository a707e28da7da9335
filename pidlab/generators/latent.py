"""Generators that draw latents, label them and render them as observations."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import ATOMS
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.generator import Generator, Sample, ViewInformation, generic_view
from pidlab.generators.parameters import check_policy, check_rendering, check_sample
from pidlab.seeds import child, torch_generator

# Fewest rows that a `task` view draws at once to match given labels.
POOL = 1024

# Noise is truncated at this fraction of half the gap, so that rounding cannot change a symbol.
MARGIN = 0.98

# The `independent` view of FactorCL's released code: one of these per row.
CHOICES = ("swap", "noise", "drop", "same")
# Standard deviation of its noise; the fraction of dropped numbers is 1 / INDEPENDENT_DROP.
INDEPENDENT_NOISE, INDEPENDENT_DROP = 0.01, 10


class Latent(Generator):
    """A generator that draws latents, computes labels from them and renders observations.

    Views: `task` keeps the labels and redraws everything else from p(latents | labels); `noise` keeps the
    latents and renders them again; `generic` corrupts the observations.
    """

    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "generic")

    @abstractmethod
    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """Draw the latents of `n` rows.

        Args:
            n: Number of rows.
            seed: Seed of the draw.
            split: ``"train"`` or ``"eval"``.
            device: Device of the tensors.

        Returns:
            Latents by name, the sample axis last.
        """

    @abstractmethod
    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the class indices of every target, shape (n,) each."""

    @abstractmethod
    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        """Render the latents as observations.

        Args:
            latents: Latents by name, the sample axis last.
            seed: Seed of noise and nuisance.

        Returns:
            One tensor per modality, shape (n, d) or (n, channels, height, width).
        """

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """Return the noiseless symbols of each target, one tensor per modality; empty by default."""
        return {}

    def ingredients(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class indices of the auxiliary targets; empty by default."""
        return {}

    def cells(self, latents: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return all symbols of each modality as one number if there are `cell_laws`; empty by default."""
        return ()

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        check_sample(n, split)
        latents = self.draw(n, seed, split, device)
        return self._render(latents, self.labels(latents), seed)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        check_policy(self, policy)
        if policy == "generic":
            return generic_view(sample, seed)
        latents = self.redraw(sample, seed) if policy == "task" else sample.latents
        return self._render(latents, sample.targets, seed)

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Draw latents from p(latents | labels) of the split ``"eval"``, by rejection.

        Each pool of fresh rows fills the rows whose label occurs in it. A pool is as large as the sample,
        so that few pools are needed for rare labels.

        Args:
            sample: Rows whose labels are kept.
            seed: Seed of the draw.

        Returns:
            Latents by name, the sample axis last.
        """
        wanted = sample.y
        redrawn = {name: torch.empty_like(t) for name, t in sample.latents.items()}
        missing = torch.arange(len(wanted), device=wanted.device)
        for attempt in count():
            if not len(missing):
                break
            fresh = self.draw(max(len(wanted), POOL), child(seed, "again", attempt), "eval", wanted.device)
            labels = Sample((), self.labels(fresh), sample.classes).y
            to, source = match_labels(wanted[missing], labels)
            for name, t in redrawn.items():
                t[..., missing[to]] = fresh[name][..., source]
            is_left = torch.ones(len(missing), dtype=torch.bool, device=wanted.device)
            is_left[to] = False
            missing = missing[is_left]
        return redrawn

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) under a policy, in bits; None where they are not known exactly.

        Under `task` and `noise` the view has the distribution of X given the labels, so I(X';T) = I(X;T).
        Under `task`, I(X;X') is the information of the view about T; it is H(T) if X determines T.
        """
        if policy == "generic":
            return super().view_information(policy)
        check_policy(self, policy)
        information = {}
        for name, target in self.target_specs.items():
            bits = target.information[0, 1]
            is_determined = math.isclose(bits, target.entropy, abs_tol=1e-12)
            between = target.entropy if policy == "task" and is_determined else None
            information[name] = ViewInformation(between, bits)
        return information

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of classes of every target; sampling needs it without the targets' information."""
        return {name: target.classes for name, target in self.target_specs.items()}

    def _render(self, latents: dict[str, Tensor], labels: dict[str, Tensor], seed: int) -> Sample:
        return Sample(
            self.observe(latents, seed),
            labels,
            self.class_counts,
            latents,
            self.symbols(latents),
            self.ingredients(latents),
            self.cells(latents),
        )


@dataclass(frozen=True, kw_only=True)
class Rendered(Latent):
    """A generator whose latents are coordinates that a random bijection maps to the observation.

    Args:
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers, above 0 and up to 1.
        width: Numbers in an observation.
        world: Seed of the rendering.
    """

    nuisance: int = int(ATOMS["nuisance"])
    depth: int = int(ATOMS["depth"])
    slope: float = ATOMS["slope"]
    width: int = int(ATOMS["width"])
    world: int = 0

    def __post_init__(self) -> None:
        check_rendering(self)
        for m, needed in enumerate(self.coordinates):
            total = needed + self.nuisance
            if total > self.width:
                raise InvalidRequest(
                    f"modality {m + 1} needs {total} dimensions (coordinates {needed}, "
                    f"nuisance {self.nuisance}) but width is {self.width}: ask for {total} or more"
                )

    @property
    @abstractmethod
    def coordinates(self) -> tuple[int, ...]:
        """Number of coordinates of each modality, without nuisance."""

    @abstractmethod
    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """Compute the coordinates of one modality, with noise.

        Args:
            m: Index of the modality.
            latents: Latents by name, the sample axis last.
            generator: Source of the noise.

        Returns:
            Coordinates, shape (coordinates, n).
        """

    @property
    def modalities(self) -> tuple[Vector, ...]:
        return (Vector(self.width),) * len(self.coordinates)

    @property
    def shape_key(self) -> Any:
        return (self.coordinates, self.nuisance, self.depth, self.slope, self.width)

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        latent = next(iter(latents.values()))
        n, device = latent.shape[-1], latent.device
        observed = []
        for m in range(len(self.coordinates)):
            generator = torch_generator(child(seed, "noise", m), device)
            shown = self.show(m, latents, generator)
            nuisance = torch.randn((self.nuisance, n), generator=generator, device=device)
            observed.append(self._renderings[m](torch.cat([shown, nuisance])[None])[0])
        return tuple(observed)

    @cached_property
    def _renderings(self) -> tuple["Rendering", ...]:
        return tuple(
            Rendering(stack_maps([self.world], m, self.depth, self.width), k + self.nuisance, self.slope)
            for m, k in enumerate(self.coordinates)
        )


class Rendering:
    """Random bijection x = Q_depth f(... f(Q_0 [latents, 0])) with leaky ReLUs f.

    The maps Q are scaled so that a coordinate of x has mean square near 1.

    Args:
        maps: Orthogonal maps of every member, shape (members, depth + 1, width, width).
        latents: Number of latent coordinates; the rest of the width is filled with zeros.
        slope: Slope of the leaky ReLU on negative numbers, above 0; 1 makes the rendering linear.
    """

    def __init__(self, maps: Float[Tensor, "members layers width width"], latents: int, slope: float) -> None:
        first, rest = _scales(maps.shape[-1], latents, slope)
        self._layers = [maps[:, 0, :, :latents] * first, *(maps[:, 1:] * rest).unbind(1)]
        self._slope = slope

    def __call__(self, latents: Float[Tensor, "members k n"]) -> Float[Tensor, "members n width"]:
        """Render latents of shape (members, k, n) as observations of shape (members, n, width)."""
        self._layers = [layer.to(latents.device) for layer in self._layers]
        for layer in self._layers[:-1]:
            latents = F.leaky_relu_(layer @ latents, self._slope)
        # Applying the last map from the right makes the rows of x contiguous.
        return latents.mT @ self._layers[-1].mT


def recover_latents(
    x: Float[Tensor, "n width"], maps: Float[Tensor, "layers width width"], latents: int, slope: float
) -> Float[Tensor, "n k"]:
    """Invert a `Rendering`, up to rounding.

    Args:
        x: Observations, shape (n, width).
        maps: Orthogonal maps of the rendering, shape (depth + 1, width, width).
        latents: Number k of latent coordinates.
        slope: Slope of the leaky ReLU on negative numbers.

    Returns:
        Latents, shape (n, k).
    """
    first, rest = _scales(maps.shape[-1], latents, slope)
    for layer in maps[1:].flip(0).unbind():
        x = x @ layer / rest
        x = torch.where(x < 0.0, x / slope, x)
    return x @ maps[0, :, :latents] / first


def _scales(width: int, latents: int, slope: float) -> tuple[float, float]:
    # Of the first map and of the others: they undo the loss of mean square by zeros and by the leaky ReLU.
    return math.sqrt(width / max(latents, 1)), math.sqrt(2.0 / (1.0 + slope * slope))


def orthogonal_maps(world: int, modality: int, depth: int, width: int) -> Float[Tensor, "layers width width"]:
    """Draw the `depth + 1` Haar-distributed orthogonal maps of one modality in one world.

    Args:
        world: Seed of the maps.
        modality: Index of the modality.
        depth: Number of leaky ReLU layers.
        width: Numbers in an observation.

    Returns:
        Orthogonal matrices, shape (depth + 1, width, width).
    """
    generator = torch_generator(child(world, "rendering", modality))
    gaussian = torch.randn(depth + 1, width, width, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    # Without the signs of R the distribution of Q would depend on the QR algorithm.
    return (q * torch.diagonal(r, dim1=-2, dim2=-1).sign()[:, None, :]).float()


def stack_maps(worlds: Sequence[int], modality: int, depth: int, width: int) -> Tensor:
    """Stack the orthogonal maps of several worlds, shape (worlds, depth + 1, width, width)."""
    maps = {world: orthogonal_maps(world, modality, depth, width) for world in dict.fromkeys(worlds)}
    return torch.stack([maps[world] for world in worlds])


def truncated_normal(
    uniform: Float[Tensor, "..."], sd: float, half_gap: float | Tensor = 1.0
) -> Float[Tensor, "..."]:
    """Map uniform draws to normal noise truncated to ±MARGIN half gaps, by the inverse CDF.

    Args:
        uniform: Draws from [0, 1).
        sd: Standard deviation before truncation, in units of half the gap.
        half_gap: Half the distance between two symbol values that must remain distinguishable.

    Returns:
        Noise of the shape of ``uniform``.

    Example:
        >>> truncated_normal(torch.tensor([0.0, 0.5, 0.99]), sd=0.3)
        tensor([-0.9800,  0.0000,  0.6920])
    """
    if sd == 0.0:
        return torch.zeros_like(uniform)
    scale = sd * math.sqrt(2.0)
    normal = torch.erfinv((2.0 * uniform - 1.0) * math.erf(MARGIN / scale))
    limit = torch.as_tensor(MARGIN * half_gap, device=uniform.device)
    # Where erf(MARGIN / scale) rounds to 1, a draw of exactly 0 gives an infinite value.
    return (scale * half_gap * normal).clamp(-limit, limit)


def draw_independent(rows: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the randomness of an `independent` view.

    Args:
        rows: Number of rows.
        width: Numbers in an observation.
        generator: Source of randomness.

    Returns:
        Index into `CHOICES` of each row, its noise, and the mask of the numbers that it keeps.
    """
    device = generator.device
    choice = torch.randint(len(CHOICES), (rows,), generator=generator, device=device)
    noise = torch.randn((rows, width), generator=generator, device=device)
    # The double argsort gives ranks; exactly width // INDEPENDENT_DROP of them are dropped.
    rank = torch.rand((rows, width), generator=generator, device=device).argsort(-1).argsort(-1)
    return choice, INDEPENDENT_NOISE * noise, rank >= width // INDEPENDENT_DROP


def independent_view(
    x: Float[Tensor, "*members n d"], choice: Tensor, noise: Tensor, kept: Tensor
) -> Float[Tensor, "*members n d"]:
    """Swap the halves of each row, add noise, drop numbers, or keep it (FactorCL's released code).

    Swap and identity keep all information and the noise nearly all, so I(X;X') is far above I(X;Y).

    Args:
        x: Observations, shape (*members, n, d).
        choice: Index into `CHOICES` of each row.
        noise: Noise of each row.
        kept: Mask of the numbers that each row keeps.

    Returns:
        Views of the shape of ``x``.
    """
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    options = torch.stack([swapped, x + noise, x * kept, x])
    picked = choice[None, ..., None].expand(1, *x.shape)
    return options.gather(0, picked)[0]


def match_labels(wanted: Tensor, offered: Tensor) -> tuple[Tensor, Tensor]:
    """Pair equal labels of two lists; every element is used at most once.

    Args:
        wanted: Class indices, shape (n,).
        offered: Class indices, shape (m,).

    Returns:
        Indices into ``wanted`` and into ``offered`` of as many pairs as there are.

    Example:
        >>> match_labels(torch.tensor([1, 0, 1]), torch.tensor([2, 1, 0]))
        (tensor([1, 0]), tensor([2, 1]))
    """
    order_w, order_o = (labels.argsort(stable=True) for labels in (wanted, offered))
    rank_w, rank_o = (_rank(labels[order]) for labels, order in ((wanted, order_w), (offered, order_o)))
    # One sorted key per (label, rank within the label); equal keys are pairs.
    most = max(len(wanted), len(offered))
    key_w, key_o = wanted[order_w] * most + rank_w, offered[order_o] * most + rank_o
    place = torch.searchsorted(key_o, key_w).clamp(max=len(key_o) - 1)
    is_paired = key_o[place] == key_w
    return order_w[is_paired], order_o[place[is_paired]]


def _rank(ordered: Tensor) -> Tensor:
    """Return each element's rank among its equals in a sorted tensor."""
    return torch.arange(len(ordered), device=ordered.device) - torch.searchsorted(ordered, ordered)
