"""How far a sweep is: a bar in a terminal, plain lines elsewhere. All on stderr."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pidlab.sweeps.cohort import probing_steps
from pidlab.sweeps.plan import Cohort


@contextmanager
def progress() -> Generator["Bar | Lines"]:
    """A bar if stderr is a terminal, else a line per cohort."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        yield Bar(shown)


def _work(cohorts: Sequence[Cohort]) -> int:
    return sum(len(c.runs) * (c.training.steps + probing_steps(c.runs[0])) for c in cohorts)


def _title(number: int, count: int, cohort: Cohort) -> str:
    return f"cohort {number + 1}/{count}: {cohort.objective}, {len(cohort.runs)} runs"


class Bar:
    """A rich progress bar over all cohorts."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._task: Any = None
        self._cohorts: Sequence[Cohort] = ()
        self._left = 0

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Says what was found and what is to do."""
        self._cohorts = cohorts
        if finished:
            self._shown.console.print(f"{finished} of {total} runs are done already")
        if cohorts:
            if self._task is not None:  # of the sweep before
                self._shown.remove_task(self._task)
            self._task = self._shown.add_task("starting", total=_work(cohorts))

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Names the cohort."""
        self._shown.update(self._task, description=_title(number, len(self._cohorts), cohort))

    def advance(self, steps: int) -> None:
        """Moves the bar."""
        self._shown.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Prints a line above the bar."""
        self._shown.console.print(text, highlight=False, markup=False)


class Lines:
    """A plain line as each cohort begins, with the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cohorts: Sequence[Cohort] = ()
        self._work, self._done, self._began = 0, 0, time.monotonic()

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Says what was found and what is to do."""
        self._cohorts, self._work = cohorts, _work(cohorts)
        self._done, self._began = 0, time.monotonic()
        if finished:
            self._print(f"{finished} of {total} runs are done already")

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Names the cohort."""
        line = _title(number, len(self._cohorts), cohort)
        if self._done:
            gone = time.monotonic() - self._began
            left = max(gone * (self._work - self._done) / self._done, 0.0)
            line += f"; {gone:.0f} s gone, about {left:.0f} s left"
        self._print(line)

    def advance(self, steps: int) -> None:
        """Counts."""
        self._done += steps

    def note(self, text: str) -> None:
        """Prints the line."""
        self._print(text)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
