"""Readability: captured bits of a readout with added noise, and from fewer training rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import SIGMAS
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.io import Stopwatch
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.levels import get_level
from pidlab.probes.row import Row, interval, make_row, modalities_of
from pidlab.probes.splits import SPLITS, Represent, Split, draw_split
from pidlab.probes.whitening import Whitening, whiten
from pidlab.seeds import child, torch_generator
from pidlab.threads import one_thread

# Fractions of the training rows.
PARTS = (1 / 16, 1 / 4, 1.0)


@dataclass(frozen=True)
class Condition:
    """A reading condition: the standard deviation of the noise and the fraction of training rows."""

    sigma: float = 0.0
    part: float = 1.0


@one_thread()
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
    """Measure captured bits of whitened Z + σ·noise against σ, and of Z against training rows.

    A wide deterministic encoder keeps all information in exact arithmetic, trained or not. Training
    changes what survives noise of a given size and what few rows suffice to learn. Z + σ·noise is a
    channel of capacity at most d/2 log2(1 + 1/σ²) bits, with d the width of Z. Compare with an untrained
    network of the same width.

    Args:
        represent: Function from stacked observations to readouts of every member.
        generators: One generator per member.
        seeds: One seed per member, for rows, noise and probes.
        probes: Level of the probes; convergence checks and controls are omitted.
        readout: Name of the readout Z.
        sigmas: Standard deviations of the noise, in units of a whitened coordinate's.
        parts: Fractions of the level's training rows.
        device: Device to compute on.

    Returns:
        Rows as in `pidlab.probes.capture`, a list per member, with `sigma` and `rows` (training rows).

    Raises:
        InvalidRequest: If there is no such readout, a sigma is negative, or a part is outside (0, 1].
    """
    check_noise_levels(sigmas, parts)
    level = replace(get_level(probes), auxiliary=False, refit=False, controls=False)
    splits = [
        draw_split(
            represent, generators, seeds, name, getattr(level, name), torch.device(device), Stopwatch()
        )
        for name in SPLITS
    ]
    if readout not in splits[0].readouts:
        raise InvalidRequest(f"no readout {readout!r}; choose one of {', '.join(splits[0].readouts)}")
    whitening = whiten(splits[0].readouts[readout])
    conditions = [Condition(sigma) for sigma in sigmas] + [Condition(part=part) for part in parts]
    ladders: dict[float, Ladder] = {}
    rows: list[list[Row]] = [[] for _ in generators]
    for condition in dict.fromkeys(conditions):
        if condition.sigma not in ladders:
            noisy = [
                _add_noise(
                    split, readout, whitening, condition.sigma, [child(s, "readability", name) for s in seeds]
                )
                for name, split in zip(SPLITS, splits, strict=True)
            ]
            ladders[condition.sigma] = Ladder(noisy, generators, seeds, level)
        _add_rows(rows, ladders[condition.sigma], generators, readout, condition)
    return rows


def check_noise_levels(sigmas: Sequence[float], parts: Sequence[float]) -> None:
    """Check the noise levels and fractions of rows.

    Args:
        sigmas: Standard deviations.
        parts: Fractions of rows.

    Raises:
        InvalidRequest: If a sigma is negative or not finite, or a part is outside (0, 1].
    """
    for sigma in sigmas:
        if not 0.0 <= sigma < float("inf"):
            raise InvalidRequest(f"sigma {sigma:g}: must be a finite standard deviation of at least 0")
    for part in parts:
        if not 0.0 < part <= 1.0:
            raise InvalidRequest(f"part {part:g}: must be a fraction of the rows, above 0 and at most 1")


def _add_rows(
    rows: list[list[Row]], ladder: Ladder, generators: Sequence[Generator], readout: str, condition: Condition
) -> None:
    """Append a row per member, target and probe."""
    columns = {
        "sigma": condition.sigma,
        "rows": round(condition.part * ladder.labels[0].train.shape[-1]),
    }
    seen = modalities_of(readout, len(generators[0].modalities))
    # The noisy splits store the readout under the name of the headline, so that every probe reads it.
    for name, reading in ladder.fit_probes(HEADLINE, condition.part).items():
        scores, best = interval(reading.bits).tolist(), reading.headline.tolist()
        for k, generator in enumerate(generators):
            truth = generator.target_specs[name].information[seen]
            for p, probe in enumerate(reading.probes):
                rows[k].append(make_row(readout, name, truth, scores[p][k], probe, best[k] == p) | columns)


def _add_noise(split: Split, readout: str, whitening: Whitening, sigma: float, seeds: Sequence[int]) -> Split:
    """Return rows with only the noisy whitened readout; every sigma scales the same noise."""
    z = whitening(split.readouts[readout])
    return replace(split, readouts={HEADLINE: z + sigma * _noise(z, seeds) if sigma else z})


def _noise(z: Float[Tensor, "members n d"], seeds: Sequence[int]) -> Float[Tensor, "members n d"]:
    drawn = [torch.randn(z.shape[1:], generator=torch_generator(seed)) for seed in seeds]
    return torch.stack(drawn).to(z)
