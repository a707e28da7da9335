"""Where cohorts are trained: one after the other in this process, unless another engine is asked for."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import torch

from pidlab.sweeps.outcome import Outcome
from pidlab.sweeps.plan import Cohort


class Progress(Protocol):
    """Who is told how far a sweep is."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """`cohorts` are about to be trained; `finished` of `total` runs were found in the store."""

    def cohort(self, number: int, cohort: Cohort) -> None:
        """A cohort begins."""

    def advance(self, steps: int) -> None:
        """So many run-steps are done."""

    def note(self, text: str) -> None:
        """Something to know about the cohort, in a line."""


class Silent:
    """Tells nobody."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Nothing."""

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Nothing."""

    def advance(self, steps: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


Work = Callable[[Cohort, Progress], Outcome]


class Engine(Protocol):
    """Trains and examines cohorts; what comes of it is stored by whoever asked."""

    @property
    def at_once(self) -> int:
        """How many cohorts are trained at a time."""
        ...

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """What `work` makes of every cohort, in the order in which they are over."""
        ...

    @property
    def record(self) -> dict[str, Any]:
        """What it did, for provenance."""
        ...


class Local:
    """One cohort after the other, in this process.

    Args:
        threads: to compute with; as many as torch has by default.
    """

    at_once = 1

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """In the order of the cohorts."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            for number, cohort in enumerate(cohorts):
                progress.cohort(number, cohort)
                yield work(cohort, progress)
        finally:
            torch.set_num_threads(before)

    @property
    def record(self) -> dict[str, Any]:
        """Its name, and the threads that it computes with."""
        return {"name": "local", "threads": [self._threads or torch.get_num_threads()]}
