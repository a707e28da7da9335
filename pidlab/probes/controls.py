"""Controls of the thorough level: what was lost since the data, and what the probe could have seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.generators import Generator
from pidlab.generators.latent import truncated_normal
from pidlab.probes.data import SPLITS, Row, Rows, interval, modalities_of, row
from pidlab.probes.ladder import HEADLINE, Ladder, Reading
from pidlab.probes.levels import Level
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


# Noise of planted ingredients, in units of half the gap between their values.
PLANTED_NOISE = 0.3


def control_rows(
    rows: list[list[Row]],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    splits: Sequence[Rows],
    readings: Mapping[str, Mapping[str, Reading]],
    level: Level,
) -> None:
    """Appends rows of quantity `control`.

    `T:lost`: bits about T that the exact posterior given the modalities has and the headline has not,
    on the same rows, so that the labels' own noise cancels; 0 where nothing is lost. `T:power`: what
    the same ladder reads, for a target T of two ingredients, from a planted readout of z12's width
    that holds both: its truth is T's. A null without power says nothing.
    """
    if not splits[-1].cells:
        return
    for readout, found in readings.items():
        for target in generators[0].cell_laws:
            bits = exact_bits(readout, target, generators, splits[-1]) - found[target].headline_bits
            _append(rows, readout, f"{target}:lost", [0.0] * len(generators), bits, found[target])
    if HEADLINE not in readings:
        return
    planted = [_plant(rows, generators, seeds, name) for rows, name in zip(splits, SPLITS, strict=True)]
    ladder = Ladder(planted, generators, seeds, replace(level, auxiliary=False))
    found = ladder.fit_probes(HEADLINE)
    for target in generators[0].pair_laws:
        truths = [max(g.target_specs[target].information.values()) for g in generators]
        _append(rows, HEADLINE, f"{target}:power", truths, found[target].headline_bits, found[target])


def exact_bits(
    readout: str, target: str, generators: Sequence[Generator], rows: Rows
) -> Float[Tensor, "members n"]:
    """log2 p(y|cells)/p(y) of rows, given the cells of the modalities that a readout sees."""
    seen, y = modalities_of(readout, len(rows.cells)), rows.labels[target]
    found = []
    for k, generator in enumerate(generators):
        law = generator.cell_laws[target]
        hidden = tuple(m for m in range(law.ndim - 1) if m not in seen)
        law = law.sum(hidden, keepdims=True)
        prior = law.sum(-1, keepdims=True) * law.sum((0, 1))
        ratio = np.divide(law, prior, out=np.ones_like(law), where=prior > 0)
        table = torch.as_tensor(np.log2(np.maximum(ratio, 1e-300))).to(y.device)
        place = [rows.cells[m][k] if m in seen else torch.zeros_like(y[k]) for m in range(len(rows.cells))]
        found.append(table[(*place, y[k])])
    return torch.stack(found)


def _plant(split: Rows, generators: Sequence[Generator], seeds: Sequence[int], name: str) -> Rows:
    """A readout of z12's width with nothing but the ingredients of every target that has two."""
    width = split.readouts[HEADLINE].shape[-1]
    own = [child(seed, "planted", name) for seed in seeds]
    columns = []
    for target, law in generators[0].pair_laws.items():
        for part in (1, 2):
            code = split.labels[f"{target}:{part}"].float()
            uniform = torch.stack(
                [torch.rand(code.shape[1:], generator=torch_generator(child(s, part))) for s in own]
            )
            noise = truncated_normal(uniform.to(code), PLANTED_NOISE)
            columns.append(2.0 * code - (law.shape[part - 1] - 1) + noise)
    latents = torch.stack(columns, dim=-1)
    readout = embed(latents, max(width, latents.shape[-1]), own, seeds)
    return replace(split, readouts={HEADLINE: readout})


def _append(
    rows: list[list[Row]], readout: str, term: str, truths: Sequence[float], bits: Tensor, reading: Reading
) -> None:
    scores = interval(bits).tolist()
    for k, truth in enumerate(truths):
        probe = reading.rungs[int(reading.headline[k])]
        rows[k].append(row(readout, term, truth, scores[k], probe, quantity="control"))
