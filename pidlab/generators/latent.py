"""Generators that draw latents, label them and show them: what they have in common."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.defaults import ATOMS
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.base import (
    Generator,
    Sample,
    Target,
    ViewInformation,
    check_bijection,
    check_policy,
    check_sample,
)
from pidlab.info import entropy
from pidlab.seeds import child, torch_generator


def orthogonal_maps(world: int, modality: int, depth: int, width: int) -> Float[Tensor, "layers width width"]:
    """The `depth + 1` random orthogonal maps of one modality in one world (Haar, by QR)."""
    generator = torch_generator(child(world, "rendering", modality))
    gaussian = torch.randn(depth + 1, width, width, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    # Without the signs of R the law of Q would depend on the QR algorithm.
    return (q * torch.diagonal(r, dim1=-2, dim2=-1).sign()[:, None, :]).float()


class Rendering:
    """x = Q_depth f(... f(Q_0 [latents, 0])), f the leaky ReLU: injective, with rows of unit scale.

    Args:
        maps: orthogonal maps of every member, (members, depth + 1, width, width).
        latents: number of latent coordinates; the rest of the width is filled with zeros.
        slope: slope of the leaky ReLU on negative numbers, above 0; 1 makes the rendering linear.
    """

    def __init__(self, maps: Float[Tensor, "members layers width width"], latents: int, slope: float) -> None:
        scale, rest = _scales(maps.shape[-1], latents, slope)
        self._layers = [maps[:, 0, :, :latents] * scale, *(maps[:, 1:] * rest).unbind(1)]
        self._slope = slope

    def __call__(self, latents: Float[Tensor, "members k n"]) -> Float[Tensor, "members n width"]:
        self._layers = [layer.to(latents.device) for layer in self._layers]
        for layer in self._layers[:-1]:
            latents = F.leaky_relu_(layer @ latents, self._slope)
        # The last map is applied from the right, so that observations come out row by row.
        return latents.mT @ self._layers[-1].mT


def _scales(width: int, latents: int, slope: float) -> tuple[float, float]:
    """Of the first map and of the others: they keep the mean square of a coordinate near 1."""
    return math.sqrt(width / max(latents, 1)), math.sqrt(2.0 / (1.0 + slope * slope))


def recovered(
    x: Float[Tensor, "n width"], maps: Float[Tensor, "layers width width"], latents: int, slope: float
) -> Float[Tensor, "n k"]:
    """The latents that a `Rendering` by these maps shows as x: its inverse, up to rounding."""
    scale, rest = _scales(maps.shape[-1], latents, slope)
    for layer in maps[1:].flip(0).unbind():
        x = x @ layer / rest
        x = torch.where(x < 0.0, x / slope, x)
    return x @ maps[0, :, :latents] / scale


def stack_maps(worlds: Sequence[int], modality: int, depth: int, width: int) -> Tensor:
    """The maps of every member; each world is built once."""
    built = {world: orthogonal_maps(world, modality, depth, width) for world in dict.fromkeys(worlds)}
    return torch.stack([built[world] for world in worlds])


# Noise stops at this part of half the gap, so that rounding cannot carry a symbol across it.
MARGIN = 0.98

# The `generic` view: normal noise of this size, then coordinates dropped with this probability.
GENERIC_NOISE, GENERIC_DROP = 0.1, 0.2

# The `independent` view of FactorCL's released code: one of these for each row, with noise of this size
# or with this part of the numbers dropped.
CHOICES = ("swap", "noise", "drop", "same")
INDEPENDENT_NOISE, DROPPED_PART = 0.01, 10


def truncated_normal(
    uniform: Float[Tensor, "..."], sd: float, half_gap: float | Tensor = 1.0
) -> Float[Tensor, "..."]:
    """Normal noise truncated to ±MARGIN half gaps, by the inverse of its distribution function.

    Args:
        uniform: draws from [0, 1).
        sd: standard deviation before truncation, in units of half the gap.
        half_gap: half the distance between two values that must stay apart.
    """
    if sd == 0.0:
        return torch.zeros_like(uniform)
    scale = sd * math.sqrt(2.0)
    normal = torch.erfinv((2.0 * uniform - 1.0) * math.erf(MARGIN / scale))
    limit = torch.as_tensor(MARGIN * half_gap, device=uniform.device)
    # A draw of exactly 0 is infinitely far out where the distribution function rounds to 1.
    return (scale * half_gap * normal).clamp(-limit, limit)


def independent_draws(rows: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What an `independent` view draws: each row's choice of four, its noise, and which numbers stay."""
    device = generator.device
    choice = torch.randint(len(CHOICES), (rows,), generator=generator, device=device)
    noise = torch.randn((rows, width), generator=generator, device=device)
    rank = torch.rand((rows, width), generator=generator, device=device).argsort(-1).argsort(-1)
    return choice, INDEPENDENT_NOISE * noise, rank >= width // DROPPED_PART


def independent_view(
    x: Float[Tensor, "*members n d"], choice: Tensor, noise: Tensor, kept: Tensor
) -> Float[Tensor, "*members n d"]:
    """Each row on its own is swapped (its halves), noised, thinned or left as it is (FactorCL's code).

    A swap and the identity keep all information, the noise nearly all, so I(X;X') is far above I(X;Y).
    """
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    options = torch.stack([swapped, x + noise, x * kept, x])
    picked = choice[None, ..., None].expand(1, *x.shape)
    return options.gather(0, picked)[0]


def corruption(shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the `generic` view adds to observations, and which coordinates it keeps."""
    noise = torch.randn(shape, generator=generator, device=generator.device)
    kept = torch.rand(shape, generator=generator, device=generator.device) >= GENERIC_DROP
    return GENERIC_NOISE * noise, kept


def corrupted(sample: Sample, seed: int) -> Sample:
    """The `generic` view of one member's sample: works on the observations, knows nothing of latents."""
    x = []
    for m, clean in enumerate(sample.x):
        noise, kept = corruption(clean.shape, torch_generator(child(seed, "generic", m), clean.device))
        x.append((clean + noise) * kept)
    return replace(sample, x=tuple(x))


# Fewest rows that a `task` view draws at once in search of given labels.
POOL = 1024


class Latent(Generator):
    """A generator whose rows are latents, labels made of them, and observations that show them.

    Views: `task` keeps the labels and draws all else afresh from p(latents | labels); `noise` keeps the
    latents and shows them again; `generic` works on the observation.
    """

    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "generic")

    @abstractmethod
    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """Latents of n rows by name, the sample axis last."""

    @abstractmethod
    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """The class numbers of every target."""

    @abstractmethod
    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        """What every modality shows of the latents, (n, d) each; noise and nuisance come from `seed`."""

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """The noiseless symbols behind each target, one tensor per modality; none by default."""
        return {}

    def ingredients(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """The class numbers of what stands `auxiliary_targets` the targets; none by default."""
        return {}

    def cells(self, latents: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Every modality's symbols as one number, where there are `cell_laws`; none by default."""
        return ()

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draws `n` samples.

        Raises:
            InvalidRequest: fewer than one sample, or an unknown split.
        """
        check_sample(n, split)
        latents = self.draw(n, seed, split, device)
        return self._shown(latents, self.labels(latents), seed)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a view of every row under `task`, `noise` or `generic`.

        Raises:
            InvalidRequest: a policy that it does not offer.
        """
        check_policy(self, policy)
        if policy == "generic":
            return corrupted(sample, seed)
        latents = self.redraw(sample, seed) if policy == "task" else sample.latents
        return self._shown(latents, sample.targets, seed)

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Latents drawn afresh from p(latents | labels), of the law of `"eval"`.

        By rejection: pools of fresh rows, of which each row takes one of its own label. A pool is as
        large as the sample, so that a label that is rare is rarely looked for.
        """
        wanted = sample.y
        found = {name: torch.empty_like(t) for name, t in sample.latents.items()}
        missing = torch.arange(len(wanted), device=wanted.device)
        for attempt in count():
            if not len(missing):
                break
            fresh = self.draw(max(len(wanted), POOL), child(seed, "again", attempt), "eval", wanted.device)
            labels = Sample((), self.labels(fresh), sample.classes).y
            here, there = matched(wanted[missing], labels)
            for name, t in found.items():
                t[..., missing[here]] = fresh[name][..., there]
            left = torch.ones(len(missing), dtype=torch.bool, device=wanted.device)
            left[here] = False
            missing = missing[left]
        return found

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';Y) under a policy, in bits; None where they are not known.

        Under `task` and `noise` the view has the law of the observation given the labels, so
        I(X';Y) = I(X;Y). Under `task` the view knows of X what Y tells, which is Y where X determines it.
        """
        check_policy(self, policy)
        if policy == "generic":
            return {name: ViewInformation(None, None) for name in self.targets}
        stated = {}
        for name, target in self.targets.items():
            known = target.information[0, 1]
            determined = math.isclose(known, target.entropy, abs_tol=1e-12)
            between = target.entropy if policy == "task" and determined else None
            stated[name] = ViewInformation(between, known)
        return stated

    @property
    def class_counts(self) -> dict[str, int]:
        """Classes of every target; for those who draw, whom the targets' information need not concern."""
        return {name: target.classes for name, target in self.targets.items()}

    def _shown(self, latents: dict[str, Tensor], labels: dict[str, Tensor], seed: int) -> Sample:
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
    """A generator whose latents are coordinates, carried with nuisance to `width` by a random bijection.

    Args:
        nuisance: private normal coordinates in each modality.
        depth: leaky ReLU layers of the rendering (`pidlab.generators.latent`).
        slope: their slope on negative numbers.
        width: numbers in an observation.
        world: which random rendering.
    """

    nuisance: int = int(ATOMS["nuisance"])
    depth: int = int(ATOMS["depth"])
    slope: float = ATOMS["slope"]
    width: int = int(ATOMS["width"])
    world: int = 0

    def __post_init__(self) -> None:
        check_bijection(self)
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
        """Coordinates of each modality, nuisance left out."""

    @abstractmethod
    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """The coordinates of modality m, (coordinates, n), with what noise they have."""

    @property
    def modalities(self) -> tuple[Vector, ...]:
        return (Vector(self.width),) * len(self.coordinates)

    @property
    def shape_key(self) -> Any:
        return (self.coordinates, self.nuisance, self.depth, self.slope, self.width)

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        some = next(iter(latents.values()))
        observed = []
        for m in range(len(self.coordinates)):
            generator = torch_generator(child(seed, "noise", m), some.device)
            shown = self.show(m, latents, generator)
            nuisance = torch.randn((self.nuisance, some.shape[-1]), generator=generator, device=some.device)
            observed.append(self._renderings[m](torch.cat([shown, nuisance])[None])[0])
        return tuple(observed)

    @cached_property
    def _renderings(self) -> tuple[Rendering, ...]:
        return tuple(
            Rendering(stack_maps([self.world], m, self.depth, self.width), k + self.nuisance, self.slope)
            for m, k in enumerate(self.coordinates)
        )


def one_target(truth: Decomposition, prior: tuple[float, ...], name: str = "y") -> Target:
    """The target that a decomposition is of; its entropy is that of the prior."""
    held = {(0,): truth.mi1, (1,): truth.mi2, (0, 1): truth.total}
    return Target(name, prior, float(entropy(np.array(prior))), {k: float(v) for k, v in held.items()})


def matched(wanted: Tensor, offered: Tensor) -> tuple[Tensor, Tensor]:
    """Places in `wanted` and in `offered` that hold equal labels, each used once, as many as there are."""
    order_w, order_o = (labels.argsort(stable=True) for labels in (wanted, offered))
    rank_w, rank_o = (_rank(labels[order]) for labels, order in ((wanted, order_w), (offered, order_o)))
    # (label, rank) pairs that stand on both sides.
    most = max(len(wanted), len(offered))
    key_w, key_o = wanted[order_w] * most + rank_w, offered[order_o] * most + rank_o
    place = torch.searchsorted(key_o, key_w).clamp(max=len(key_o) - 1)
    met = key_o[place] == key_w
    return order_w[met], order_o[place[met]]


def _rank(ordered: Tensor) -> Tensor:
    """Each element's place among those equal to it, in a sorted tensor."""
    return torch.arange(len(ordered), device=ordered.device) - torch.searchsorted(ordered, ordered)
