"""Random bijections from latents to observations: orthogonal maps and leaky ReLUs."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

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
