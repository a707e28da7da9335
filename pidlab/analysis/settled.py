"""Whether training had settled: what quick probes read after half of the steps, and at the end."""

from collections.abc import Sequence

import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Represent
from pidlab.analysis.ladder import HEADLINE
from pidlab.analysis.rows import Row
from pidlab.clock import Clock
from pidlab.generators import Generator

# A headline that moved by more bits than this in the second half of training was on its way.
MOVED = 0.05


def moved_rows(
    halfway: Represent,
    final: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    clock: Clock | None = None,
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
