"""Captured bits along training: what quick probes read from the models of several steps."""

import math
from collections.abc import Mapping, Sequence

import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Represent
from pidlab.analysis.rows import Row
from pidlab.clock import Clock
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator

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
    clock: Clock | None = None,
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
