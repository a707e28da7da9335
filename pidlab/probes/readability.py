"""How readable bits are: what probes read through noise, and from fewer rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import SIGMAS
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.io import Stopwatch
from pidlab.probes.data import (
    SPLITS,
    Represent,
    Row,
    Rows,
    Whitening,
    draw,
    interval,
    modalities_of,
    row,
    whiten,
)
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.levels import get_level
from pidlab.seeds import child, torch_generator

# Parts of the probes' rows.
PARTS = (1 / 16, 1 / 4, 1.0)


@dataclass(frozen=True)
class Strain:
    """What makes reading harder: noise of this deviation, or a part of the probes' rows."""

    sigma: float = 0.0
    part: float = 1.0


def readability_cohort(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    probes: str = "standard",
    readout: str = HEADLINE,
    sigmas: Sequence[float] = SIGMAS,
    parts: Sequence[float] = PARTS,
    device: torch.device | str = "cpu",
) -> list[list[Row]]:
    """Bits read from whitened Z + σ·noise, against σ with all rows, and against rows without noise.

    A deterministic encoder that is wide enough keeps everything, trained or not, as numbers are exact;
    what it makes readable is what survives noise of a stated size, and what few rows suffice to learn.
    Z + σ·noise is a channel of at most d/2 log2(1 + 1/σ²) bits, d the width of Z, so that no
    representation is read without end. The untrained network of equal width is what to compare with.

    Args:
        represent: observations to readouts of every member.
        generators: of every member.
        seeds: of every member; they seed rows, noise and probes.
        probes: level of the probes; convergence and controls are left out.
        readout: Z.
        sigmas: deviations of the noise, in units of a whitened coordinate's.
        parts: of the level's training rows.
        device: where to compute.

    Returns:
        Per member the rows of `pidlab.probes.capture`, with `sigma` and `rows`, those that probes
        were fitted on.

    Raises:
        InvalidRequest: no such readout; a negative deviation; a part beyond (0, 1].
    """
    check_noise_levels(sigmas, parts)
    level = replace(get_level(probes), auxiliary=False, refit=False, controls=False)
    splits = [
        draw(represent, generators, seeds, name, getattr(level, name), torch.device(device), Stopwatch())
        for name in SPLITS
    ]
    if readout not in splits[0].readouts:
        raise InvalidRequest(f"no readout {readout!r}: there are {', '.join(splits[0].readouts)}")
    change = whiten(splits[0].readouts[readout])
    asked = [Strain(sigma) for sigma in sigmas] + [Strain(part=part) for part in parts]
    ladders: dict[float, Ladder] = {}
    found: list[list[Row]] = [[] for _ in generators]
    for strain in dict.fromkeys(asked):
        if strain.sigma not in ladders:
            noisy = [
                _noisy(rows, readout, change, strain.sigma, [child(s, "readability", name) for s in seeds])
                for name, rows in zip(SPLITS, splits, strict=True)
            ]
            ladders[strain.sigma] = Ladder(noisy, generators, seeds, level)
        _read(found, ladders[strain.sigma], generators, readout, strain)
    return found


def check_noise_levels(sigmas: Sequence[float], parts: Sequence[float]) -> None:
    """Checks what a representation is asked to be read through.

    Raises:
        InvalidRequest: a negative deviation; a part beyond (0, 1].
    """
    for sigma in sigmas:
        if not 0.0 <= sigma < float("inf"):
            raise InvalidRequest(f"sigma {sigma:g}: expected a deviation, 0 or more")
    for part in parts:
        if not 0.0 < part <= 1.0:
            raise InvalidRequest(f"a part of {part:g} of the rows: expected more than 0, at most 1")


def _read(
    found: list[list[Row]], ladder: Ladder, generators: Sequence[Generator], readout: str, strain: Strain
) -> None:
    """Appends a row per member, target and rung."""
    more = {"sigma": strain.sigma, "rows": round(strain.part * ladder.labels[0].train.shape[-1])}
    seen = modalities_of(readout, len(generators[0].modalities))
    # It is climbed as the headline readout, whatever its name: with every rung.
    for name, reading in ladder.fit_probes(HEADLINE, strain.part).items():
        scores, best = interval(reading.bits).tolist(), reading.headline.tolist()
        for k, generator in enumerate(generators):
            truth = generator.target_specs[name].information[seen]
            for p, probe in enumerate(reading.rungs):
                found[k].append(row(readout, name, truth, scores[p][k], probe, best[k] == p) | more)


def _noisy(split: Rows, readout: str, change: Whitening, sigma: float, seeds: Sequence[int]) -> Rows:
    """Rows of nothing but the whitened readout with noise; the same noise at every deviation."""
    z = change(split.readouts[readout])
    return replace(split, readouts={HEADLINE: z + sigma * _noise(z, seeds) if sigma else z})


def _noise(z: Float[Tensor, "members n d"], seeds: Sequence[int]) -> Float[Tensor, "members n d"]:
    drawn = [torch.randn(z.shape[1:], generator=torch_generator(seed)) for seed in seeds]
    return torch.stack(drawn).to(z)
