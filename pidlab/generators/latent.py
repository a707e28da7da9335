"""Generators that draw latents, label them and show them: what they have in common."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.defaults import ATOMS
from pidlab.errors import InvalidRequest
from pidlab.generators.base import Generator, Sample, Target, ViewInformation
from pidlab.generators.checks import check_bijection, check_policy, check_sample
from pidlab.generators.noise import corrupted
from pidlab.generators.rendering import Rendering, stack_maps
from pidlab.info import entropy
from pidlab.modality import Vector
from pidlab.seeds import child, torch_generator

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
        """The class numbers of what stands `beside` the targets; none by default."""
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
        depth: leaky ReLU layers of the rendering (`pidlab.generators.rendering`).
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
    def signature(self) -> Any:
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
