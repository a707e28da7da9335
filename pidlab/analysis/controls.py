"""Controls of the thorough level: what was lost since the data, and what the probe could have seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.analysis.draw import SPLITS, Rows
from pidlab.analysis.embedding import embed
from pidlab.analysis.interval import interval
from pidlab.analysis.ladder import HEADLINE, Ladder
from pidlab.analysis.levels import Level
from pidlab.analysis.reading import Reading
from pidlab.analysis.rows import Row, row, sees
from pidlab.generators import Generator
from pidlab.generators.noise import truncated_normal
from pidlab.seeds import child, torch_generator

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
    ladder = Ladder(planted, generators, seeds, replace(level, beside=False))
    found = ladder.climb(HEADLINE)
    for target in generators[0].pair_laws:
        truths = [max(g.targets[target].information.values()) for g in generators]
        _append(rows, HEADLINE, f"{target}:power", truths, found[target].headline_bits, found[target])


def exact_bits(
    readout: str, target: str, generators: Sequence[Generator], rows: Rows
) -> Float[Tensor, "members n"]:
    """log2 p(y|cells)/p(y) of rows, given the cells of the modalities that a readout sees."""
    seen, y = sees(readout, len(rows.cells)), rows.labels[target]
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
