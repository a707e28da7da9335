"""Captured bits along training: at checkpoints, and their change in the second half."""

from collections.abc import Mapping, Sequence

import torch

from pidlab.generators import Generator
from pidlab.io import Stopwatch
from pidlab.probes.capture import capture_cohort
from pidlab.probes.ladder import HEADLINE
from pidlab.probes.row import Row
from pidlab.probes.splits import Represent

# Level of the probes at checkpoints.
PROBES = "quick"

# A headline that changes by more bits than this in the second half of training has not settled.
MAX_CHANGE = 0.05


def tracked_rows(
    checkpoints: Mapping[int, Represent],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    clock: Stopwatch | None = None,
) -> list[list[Row]]:
    """Measure the headlines at each checkpoint, by quick probes on the same rows.

    Args:
        checkpoints: Function from stacked observations to readouts after each step, by step.
        generators: One generator per member.
        seeds: One seed per member.
        device: Device to compute on.
        clock: Timer for the activities.

    Returns:
        Rows of quantity `tracked` with their `step`, a list per member.
    """
    rows: list[list[Row]] = [[] for _ in generators]
    for step, represent in checkpoints.items():
        captured = capture_cohort(represent, generators, seeds, PROBES, device, clock)
        for member, member_rows in zip(rows, captured, strict=True):
            member += [{**row, "quantity": "tracked", "step": step} for row in member_rows if row["headline"]]
    return rows


def moved_rows(
    halfway: Represent,
    final: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    clock: Stopwatch | None = None,
) -> list[list[Row]]:
    """Measure how far the z12 headlines move in the second half of training.

    Both models are read by quick probes on the same rows.

    Args:
        halfway: Function from stacked observations to readouts after half of the steps.
        final: The same after all steps.
        generators: One generator per member.
        seeds: One seed per member.
        device: Device to compute on.
        clock: Timer for the activities.

    Returns:
        Rows `T:moved` of quantity `control`, a list per member. `captured` is the change in bits and
        `converged` whether it is at most `MAX_CHANGE`. The interval has the sum of both half-widths; it
        is wider than that of the paired difference.
    """
    before, after = (
        capture_cohort(represent, generators, seeds, PROBES, device, clock) for represent in (halfway, final)
    )
    return [_change_rows(*pair) for pair in zip(before, after, strict=True)]


def _change_rows(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    """Return the differences of the z12 headlines of one member."""
    first, last = (
        {row["term"]: row for row in rows if row["headline"] and row["readout"] == HEADLINE}
        for rows in (before, after)
    )
    changes = []
    for term, row in last.items():
        change = row["captured"] - first[term]["captured"]
        half_width = (row["high"] - row["low"] + first[term]["high"] - first[term]["low"]) / 2
        changes.append(
            {
                **row,
                "term": f"{term}:moved",
                "quantity": "control",
                "truth": 0.0,
                "captured": change,
                "low": change - half_width,
                "high": change + half_width,
                "converged": abs(change) <= MAX_CHANGE,
            }
        )
    return changes
