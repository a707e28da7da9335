"""Whether training had settled: what quick probes read after half of the steps, and at the end."""

import math
from collections.abc import Mapping, Sequence

import torch

from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.io import Stopwatch
from pidlab.probes.capture import capture_cohort
from pidlab.probes.data import Represent, Row
from pidlab.probes.ladder import HEADLINE

# Checkpoints are evenly spaced in log(1 + step / EARLY): closely where most is learnt.
EARLY = 10

# The effort of the probes that read them.
PROBES = "quick"


def checkpoints(steps: int, count: int) -> tuple[int, ...]:
    """`count` different steps, the first 0, the last `steps`, evenly spaced in log(1 + step / 10).

    Rounded to whole steps, of which each is at least one after the one before. None for a count of 0.

    Raises:
        InvalidRequest: a count of 1 or below 0, or more than there are steps to tell apart.
    """
    if count == 0:
        return ()
    if not 2 <= count <= steps + 1:
        raise InvalidRequest(
            f"track = {count}: expected 0 or 2 to {steps + 1} checkpoints, for training has {steps} steps"
        )
    most, found = math.log1p(steps / EARLY), [0]
    for i in range(1, count):
        found.append(max(round(EARLY * math.expm1(most * i / (count - 1))), found[-1] + 1))
    return tuple(found)


def tracked_rows(
    moments: Mapping[int, Represent],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    clock: Stopwatch | None = None,
) -> list[list[Row]]:
    """Headlines of quantity `tracked` with the `step` that they belong to, a list per member.

    Args:
        moments: how models represent after a step; all are read by quick probes on the same rows.
        generators: what the data and the truth come from, one per member.
        seeds: likewise.
        device: where to compute.
        clock: counts the seconds.
    """
    rows: list[list[Row]] = [[] for _ in generators]
    for step, represent in moments.items():
        found = capture_cohort(represent, generators, seeds, PROBES, device, clock)
        for member, read in zip(rows, found, strict=True):
            member += [{**row, "quantity": "tracked", "step": step} for row in read if row["headline"]]
    return rows


# A headline that moved by more bits than this in the second half of training was on its way.
MOVED = 0.05


def moved_rows(
    halfway: Represent,
    final: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    clock: Stopwatch | None = None,
) -> list[list[Row]]:
    """Rows `T:moved` of quantity `control`, a list per member.

    `captured` is how far the headline of z12 about T moved in the second half of training, by quick
    probes on the same rows; `converged` says that it settled. The interval adds those of both scores:
    wider than that of their difference, whose rows are shared.
    """
    before, after = (
        capture_cohort(represent, generators, seeds, "quick", device, clock) for represent in (halfway, final)
    )
    return [_moved(*pair) for pair in zip(before, after, strict=True)]


def _moved(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    first, last = (
        {row["term"]: row for row in rows if row["headline"] and row["readout"] == HEADLINE}
        for rows in (before, after)
    )
    found = []
    for term, row in last.items():
        moved = row["captured"] - first[term]["captured"]
        half = (row["high"] - row["low"] + first[term]["high"] - first[term]["low"]) / 2
        found.append(
            {
                **row,
                "term": f"{term}:moved",
                "quantity": "control",
                "truth": 0.0,
                "captured": moved,
                "low": moved - half,
                "high": moved + half,
                "converged": abs(moved) <= MOVED,
            }
        )
    return found
