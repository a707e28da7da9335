"""Controls: bits lost since the data, and planted readouts that hold an XOR."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.generators import Generator
from pidlab.generators.latent import truncated_normal
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.levels import Level
from pidlab.probes.mlp import MLPProbe, average_mlps
from pidlab.probes.posteriors import inverse_temperature, log_ratio_bits, temper
from pidlab.probes.reading import Reading
from pidlab.probes.row import Row, interval, make_row, modalities_of
from pidlab.probes.splits import SPLITS, Labels, Split
from pidlab.probes.whitening import whiten
from pidlab.seeds import child, torch_generator

# Slope of the leaky ReLU of `embed`, and the gain that keeps the scale of its inputs.
SLOPE, GAIN = 0.5, 4.0 / 3.0

# A score near 0 counts as absence of information only if probes read this much of a planted XOR of 1 bit.
MIN_POWER = 0.5

# Noise of planted ingredients, in units of half the gap between their values.
PLANTED_NOISE = 0.3


def control_rows(
    rows: list[list[Row]],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    splits: Sequence[Split],
    readings: Mapping[str, Mapping[str, Reading]],
    level: Level,
) -> None:
    """Append rows of quantity `control`.

    `T:lost` is the score of the exact posterior of T given the modalities minus the headline score, on
    the same rows, so that label noise cancels; it is 0 if nothing is lost. Targets whose information is known
    up to bounds have no such posterior. `T:power`, for a target T of
    two ingredients, is the score of the same probes on a planted readout that holds both, of the width
    of z12; its truth is that of T. A headline near 0 means little if the power is low.

    Args:
        rows: Lists to append to, one per member.
        generators: One generator per member.
        seeds: One seed per member.
        splits: Training, validation and test rows.
        readings: Readings by readout and target.
        level: Level of the probes.
    """
    if not splits[-1].cells:
        return
    for readout, by_target in readings.items():
        for target in generators[0].cell_laws:
            if generators[0].target_specs[target].low is not None:
                continue
            lost = exact_bits(readout, target, generators, splits[-1]) - by_target[target].headline_bits
            _append(rows, readout, f"{target}:lost", [0.0] * len(generators), lost, by_target[target])
    if HEADLINE not in readings:
        return
    planted = [_plant(split, generators, seeds, name) for split, name in zip(splits, SPLITS, strict=True)]
    ladder = Ladder(planted, generators, seeds, replace(level, auxiliary=False))
    power = ladder.fit_probes(HEADLINE)
    for target in generators[0].pair_laws:
        truths = [max(g.target_specs[target].information.values()) for g in generators]
        _append(rows, HEADLINE, f"{target}:power", truths, power[target].headline_bits, power[target])


def exact_bits(
    readout: str, target: str, generators: Sequence[Generator], split: Split
) -> Float[Tensor, "members n"]:
    """Compute log2 p(y|cells)/p(y) of every row, in bits.

    Args:
        readout: Name of the readout, which determines the modalities whose cells are given.
        target: Name of the target.
        generators: One generator per member.
        split: The rows.
    """
    seen, y = modalities_of(readout, len(split.cells)), split.labels[target]
    bits = []
    for k, generator in enumerate(generators):
        law = generator.cell_laws[target]
        unseen = tuple(m for m in range(law.ndim - 1) if m not in seen)
        law = law.sum(unseen, keepdims=True)
        prior = law.sum(-1, keepdims=True) * law.sum((0, 1))
        ratio = np.divide(law, prior, out=np.ones_like(law), where=prior > 0)
        table = torch.as_tensor(np.log2(np.maximum(ratio, 1e-300))).to(y.device)
        place = [split.cells[m][k] if m in seen else torch.zeros_like(y[k]) for m in range(len(split.cells))]
        bits.append(table[(*place, y[k])])
    return torch.stack(bits)


def embed(
    latents: Float[Tensor, "members n k"], width: int, seeds: Sequence[int], worlds: Sequence[int]
) -> Float[Tensor, "members n width"]:
    """Embed latents by orthogonal maps with leaky ReLUs between them.

    The map is invertible, so that no information is lost. Standard normal coordinates pad the latents.

    Args:
        latents: Content of the readout, shape (members, n, k).
        width: Width of the readout, at least k.
        seeds: One seed per member, for the padding.
        worlds: One seed per member, for the maps.
    """
    _, n, k = latents.shape
    embedded = []
    for member, seed, world in zip(latents, seeds, worlds, strict=True):
        generator = torch_generator(child(seed, "coordinates"), member.device)
        noise = torch.randn(n, width - k, generator=generator, device=member.device)
        z = torch.cat([member, noise], dim=1)
        for i, q in enumerate(random_orthogonal(child(world, "maps"), width, 3)):
            z = (F.leaky_relu(z, SLOPE) * GAIN if i else z) @ q.to(z)
        embedded.append(z)
    return torch.stack(embedded)


def random_orthogonal(seed: int, width: int, count: int) -> Float[Tensor, "count width width"]:
    """Draw orthogonal matrices from the Haar measure.

    Args:
        seed: Seed of the matrices.
        width: Number of rows of each matrix.
        count: Number of matrices.
    """
    normal = torch.randn(count, width, width, generator=torch_generator(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    # The signs make the factorization unique and the distribution uniform.
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]


@cache
def planted_power(width: int, train: int, validation: int, mlp: MLPProbe, count: int) -> float:
    """Measure the bits that the MLP probe reads of a planted XOR of 1 bit, in a readout of noise otherwise.

    The result depends only on the arguments, so that one measurement serves all readouts of a shape.

    Args:
        width: Width of the readout.
        train: Number of training rows.
        validation: Number of validation rows; as many rows are scored.
        mlp: Settings of the probe.
        count: Number of MLPs whose probabilities are averaged.

    Returns:
        Mean score of two readouts with different seeds, in bits.
    """
    seeds = [child(i, "planted power") for i in range(2)]
    splits, labels = [], []
    for split, n in (("train", train), ("validation", validation), ("test", validation)):
        drawn = [torch_generator(child(seed, split)) for seed in seeds]
        bits = torch.stack([torch.randint(2, (n, 2), generator=g) for g in drawn])
        uniform = torch.stack([torch.rand(n, 2, generator=g) for g in drawn])
        latents = 2.0 * bits - 1.0 + truncated_normal(uniform, PLANTED_NOISE)
        rows = [child(seed, split, "rows") for seed in seeds]
        splits.append(embed(latents, max(width, 2), rows, seeds))
        labels.append((bits[..., 0] ^ bits[..., 1])[:, None])
    planted = Labels(("planted",), torch.full((2, 1, 2), 0.5).log(), *labels)
    whitening = whiten(splits[0])
    rows, *held_out = (whitening(z) for z in splits)
    log_q = average_mlps(rows, held_out, planted, seeds, mlp, count)
    inverse = inverse_temperature(log_q[0], planted.validation, planted.log_prior)
    tempered = temper(log_q[1], inverse, planted.log_prior)
    return float(log_ratio_bits(tempered, planted.test, planted.log_prior).mean())


def _plant(split: Split, generators: Sequence[Generator], seeds: Sequence[int], name: str) -> Split:
    """Return rows whose readout has the width of z12 and holds only ingredients of targets."""
    width = split.readouts[HEADLINE].shape[-1]
    planted_seeds = [child(seed, "planted", name) for seed in seeds]
    columns = []
    for target, law in generators[0].pair_laws.items():
        for part in (1, 2):
            code = split.labels[f"{target}:{part}"].float()
            uniform = torch.stack(
                [torch.rand(code.shape[1:], generator=torch_generator(child(s, part))) for s in planted_seeds]
            )
            noise = truncated_normal(uniform.to(code), PLANTED_NOISE)
            columns.append(2.0 * code - (law.shape[part - 1] - 1) + noise)
    latents = torch.stack(columns, dim=-1)
    readout = embed(latents, max(width, latents.shape[-1]), planted_seeds, seeds)
    return replace(split, readouts={HEADLINE: readout})


def _append(
    rows: list[list[Row]], readout: str, term: str, truths: Sequence[float], bits: Tensor, reading: Reading
) -> None:
    """Append a control row per member."""
    scores = interval(bits).tolist()
    for k, truth in enumerate(truths):
        probe = reading.probes[int(reading.headline[k])]
        rows[k].append(make_row(readout, term, truth, scores[k], probe, quantity="control"))
