"""Bimodal Trifeature: pairs of images that share a shape."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Image
from pidlab.errors import InvalidRequest
from pidlab.generators import trifeature_images as image_views
from pidlab.generators.base import (
    Sample,
    Target,
    ViewInformation,
    check_policy,
    check_probability,
    check_whole,
)
from pidlab.generators.latent import Latent
from pidlab.generators.trifeature_images import HIGHEST, RADIUS, render
from pidlab.info import binary_entropy, decompose
from pidlab.seeds import child, torch_generator

# Shapes, textures and colours there are of each.
KINDS = 10
FACTORS: tuple[str, ...] = ("shape", "texture1", "texture2", "colour1", "colour2")


@dataclass(frozen=True)
class Trifeature(Latent):
    """Images of a textured, coloured shape; the two of a pair share the shape (CoMM, arXiv 2409.07402).

    Ten shapes, textures and colours (after Hermann & Lampinen 2020, arXiv 2006.12433), uniform and
    independent but for the shape, which is one for both images. Place, rotation of shape and of texture,
    and phase of the texture are drawn for each image: nuisance. Images are rendered here
    (`pidlab.generators.trifeature_images`), without noise, so that the factors are functions of them.

    The targets are four *separate tasks*, each with a truth of its own, in bits:

    - `redundant`: the shape, R = log2 10;
    - `unique1`, `unique2`: the texture of one image, U = log2 10;
    - `synergy`: 1[colour2 = M(texture1)], S = h(1/10) = .469; M is one to one, and either side is
      independent of the label.

    `truth` has them side by side. They are not parts of one Y: texture1 and the label are not independent
    given the images, and of all four as one label the decomposition is `as_one`, without synergy.

    Views: `noise` keeps all factors and draws place, rotations and phase afresh. `task` keeps what the
    tasks are about: it draws the colours afresh as well, the second so that the label stays. `crop`,
    `flip`, `blur`, `jitter` and `grayscale` (`pidlab.generators.trifeature_images`) work on the image, `generic`
    is all of them. What they destroy: crop cuts shapes and changes the scale of textures; flip nothing,
    every shape and texture is its own mirror image; blur weakens textures; jitter turns the hue, so that
    in 4 of 5 views two colours are as likely; grayscale erases the colour in 1 of 5, for all colours have
    one luminance.

    Args:
        size: pixels a side; 32 to 224 in the field.
        period: of the textures, in sides of the image, so that a size changes the resolution only.
        rotation: the most that a shape and a texture are turned, either way, in degrees.
        biased: whether training pairs (split `"train"`) all have colour2 = M(texture1), as in the paper's
            study of synergy. That plants log2 10 bits of redundancy between texture1 and colour2
            (`planted`), and leaves the label no entropy, in training; the truth is of `"eval"`.
        world: which pictures shapes, textures and colours of a number are, and by that M, which goes from
            a texture to the colour of its number.

    Raises:
        InvalidRequest: a value out of range, images too small for the finest texture.
    """

    name: ClassVar[str] = "trifeature"
    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "generic", *image_views.POLICIES)

    size: int = 32
    period: float = 1 / 6
    rotation: float = 45.0
    biased: bool = False
    world: int = 0

    def __post_init__(self) -> None:
        check_whole(self, size=1, world=0)
        check_probability(self, "period")
        if not isinstance(self.rotation, (int, float)) or not 0 <= self.rotation <= 180:
            raise InvalidRequest(f"rotation = {self.rotation!r}: expected degrees, 0 to 180")
        if not isinstance(self.biased, bool):
            raise InvalidRequest(f"biased = {self.biased!r}: expected True or False")
        if not 0 < self.period <= RADIUS:
            raise InvalidRequest(
                f"period = {self.period:g}: expected above 0 and up to {RADIUS:.3g} sides, "
                "so that a shape shows two"
            )
        # Two pixels a wave is the limit; at it, a wave can vanish between the pixels.
        if self.period * self.size <= 2.0 * HIGHEST:
            least = math.floor(2.0 * HIGHEST / self.period) + 1
            raise InvalidRequest(
                f"size = {self.size}: the finest texture has {self.period * self.size / HIGHEST:.3g} pixels "
                f"a wave, and aliases at 2 or less; ask for size = {least} or more, or a longer period"
            )

    @property
    def modalities(self) -> tuple[Image, Image]:
        return (Image(3, self.size, self.size), Image(3, self.size, self.size))

    @property
    def shape_key(self) -> Any:
        return (self.size,)

    @property
    def truth(self) -> Decomposition:
        bits = math.log2(KINDS)
        return Decomposition(bits, bits, bits, binary_entropy(1 / KINDS))

    @property
    def as_one(self) -> Decomposition:
        """The decomposition of all targets taken as one Y, which is no sum of theirs.

        X1 knows texture1; with the label that is told of colour2 all that the label's entropy holds, so
        h(1/10) bits that were synergistic are unique to X2.
        """
        bits = math.log2(KINDS)
        return Decomposition(bits, bits, bits + binary_entropy(1 / KINDS), 0.0)

    @property
    def planted(self) -> float:
        """Redundant bits between texture1 and colour2 in the pairs that are trained on."""
        return math.log2(KINDS) if self.biased else 0.0

    @property
    def targets(self) -> dict[str, Target]:
        """Shape, texture1, texture2 and label, by the terms that they are tasks of."""
        uniform, rare = (1 / KINDS,) * KINDS, (1 - 1 / KINDS, 1 / KINDS)
        bits, label = math.log2(KINDS), binary_entropy(1 / KINDS)
        held = {"redundant": (bits, bits), "unique1": (bits, 0.0), "unique2": (0.0, bits)}
        tasks = {
            name: Target(name, uniform, bits, {(0,): first, (1,): second, (0, 1): bits})
            for name, (first, second) in held.items()
        }
        return {**tasks, "synergy": Target("synergy", rare, label, {(0,): 0.0, (1,): 0.0, (0, 1): label})}

    def solved(self) -> Decomposition:
        """The solver's decomposition of each task on its own, side by side."""
        same = np.eye(KINDS) / KINDS
        label = np.stack([1.0 - np.eye(KINDS), np.eye(KINDS)], axis=-1) / KINDS**2
        shared = np.einsum("xy,xz->xyz", same, np.eye(KINDS))
        laws = (shared, same[:, None, :], same[None, :, :], label)
        first, *others = (decompose(law) for law in laws)
        return sum(others, start=first)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') of the factors behind each task, and I(X';T), in bits; None where they are not known.

        `noise` and `flip` keep every factor. `task` keeps texture1 and, of colour2, whether it is that of
        texture1: log2 10 + h(1/10). `grayscale` keeps all but colours, which it erases in 0.2 of
        the views: I(colour;colour') = 0.8 log2 10, I(X';T) = 0.8 h(1/10). `jitter` leaves in 0.8 of the
        views two colours, as the hue is uniform over two steps of the palette: it takes 0.8 bits of
        log2 10, and of h(1/10) 0.8 * 2/10, for the label is a fair bit where M(texture1) is one of them.
        `crop`, `blur` and `generic` work on the image, with what effect is not known exactly.
        """
        check_policy(self, policy)
        if policy in ("generic", "crop", "blur"):
            return {name: ViewInformation(None, None) for name in self.targets}
        bits, label = math.log2(KINDS), binary_entropy(1 / KINDS)
        stated = {name: ViewInformation(bits, bits) for name in ("redundant", "unique1", "unique2")}
        lost, missed = 0.0, 0.0
        if policy == "grayscale":
            lost, missed = image_views.GREY * bits, image_views.GREY * label
        elif policy == "jitter":
            lost, missed = image_views.JITTERED, image_views.JITTERED * 2 / KINDS
        elif policy == "task":
            lost = bits - label
        return stated | {"synergy": ViewInformation(2 * bits - lost, label - missed)}

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
        paired = latents["colour2"] == latents["texture1"]
        tasks = (latents["shape"], latents["texture1"], latents["texture2"], paired.long())
        return dict(zip(self.targets, tasks, strict=True))

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Colours afresh: the first anywhere, the second where its label says."""
        latents = sample.latents
        paired = latents["colour2"] == latents["texture1"]
        generator = torch_generator(child(seed, "factors"), paired.device)
        first = torch.randint(KINDS, paired.shape, generator=generator, device=paired.device)
        step = torch.randint(1, KINDS, paired.shape, generator=generator, device=paired.device)
        second = torch.where(paired, latents["colour2"], (latents["texture1"] + step) % KINDS)
        return latents | {"colour1": first, "colour2": second}

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        device = latents["shape"].device
        dealt = torch_generator(child(self.world, "pictures"))
        pictures = torch.stack([torch.randperm(KINDS, generator=dealt) for _ in range(3)]).to(device)
        images = []
        for m in (1, 2):
            generator = torch_generator(child(seed, "noise", m - 1), device)
            pose = torch.rand((6, len(latents["shape"])), generator=generator, device=device)
            factors = (latents[name] for name in ("shape", f"texture{m}", f"colour{m}"))
            shape, texture, colour = (p[f] for p, f in zip(pictures, factors, strict=True))
            period = self.period * self.size
            images.append(
                render(shape, texture, colour, pose, size=self.size, period=period, rotation=self.rotation)
            )
        return tuple(images)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a view of every row.

        Raises:
            InvalidRequest: a policy that it does not offer.
        """
        check_policy(self, policy)
        if policy in ("task", "noise"):
            return super().view(sample, policy, seed)
        asked = image_views.POLICIES if policy == "generic" else (policy,)
        x = tuple(
            image_views.augmented(xi, asked, torch_generator(child(seed, "image", m), xi.device))
            for m, xi in enumerate(sample.x)
        )
        return Sample(x, sample.targets, sample.classes, sample.latents, sample.symbols)
