"""What a cohort comes to: all that is stored of it, wherever it was trained."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """A finished cohort.

    Args:
        objective: what it trained.
        program: how.
        seconds: wall time by activity.
        keys: of its runs.
        rows: captured rows of the runs that are done, by key.
        failed: reasons of those that are not.
        files: what `--save` keeps of the runs that are done, by name.
        threads: that computed it; 0 where it was not computed.
        whole: false where one fault took all of its runs.
    """

    objective: str
    program: str
    seconds: Mapping[str, float]
    keys: Sequence[str]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    failed: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    threads: int = 0
    whole: bool = True


def joined(parts: Sequence[Outcome]) -> Outcome:
    """The outcome of a cohort that was trained in parts."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        for activity, spent in part.seconds.items():
            seconds[activity] += spent
    return Outcome(
        parts[0].objective,
        next((part.program for part in parts if part.whole), parts[0].program),
        seconds,
        [key for part in parts for key in part.keys],
        {key: rows for part in parts for key, rows in part.rows.items()},
        {key: why for part in parts for key, why in part.failed.items()},
        {name: file for part in parts for name, file in part.files.items()},
        parts[0].threads,
    )
