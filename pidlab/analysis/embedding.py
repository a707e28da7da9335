"""Random bijections of latents into readouts: what is in the one is in the other, bit for bit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.seeds import child, torch_generator

SLOPE, GAIN = 0.5, 4.0 / 3.0


def embed(
    latents: Float[Tensor, "members n k"], width: int, seeds: Sequence[int], worlds: Sequence[int]
) -> Float[Tensor, "members n width"]:
    """Normal coordinates are appended up to `width`; then orthogonal maps with leaky ReLUs between.

    Args:
        latents: what the readout shall hold.
        width: of the readout, k or more.
        seeds: one per member, of the coordinates that are appended.
        worlds: one per member, of the maps.
    """
    _, n, k = latents.shape
    embedded = []
    for member, seed, world in zip(latents, seeds, worlds, strict=True):
        generator = torch_generator(child(seed, "coordinates"), member.device)
        noise = torch.randn(n, width - k, generator=generator, device=member.device)
        z = torch.cat([member, noise], dim=1)
        for i, q in enumerate(orthogonal(child(world, "maps"), width, 3)):
            z = (F.leaky_relu(z, SLOPE) * GAIN if i else z) @ q.to(z)
        embedded.append(z)
    return torch.stack(embedded)


def orthogonal(seed: int, width: int, count: int) -> Float[Tensor, "count width width"]:
    """Random orthogonal matrices."""
    normal = torch.randn(count, width, width, generator=torch_generator(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
