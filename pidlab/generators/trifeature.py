"""Bimodal Trifeature: pairs of images that share a shape."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Image
from pidlab.errors import InvalidRequest
from pidlab.generators import trifeature_images as images
from pidlab.generators.generator import Sample, Target, ViewInformation
from pidlab.generators.latent import Latent
from pidlab.generators.parameters import check_policy, check_probability, check_whole
from pidlab.info import binary_entropy, decompose
from pidlab.io import check_memory
from pidlab.seeds import child, torch_generator

KINDS = 10  # of shapes, textures and colors each
# The names of the color factors are those in stored files.
FACTORS: tuple[str, ...] = ("shape", "texture1", "texture2", "colour1", "colour2")


@dataclass(frozen=True)
class Trifeature(Latent):
    """Pairs of images of a textured, colored shape; both images of a pair have the same shape.

    Distribution: ten shapes, textures and colors, uniform and independent except that the two images
    share their shape. Position, rotations of shape and texture, and phase of the texture are drawn for each
    image and are nuisance. Images are rendered without noise (`pidlab.generators.trifeature_images`), so
    that the factors are functions of the images.

    The targets are four *separate tasks*, each with its own truth by design, in bits:

    - `redundant`: the shape, R = log2 10;
    - `unique1`, `unique2`: the texture of one image, U = log2 10;
    - `synergy`: 1[color2 = M(texture1)], S = h(1/10) = 0.469, with a bijection M; texture1 and color2 are
      each independent of the label.

    `truth` combines the four tasks. They are not parts of one Y: given the images, texture1 and the label of
    `synergy` are not independent. `joint_truth` is the decomposition of all four as one label; it has no
    synergy.

    Views: `noise` keeps all factors and redraws position, rotations and phase. `task` keeps only what the
    tasks depend on: it also redraws the colors, the second one such that the label does not change. `crop`,
    `flip`, `blur`, `jitter` and `grayscale` (`pidlab.generators.trifeature_images`) augment the image;
    `generic` is all five. Crop cuts shapes and changes the scale of textures. Flip keeps everything, as
    every shape and texture is its own mirror image. Blur weakens textures. Jitter rotates the hue, so that
    in 4 of 5 views two colors are equally likely. Grayscale erases the color in 1 of 5 views, because all
    colors have one luminance.

    Args:
        size: Pixels per side; published work uses 32 to 224.
        period: Period of the textures as a fraction of the side, so that the size changes only the
            resolution.
        rotation: Largest rotation of a shape and of a texture, in degrees, in both directions.
        biased: Whether all training pairs (split ``"train"``) have color2 = M(texture1), as in the paper's
            study of synergy. This plants log2 10 bits of redundancy between texture1 and color2
            (`planted_bits`) and leaves the label no entropy in training. The truth is that of ``"eval"``.
        world: Seed of the assignment of pictures to class indices, and therefore of M, which maps a texture
            to the color of the same index.

    Raises:
        InvalidRequest: If a value is out of range, or the images are too small for the finest texture.

    Source:
        B. Dufumier, J. Castillo-Navarro, D. Tuia, J.-P. Thiran, What to align in multimodal contrastive
        learning?, ICLR 2025 (arXiv 2409.07402), after K. Hermann, A. Lampinen, What shapes feature
        representations?, NeurIPS 2020 (arXiv 2006.12433).

    Example:
        >>> {term: round(bits, 3) for term, bits in Trifeature().truth.terms.items()}
        {'redundant': 3.322, 'unique1': 3.322, 'unique2': 3.322, 'synergy': 0.469}
        >>> tuple(Trifeature(size=32).sample(2).x1.shape)
        (2, 3, 32, 32)
    """

    name: ClassVar[str] = "trifeature"
    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "generic", *images.POLICIES)

    size: int = 32
    period: float = 1 / 6
    rotation: float = 45.0
    biased: bool = False
    world: int = 0

    def __post_init__(self) -> None:
        check_whole(self, size=1, world=0)
        check_memory(f"size = {self.size}", 8 * 3 * self.size**2)  # of one image and its texture
        check_probability(self, "period")
        if not isinstance(self.rotation, (int, float)) or not 0 <= self.rotation <= 180:
            raise InvalidRequest(f"rotation = {self.rotation!r}: expected degrees, 0 to 180")
        if not isinstance(self.biased, bool):
            raise InvalidRequest(f"biased = {self.biased!r}: expected True or False")
        if not 0 < self.period <= images.RADIUS:
            raise InvalidRequest(
                f"period = {self.period:g}: expected above 0 and up to {images.RADIUS:.3g} sides, "
                "so that a shape shows two periods"
            )
        # Nyquist: with two pixels per wave or fewer, a wave can vanish between the pixels.
        if self.period * self.size <= 2.0 * images.HIGHEST:
            least = math.floor(2.0 * images.HIGHEST / self.period) + 1
            pixels = self.period * self.size / images.HIGHEST
            raise InvalidRequest(
                f"size = {self.size}: the finest texture has {pixels:.3g} pixels per wave and aliases at 2 "
                f"or fewer; ask for size = {least} or more, or a longer period"
            )

    @property
    def modalities(self) -> tuple[Image, Image]:
        return (Image(3, self.size, self.size), Image(3, self.size, self.size))

    @property
    def shape_key(self) -> tuple[int]:
        return (self.size,)

    @property
    def truth(self) -> Decomposition:
        bits = math.log2(KINDS)
        return Decomposition(bits, bits, bits, binary_entropy(1 / KINDS))

    @property
    def joint_truth(self) -> Decomposition:
        """Decomposition of all targets as one Y, in bits; it is not the sum of the tasks' truths.

        X1 determines texture1. Together with the label this gives h(1/10) bits about color2, so these bits
        are unique to X2 instead of synergistic.
        """
        bits = math.log2(KINDS)
        return Decomposition(bits, bits, bits + binary_entropy(1 / KINDS), 0.0)

    @property
    def planted_bits(self) -> float:
        """Redundant bits between texture1 and color2 in the training pairs."""
        return math.log2(KINDS) if self.biased else 0.0

    @property
    def target_specs(self) -> dict[str, Target]:
        uniform, rare = (1 / KINDS,) * KINDS, (1 - 1 / KINDS, 1 / KINDS)
        bits, label = math.log2(KINDS), binary_entropy(1 / KINDS)
        sources = {"redundant": (bits, bits), "unique1": (bits, 0.0), "unique2": (0.0, bits)}
        tasks = {
            name: Target(name, uniform, bits, {(0,): first, (1,): second, (0, 1): bits})
            for name, (first, second) in sources.items()
        }
        return {**tasks, "synergy": Target("synergy", rare, label, {(0,): 0.0, (1,): 0.0, (0, 1): label})}

    def solve(self) -> Decomposition:
        """Decompose the law of each task numerically and add the results."""
        same = np.eye(KINDS) / KINDS
        label = np.stack([1.0 - np.eye(KINDS), np.eye(KINDS)], axis=-1) / KINDS**2
        shared = np.einsum("xy,xz->xyz", same, np.eye(KINDS))
        laws = (shared, same[:, None, :], same[None, :, :], label)
        first, *others = (decompose(law) for law in laws)
        return sum(others, start=first)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') of each task's factors and I(X';T), in bits; None if not known exactly.

        `noise` and `flip` keep every factor. `task` keeps texture1 and whether color2 is that of texture1:
        log2 10 + h(1/10). `grayscale` erases the colors in 0.2 of the views: I(color;color') = 0.8 log2 10
        and I(X';T) = 0.8 h(1/10). `jitter` leaves two equally likely colors in 0.8 of the views, because the
        hue is uniform over two steps of the palette. It costs 0.8 bits of log2 10. It costs 0.8 * 2/10 bits
        of h(1/10), because the label is a fair bit if M(texture1) is one of the two colors. The effect of
        `crop`, `blur` and `generic` is not known exactly.
        """
        if policy in ("generic", "crop", "blur"):
            return super(Latent, self).view_information(policy)
        check_policy(self, policy)
        bits, label = math.log2(KINDS), binary_entropy(1 / KINDS)
        information = {name: ViewInformation(bits, bits) for name in ("redundant", "unique1", "unique2")}
        lost, lost_label = 0.0, 0.0
        if policy == "grayscale":
            lost, lost_label = images.GRAY * bits, images.GRAY * label
        elif policy == "jitter":
            lost, lost_label = images.JITTERED, images.JITTERED * 2 / KINDS
        elif policy == "task":
            lost = bits - label
        return information | {"synergy": ViewInformation(2 * bits - lost, label - lost_label)}

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        generator = torch_generator(child(seed, "factors"), device)
        drawn = torch.randint(KINDS, (len(FACTORS), n), generator=generator, device=device)
        factors = dict(zip(FACTORS, drawn, strict=True))
        if self.biased and split == "train":
            factors["colour2"] = factors["texture1"]
        return factors

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        is_paired = latents["colour2"] == latents["texture1"]
        tasks = (latents["shape"], latents["texture1"], latents["texture2"], is_paired.long())
        return dict(zip(self.target_specs, tasks, strict=True))

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Redraw the first color freely and the second one such that the label does not change."""
        latents = sample.latents
        is_paired = latents["colour2"] == latents["texture1"]
        generator = torch_generator(child(seed, "factors"), is_paired.device)
        first = torch.randint(KINDS, is_paired.shape, generator=generator, device=is_paired.device)
        step = torch.randint(1, KINDS, is_paired.shape, generator=generator, device=is_paired.device)
        second = torch.where(is_paired, latents["colour2"], (latents["texture1"] + step) % KINDS)
        return latents | {"colour1": first, "colour2": second}

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        device = latents["shape"].device
        order = torch_generator(child(self.world, "pictures"))
        pictures = torch.stack([torch.randperm(KINDS, generator=order) for _ in range(3)]).to(device)
        observed = []
        for m in (1, 2):
            generator = torch_generator(child(seed, "noise", m - 1), device)
            pose = torch.rand((6, len(latents["shape"])), generator=generator, device=device)
            factors = (latents[name] for name in ("shape", f"texture{m}", f"colour{m}"))
            shape, texture, color = (p[f] for p, f in zip(pictures, factors, strict=True))
            period = self.period * self.size
            observed.append(
                images.render(
                    shape, texture, color, pose, size=self.size, period=period, rotation=self.rotation
                )
            )
        return tuple(observed)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        if policy in ("task", "noise"):
            return super().view(sample, policy, seed)
        check_policy(self, policy)
        policies = images.POLICIES if policy == "generic" else (policy,)
        x = tuple(
            images.augment(xi, policies, torch_generator(child(seed, "image", m), xi.device))
            for m, xi in enumerate(sample.x)
        )
        return replace(sample, x=x)
