"""Captured bits: the information that probes read from frozen readouts, against the truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor

from pidlab.doubling import doubled, doubled_readouts
from pidlab.errors import InvalidRequest, shorten
from pidlab.generators import Generator, Target, as_generator
from pidlab.io import Stopwatch
from pidlab.probes.conditional import add_conditional_probes
from pidlab.probes.controls import control_rows
from pidlab.probes.convergence import REFIT_FRACTION, Flags, assess
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.levels import Level, get_level
from pidlab.probes.reading import Reading, has_converged
from pidlab.probes.readout_decomposition import decomposition_rows
from pidlab.probes.row import Row, interval, make_row, modalities_of
from pidlab.probes.splits import SPLITS, Represent, draw_split
from pidlab.results.means import BOUNDS
from pidlab.threads import one_thread

__all__ = ["HEADLINE", "Representation", "capture", "capture_cohort"]


@runtime_checkable
class Representation(Protocol):
    """A fitted model that maps observations to named readouts."""

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return every readout of x1, x2, ..."""
        ...


def capture(
    fitted: Representation | Callable[..., dict[str, Tensor]],
    generator: Generator | str,
    seed: int = 0,
    probes: str = "standard",
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure the information about every target that probes read from every readout, in bits.

    The captured bits are the mean of log2 q(y|z)/p(y) over fresh test rows, with the exact prior p and a
    probe q fitted on other rows. In expectation they are a lower bound on I(readout; target) (predictive
    V-information, Xu et al. 2020). `low` and `high` bound this expectation with 95 % confidence over
    test rows; they do not bound the information. Values are not clipped: without information the value
    can be slightly below 0.

    Args:
        fitted: Fitted model, or a function of (x1, x2), each of shape (n, ...), that returns readouts of
            shape (n, width) by name.
        generator: Source of the data and of the truth, or a reference to it such as ``"gate('and')"``.
        seed: Seed of the probes and of their rows, which no encoder of this seed has seen.
        probes: Level: ``"quick"``, ``"standard"`` or ``"thorough"``.
        device: Device to compute on.

    Returns:
        One row per (readout, target, probe). Columns: readout, term, quantity, truth, captured, low, high
        (bits), probe, headline (the best probe on validation rows, structured probes excluded), converged
        (whether four times the rows raised the score only slightly; None if not checked), accuracy,
        balanced_accuracy (of the probe on test rows; None in rows of other quantities). Beyond `quick`,
        auxiliary targets have a colon in their name (`synergy:1`, the first modality's ingredient of an
        XOR; `nuisance:1`; `total:y`), and rows of quantity `broja` decompose the information in z1 and
        z2. `thorough` adds rows of quantity `control`. If the truth is known up to bounds, `truth` is the
        upper one, and the lower one is `captured` of a row of quantity `bounds`.

    Raises:
        InvalidRequest: If the level or the generator is unknown, if `fitted` does not return tensors of
            shape (n, width) by name, or if a readout is not finite.

    Example:
        >>> import pidlab
        >>> table = pidlab.capture(lambda x1, x2: {"z12": x1 * x2}, "gate('xor')", probes="quick")
        >>> table["truth"].unique().tolist()
        [1.0]
    """
    generator = as_generator(generator)
    if not callable(getattr(fitted, "represent", fitted)):
        raise InvalidRequest(
            f"fitted {shorten(repr(fitted))}: expected the result of fit(), or a function of (x1, x2) that "
            "returns readouts by name"
        )
    represent: Any = getattr(fitted, "represent", fitted)

    def stacked(x: Sequence[Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            readouts = represent(*(xi[0] for xi in x))
            _check(readouts)
            return {name: z[None] for name, z in readouts.items()}

    (rows,) = capture_cohort(stacked, [generator], [seed], probes, device)
    return pd.DataFrame(rows)


def _check(readouts: Any) -> None:
    """Check that readouts are tensors by name."""
    if not isinstance(readouts, Mapping) or not readouts:
        kind = type(readouts).__name__
        raise InvalidRequest(f"represent: returned {kind}; return a dict with one or more readouts by name")
    for name, z in readouts.items():
        if not isinstance(z, Tensor):
            raise InvalidRequest(f"readout {name!r}: is of type {type(z).__name__}; return a tensor")


@one_thread()
def capture_cohort(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    probes: str | Level = "standard",
    device: torch.device | str = "cpu",
    clock: Stopwatch | None = None,
) -> list[list[Row]]:
    """Measure captured bits of many members at once; see `capture`.

    Args:
        represent: Function from stacked observations, (members, n, ...), to readouts, (members, n, width).
        generators: One generator per member.
        seeds: One seed per member.
        probes: Level, or its name.
        device: Device to compute on.
        clock: Timer for the activities.

    Returns:
        A list of rows per member.

    Raises:
        InvalidRequest: As in `capture`.
    """
    level = get_level(probes) if isinstance(probes, str) else probes
    clock = clock or Stopwatch()
    if len(generators) == 1:
        both = doubled_readouts(represent), doubled(generators), doubled(seeds)
        return capture_cohort(*both, level, device, clock)[:1]
    splits = [
        draw_split(represent, generators, seeds, split, getattr(level, split), torch.device(device), clock)
        for split in SPLITS
    ]
    with clock("probing"):
        ladder = Ladder(splits, generators, seeds, level)
        rows: list[list[Row]] = [[] for _ in generators]
        readings: dict[str, dict[str, Reading]] = {}
        for readout in ladder.readouts:
            readings[readout], flags = _read(ladder, readout, generators, level)
            for name, reading in readings[readout].items():
                targets = [(g.target_specs | g.auxiliary_specs)[name] for g in generators]
                _add_rows(rows, readout, targets, reading, flags[name])
                _add_bounds(rows, readout, targets)
            if level.auxiliary:
                _add_total(rows, readout, generators, readings[readout])
        if level.auxiliary:
            decomposition_rows(rows, generators, readings, level.controls)
        if level.controls:
            control_rows(rows, generators, seeds, splits, readings, level)
    return rows


def _read(
    ladder: Ladder, readout: str, generators: Sequence[Generator], level: Level
) -> tuple[dict[str, Reading], Flags]:
    """Fit all probes to a readout; return the readings and convergence flags of each target."""
    fitted = readings = ladder.fit_probes(readout)
    flags: Flags = {name: [[None] * len(generators) for _ in one.probes] for name, one in fitted.items()}
    if level.assess and readout == HEADLINE:
        truths = {
            name: [_bound(readout, g.target_specs[name]) for g in generators]
            for name in generators[0].target_specs
        }
        readings = add_conditional_probes(ladder, fitted, truths)
        flags = assess(ladder, readings, truths)
    if level.refit:
        refitted = ladder.fit_probes(readout, REFIT_FRACTION)
        for name, one in fitted.items():
            for p, settled in enumerate(has_converged(one, refitted[name]).tolist()):
                # A score that would still rise, or whose control failed, has not converged.
                flags[name][p] = [a and b is not False for a, b in zip(settled, flags[name][p], strict=True)]
    return readings, flags


def _add_rows(
    rows: list[list[Row]],
    readout: str,
    targets: Sequence[Target],
    reading: Reading,
    flags: Sequence[Sequence[bool | None]],
) -> None:
    """Append a row per member and probe."""
    scores = interval(reading.bits).tolist()
    headline = reading.headline.tolist()
    accuracies = reading.accuracies.tolist()
    for k, target in enumerate(targets):
        truth = _truth(readout, target)
        for p, probe in enumerate(reading.probes):
            if k in reading.absent.get(probe, ()):
                continue
            flag = flags[p][k]
            is_headline, rates = headline[k] == p, accuracies[p][k]
            rows[k].append(
                make_row(
                    readout, target.name, truth, scores[p][k], probe, is_headline, flag, accuracies=rates
                )
            )


def _add_bounds(rows: list[list[Row]], readout: str, targets: Sequence[Target]) -> None:
    """Append the lower bound of a truth that is known up to bounds, as a row of quantity `bounds`."""
    for k, target in enumerate(targets):
        if target.low is not None:
            truth, low = _truth(readout, target), _truth(readout, target, target.low)
            rows[k].append(
                make_row(readout, target.name, truth, (low, low, truth), "classifier", quantity=BOUNDS)
            )


def _add_total(
    rows: list[list[Row]],
    readout: str,
    generators: Sequence[Generator],
    readings: Mapping[str, Reading],
) -> None:
    """Append bits about all targets together, `total:y`, if these are independent.

    The posterior is the product of those of the targets, so that their scores add.
    """
    targets = [g.target_specs for g in generators]
    if len(targets[0]) == 1 or not generators[0].independent_targets:
        return
    bits = sum(readings[name].headline_bits for name in targets[0])
    scores = interval(bits).tolist()  # type: ignore[arg-type]
    for k, member in enumerate(targets):
        truth = sum(_truth(readout, target) for target in member.values())
        rows[k].append(make_row(readout, "total:y", truth, scores[k], "product"))


def _bound(readout: str, target: Target) -> float:
    """Return the information about a target, or its entropy if the information is unknown."""
    truth = _truth(readout, target)
    return target.entropy if truth is None or truth != truth else truth


def _truth(readout: str, target: Target, information: Mapping[tuple[int, ...], float] | None = None) -> float:
    """Return the information about a target in the modalities of a readout, or its lower bound, in bits."""
    known = target.information if information is None else information
    return known[modalities_of(readout, max(len(key) for key in known))]
