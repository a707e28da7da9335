"""Captured bits: what probes read from frozen readouts about every target, against the truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor

from pidlab.doubling import doubled, doubled_readouts
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, Target
from pidlab.io import Clock
from pidlab.probes.controls import control_rows
from pidlab.probes.data import SPLITS, Represent, Row, draw, interval, modalities_of, row
from pidlab.probes.decomposition import decomposed_rows
from pidlab.probes.ladder import HEADLINE, Ladder, Reading, converged
from pidlab.probes.levels import LEVELS, Level, get_level

__all__ = ["HEADLINE", "LEVELS", "Level", "Represents", "capture", "capture_cohort", "modalities_of"]

# The part of the training rows on which a convergence check fits again.
PART = 0.25


@runtime_checkable
class Represents(Protocol):
    """Anything that maps observations to named readouts."""

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Every readout of x1, x2, ..."""
        ...


def capture(
    fitted: Represents | Callable[..., dict[str, Tensor]],
    generator: Generator,
    seed: int = 0,
    probes: str = "standard",
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Bits about every target that probes read from every readout.

    captured = mean over fresh test rows of log2 q(y|z)/p(y), p the exact prior and q a probe fitted
    on other rows: a lower bound on I(readout; target), in expectation (CAPTURE protocol; Xu et al.
    2020, predictive V-information). `low`, `high` bound its expectation with 95 % confidence over test
    rows (`pidlab.probes.data`), not I. Values are never clipped: a null may read slightly below 0.

    Args:
        fitted: a fitted model, or a function of (x1, x2) that returns readouts by name.
        generator: what the data and the truth come from.
        seed: seeds the probes and their data, which no encoder of this seed has seen.
        probes: `"quick"`, `"standard"` or `"thorough"`.
        device: where to compute.

    Returns:
        A row per (readout, target, probe): readout, term, quantity, truth, captured, low, high (bits),
        probe, headline (one per readout and term: the best on validation), converged (whether four
        times the rows raised the score by little; None: not examined). Beyond `quick`, terms with a
        colon stand beside the targets (`synergy:1` the first modality's part of an XOR, `nuisance:1`,
        `total:y`), and rows of quantity `broja` decompose what z1 and z2 hold; `thorough` adds rows
        of quantity `control`.

    Raises:
        InvalidRequest: an unknown level; what is no tensor (n, width) by name; a readout with values that
            are not finite.
    """
    represent: Any = getattr(fitted, "represent", fitted)

    def stacked(x: Sequence[Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            readouts = represent(*(xi[0] for xi in x))
            _check(readouts)
            return {name: z[None] for name, z in readouts.items()}

    (rows,) = capture_cohort(stacked, [generator], [seed], probes, device)
    return pd.DataFrame(rows)


def _check(readouts: Any) -> None:
    if not isinstance(readouts, Mapping) or not readouts:
        kind = type(readouts).__name__
        raise InvalidRequest(f"represent gives {kind}: expected readouts by name, one or more")
    for name, z in readouts.items():
        if not isinstance(z, Tensor):
            raise InvalidRequest(f"readout {name!r} is {type(z).__name__}: expected a tensor")


def capture_cohort(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    probes: str | Level = "standard",
    device: torch.device | str = "cpu",
    clock: Clock | None = None,
) -> list[list[Row]]:
    """`capture` for many members at once; one list of rows per member."""
    level = get_level(probes) if isinstance(probes, str) else probes
    clock = clock or Clock()
    if len(generators) == 1:
        both = doubled_readouts(represent), doubled(generators), doubled(seeds)
        return capture_cohort(*both, level, device, clock)[:1]
    splits = [
        draw(represent, generators, seeds, split, getattr(level, split), torch.device(device), clock)
        for split in SPLITS
    ]
    with clock("probing"):
        ladder = Ladder(splits, generators, seeds, level)
        rows: list[list[Row]] = [[] for _ in generators]
        readings: dict[str, dict[str, Reading]] = {}
        for readout in ladder.readouts:
            readings[readout] = ladder.fit_probes(readout)
            again = ladder.fit_probes(readout, PART) if level.refit else {}
            for name, reading in readings[readout].items():
                records = [(g.targets | g.auxiliary_targets)[name] for g in generators]
                settled = converged(reading, again[name]) if again else None
                _add(rows, readout, records, reading, settled)
            if level.auxiliary:
                _add_total(rows, readout, generators, readings[readout])
        if level.auxiliary:
            decomposed_rows(rows, generators, readings, level.controls)
        if level.controls:
            control_rows(rows, generators, seeds, splits, readings, level)
    return rows


def _add(
    rows: list[list[Row]],
    readout: str,
    targets: Sequence[Target],
    reading: Reading,
    settled: Tensor | None,
) -> None:
    """Appends a row per member and rung."""
    scores = interval(reading.bits).tolist()
    believed = reading.headline.tolist()
    flags = None if settled is None else settled.tolist()
    for k, target in enumerate(targets):
        truth = _truth(readout, target.information)
        for p, probe in enumerate(reading.rungs):
            flag = None if flags is None else bool(flags[p][k])
            rows[k].append(row(readout, target.name, truth, scores[p][k], probe, believed[k] == p, flag))


def _add_total(
    rows: list[list[Row]],
    readout: str,
    generators: Sequence[Generator],
    readings: Mapping[str, Reading],
) -> None:
    """Bits about all of Y, `total:y`, by q(y|z) = Π q(y_k|z) over independent targets."""
    targets = [g.targets for g in generators]
    if len(targets[0]) == 1 or not generators[0].independent_targets:
        return
    together = sum(readings[name].headline_bits for name in targets[0])
    scores = interval(together).tolist()  # type: ignore[arg-type]
    for k, member in enumerate(targets):
        truth = sum(_truth(readout, target.information) for target in member.values())
        rows[k].append(row(readout, "total:y", truth, scores[k], "product"))


def _truth(readout: str, information: Mapping[tuple[int, ...], float]) -> float:
    return information[modalities_of(readout, max(len(key) for key in information))]
