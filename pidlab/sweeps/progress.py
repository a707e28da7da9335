"""Progress of a sweep in a terminal, in a notebook, or as plain lines."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
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

from pidlab.sweeps.execute import probing_steps
from pidlab.sweeps.plan import Cohort


@contextmanager
def show_progress() -> Generator["Bar | Lines"]:
    """Show a bar in a terminal or a notebook, and plain lines on stderr elsewhere."""
    # Names of objectives may contain [red] or :heart:, which rich would interpret.
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    # rich draws its bar in a notebook with ipywidgets and warns where they are missing.
    if not (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets"))):
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        yield Bar(display)


def _total_steps(cohorts: Sequence[Cohort]) -> int:
    return sum(len(c.runs) * (c.training.steps + probing_steps(c.runs[0])) for c in cohorts)


def _title(number: int, count: int, cohort: Cohort) -> str:
    return f"cohort {number + 1}/{count}: {cohort.objective}, {len(cohort.runs)} runs"


class Bar:
    """A rich progress bar over the run-steps of all cohorts.

    Args:
        display: The live display to draw in.
    """

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._task: Any = None
        self._cohorts: Sequence[Cohort] = ()

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Add a bar for the cohorts of a sweep, and replace the bar of the previous sweep."""
        self._cohorts = cohorts
        if finished:
            self.note(f"{finished} of {total} runs are done already")
        if cohorts:
            if self._task is not None:
                self._display.remove_task(self._task)
            self._task = self._display.add_task("starting", total=_total_steps(cohorts))

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Show the name of the cohort that starts."""
        self._display.update(self._task, description=_title(number, len(self._cohorts), cohort))

    def advance(self, steps: int) -> None:
        """Move the bar by a number of run-steps."""
        self._display.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._display.console.print(text)


# Seconds after which a line reports the state of a cohort that runs.
LINE_SECONDS = 60


class Lines:
    """Plain lines: one at the start of each cohort and one a minute, with the time left.

    Args:
        console: The console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cohorts: Sequence[Cohort] = ()
        self._total, self._done, self._start = 0, 0, time.monotonic()
        self._title, self._last = "", self._start

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Reset the counts for the cohorts of a sweep."""
        self._cohorts, self._total = cohorts, _total_steps(cohorts)
        self._done, self._start = 0, time.monotonic()
        if finished:
            self.note(f"{finished} of {total} runs are done already")

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Print the name of the cohort that starts, and the time left."""
        self._title = _title(number, len(self._cohorts), cohort)
        self._report(self._title)

    def advance(self, steps: int) -> None:
        """Count run-steps, and print a line if the last one is a minute old."""
        self._done += steps
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._report(f"{self._title}, {self._done / max(self._total, 1):.0%} of the sweep done")

    def _report(self, line: str) -> None:
        self._last = time.monotonic()
        if self._done:
            elapsed = self._last - self._start
            left = max(elapsed * (self._total - self._done) / self._done, 0.0)
            line += f"; {elapsed:.0f} s elapsed, about {left:.0f} s left"
        self.note(line)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)
