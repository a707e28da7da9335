"""Gaussian blocks, shared and own, and a label cut from the sum of chosen features."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.base import Target, check_classes, check_nonnegative, check_whole
from pidlab.generators.latent import Latent, one_target
from pidlab.info.gaussian import equal_edges, quantized_decomposition
from pidlab.seeds import child, torch_generator

BLOCKS = ("shared", "unique1", "unique2")
VARIANCE = 0.5  # of a feature


@dataclass(frozen=True, kw_only=True)
class Blocks(Latent):
    """X_m = [shared, unique_m] T_m, features N(0, 1/2) each, T_m fixed and injective.

    Y is the bin of equal mass that the sum of `chosen` features falls into; for two classes
    Y = 1[mean >= 0]. The sums that the modalities see are sufficient, so the truth is exact up to a
    one-dimensional quadrature (`pidlab.info.pmf`).

    Args:
        noise: standard deviation of normal noise on every feature, drawn for each modality on its own
            before T_m; 0 makes I(X1;X2) infinite as soon as a feature is shared.
        classes: bins of the label.
        world: which transforms.
    """

    noise: float = 0.0
    classes: int = 2
    world: int = 0

    def __post_init__(self) -> None:
        check_nonnegative(self, "noise")
        check_classes(self)
        check_whole(self, world=0)
        if not sum(self.chosen_features):
            raise InvalidRequest(
                f"{self.name}: the label is made of no feature at all (shared, unique1, unique2): "
                "choose one or more"
            )

    @property
    @abstractmethod
    def features(self) -> tuple[int, int, int]:
        """Features in the blocks shared, unique1, unique2."""

    @property
    @abstractmethod
    def chosen_features(self) -> tuple[int, int, int]:
        """How many of them, the first ones of each block, the label is made of."""

    @property
    @abstractmethod
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        """T_1 and T_2."""

    # Without noise a view under `noise` would be the sample itself.
    @property
    def policies(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("task", "noise", "generic") if self.noise else ("task", "generic")

    @property
    def modalities(self) -> tuple[Vector, ...]:
        return tuple(Vector(transform.shape[1]) for transform in self._transforms)

    @property
    def truth(self) -> Decomposition:
        shared, own1, own2 = self.chosen_features
        every = shared + own1 + own2
        once, twice = (VARIANCE / (VARIANCE + self.noise**2 / looks) for looks in (1, 2))
        return quantized_decomposition(
            (shared + own1) * once / every,
            (shared + own2) * once / every,
            (shared * twice + (own1 + own2) * once) / every,
            self.classes,
        )

    @property
    def targets(self) -> dict[str, Target]:
        """The one target, y."""
        return {"y": one_target(self.truth, (1.0 / self.classes,) * self.classes)}

    @property
    def class_counts(self) -> dict[str, int]:
        return {"y": self.classes}

    @property
    def between_modalities(self) -> float:
        """I(X1;X2) in bits: infinite where features are shared without noise."""
        shared = self.features[0]
        if not shared or not self.noise:
            return math.inf if shared else 0.0
        seen = VARIANCE / (VARIANCE + self.noise**2)
        return -0.5 * shared * math.log2(1.0 - seen**2)

    @property
    def shape_key(self) -> Any:
        return (self.features, tuple(m.dim for m in self.modalities), self.classes)

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        return {
            block: math.sqrt(VARIANCE)
            * torch.randn((count, n), generator=torch_generator(child(seed, block), device), device=device)
            for block, count in zip(BLOCKS, self.features, strict=True)
        }

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = [latents[b][:k] for b, k in zip(BLOCKS, self.chosen_features, strict=True)]
        return {"y": bin_of_sum(torch.cat(chosen), self.classes)}

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        observed = []
        for m, own in enumerate(("unique1", "unique2")):
            seen = torch.cat([latents["shared"], latents[own]])
            if self.noise:
                generator = torch_generator(child(seed, "noise", m), seen.device)
                seen = seen + self.noise * torch.randn(seen.shape, generator=generator, device=seen.device)
            observed.append(seen.mT @ self._transforms[m].to(seen.device))
        return tuple(observed)

    @cached_property
    def _transforms(self) -> tuple[Tensor, Tensor]:
        return self.transforms


def bin_of_sum(features: Float[Tensor, "d n"], classes: int) -> Int[Tensor, " n"]:
    """The bin of equal mass that the sum of independent N(0, 1/2) features falls into."""
    edges = torch.as_tensor(equal_edges(classes), dtype=torch.float32, device=features.device)
    total = features.sum(0) / math.sqrt(VARIANCE * len(features))
    return torch.bucketize(total, edges, right=True)


def uniform_matrix(
    world: int, name: str, m: int, rows: int, columns: int, least: float = 0.0
) -> Float[Tensor, "rows columns"]:
    """A random matrix of a world, entries uniform on [least, 1)."""
    drawn = torch.rand(rows, columns, generator=torch_generator(child(world, name, m)))
    return least + (1.0 - least) * drawn


def check_fits(m: int, rows: int, width: int) -> None:
    """Checks that a linear map of `rows` features into `width` numbers can be injective.

    Raises:
        InvalidRequest: it cannot.
    """
    if rows > width:
        raise InvalidRequest(
            f"modality {m + 1} has {rows} features but width is {width}: "
            f"ask for fewer features or for a width of {rows} or more"
        )
