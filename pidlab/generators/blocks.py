"""Shared and unique Gaussian features with a label cut from the sum of chosen features."""

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
from pidlab.generators.generator import Target, target_from_truth
from pidlab.generators.latent import Latent
from pidlab.generators.parameters import check_classes, check_nonnegative, check_whole
from pidlab.info.gaussian_decomposition import equal_edges, quantized_decomposition
from pidlab.io import check_memory
from pidlab.seeds import child, torch_generator

BLOCKS = ("shared", "unique1", "unique2")
VARIANCE = 0.5  # of a feature


@dataclass(frozen=True, kw_only=True)
class Blocks(Latent):
    """X_m = [shared, unique_m] T_m with features from N(0, 1/2) and fixed injective T_m.

    Y is the equal-mass bin of the sum of the chosen features; for two classes, Y = 1[mean >= 0]. The sums
    that each modality sees are sufficient statistics, so the truth is exact up to a one-dimensional
    quadrature (`pidlab.info.pmf`).

    Args:
        noise: Standard deviation of normal noise on every feature, drawn for each modality separately
            before T_m. If it is 0, I(X1;X2) is infinite as soon as a feature is shared.
        classes: Number of classes of the label.
        world: Seed of the transforms.
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
                f"{self.name}: the label depends on no feature (shared, unique1, unique2); choose one or more"
            )

    @property
    @abstractmethod
    def features(self) -> tuple[int, int, int]:
        """Number of features in the blocks shared, unique1, unique2."""

    @property
    @abstractmethod
    def chosen_features(self) -> tuple[int, int, int]:
        """Number of features of each block that the label depends on, the first ones of the block."""

    @property
    @abstractmethod
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        """Linear maps T_1 and T_2 from features to observations."""

    @property
    def policies(self) -> tuple[str, ...]:  # type: ignore[override]
        """View policies; without noise a `noise` view would equal the sample."""
        return ("task", "noise", "generic") if self.noise else ("task", "generic")

    @property
    def modalities(self) -> tuple[Vector, ...]:
        return tuple(Vector(transform.shape[1]) for transform in self._transforms)

    @property
    def truth(self) -> Decomposition:
        shared, own1, own2 = self.chosen_features
        total = shared + own1 + own2
        # Explained variance of a feature that one modality observes, and that both observe.
        once, twice = (VARIANCE / (VARIANCE + self.noise**2 / looks) for looks in (1, 2))
        return quantized_decomposition(
            (shared + own1) * once / total,
            (shared + own2) * once / total,
            (shared * twice + (own1 + own2) * once) / total,
            self.classes,
        )

    @property
    def target_specs(self) -> dict[str, Target]:
        return {"y": target_from_truth(self.truth, (1.0 / self.classes,) * self.classes)}

    @property
    def class_counts(self) -> dict[str, int]:
        return {"y": self.classes}

    @property
    def between_modalities(self) -> float:
        """I(X1;X2) in bits; infinite if features are shared without noise."""
        shared = self.features[0]
        if not shared or not self.noise:
            return math.inf if shared else 0.0
        correlation = VARIANCE / (VARIANCE + self.noise**2)
        return -0.5 * shared * math.log2(1.0 - correlation**2)

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
        return {"y": bin_of_sum(self.choose(latents), self.classes)}

    def choose(self, latents: dict[str, Tensor]) -> Float[Tensor, "d n"]:
        """Select the features that the label depends on."""
        return torch.cat([latents[b][:k] for b, k in zip(BLOCKS, self.chosen_features, strict=True)])

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        observed = []
        for m, unique in enumerate(("unique1", "unique2")):
            features = torch.cat([latents["shared"], latents[unique]])
            device = features.device
            if self.noise:
                generator = torch_generator(child(seed, "noise", m), device)
                features = features + self.noise * torch.randn(
                    features.shape, generator=generator, device=device
                )
            observed.append(features.mT @ self._transforms[m].to(device))
        return tuple(observed)

    @cached_property
    def _transforms(self) -> tuple[Tensor, Tensor]:
        return self.transforms


def bin_of_sum(features: Float[Tensor, "d n"], classes: int) -> Int[Tensor, " n"]:
    """Return the equal-mass bin of the sum of independent N(0, 1/2) features.

    Args:
        features: Features, shape (d, n).
        classes: Number of bins.

    Returns:
        Index of the bin of each row, shape (n,).

    Example:
        >>> bin_of_sum(torch.tensor([[-1.0, 0.2], [0.5, 0.1]]), classes=2)
        tensor([0, 1])
    """
    edges = torch.as_tensor(equal_edges(classes), dtype=torch.float32, device=features.device)
    total = features.sum(0) / math.sqrt(VARIANCE * len(features))
    return torch.bucketize(total, edges, right=True)


def uniform_matrix(
    world: int, name: str, m: int, rows: int, columns: int, least: float = 0.0
) -> Float[Tensor, "rows columns"]:
    """Draw a random matrix of a world with entries uniform on [least, 1).

    Args:
        world: Seed of the matrix.
        name: Name of the matrix.
        m: Index of the modality.
        rows: Number of rows.
        columns: Number of columns.
        least: Smallest entry.

    Returns:
        The matrix, shape (rows, columns).
    """
    drawn = torch.rand(rows, columns, generator=torch_generator(child(world, name, m)))
    return least + (1.0 - least) * drawn


def check_injective(m: int, rows: int, width: int) -> None:
    """Require that a linear map from `rows` features to `width` numbers can be injective.

    Args:
        m: Index of the modality.
        rows: Number of features.
        width: Numbers in an observation.

    Raises:
        InvalidRequest: If there are more features than numbers, or the map needs too much memory.
    """
    if rows > width:
        raise InvalidRequest(
            f"modality {m + 1} has {rows} features but width is {width}: "
            f"ask for fewer features or for a width of {rows} or more"
        )
    check_memory(f"width = {width}", 8 * rows * width)  # of the matrix and its product
