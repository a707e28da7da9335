"""Progress of a sweep in a terminal, in a notebook, or as plain lines."""

import math
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
)

from pidlab.sweeps.execute import Outcome
from pidlab.sweeps.forecast import Forecast
from pidlab.sweeps.plan import Cohort

# Seconds between two updates of the bar, and between two lines without a terminal.
BAR_SECONDS, LINE_SECONDS = 0.2, 60


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
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as display:
        yield Bar(display)


class _Shown:
    """Base of the shown progress: the cohorts of a sweep, and the forecast of its time."""

    def __init__(self) -> None:
        self._cohorts: Sequence[Cohort] = ()
        self._numbers: dict[int, int] = {}
        self._forecast = Forecast(())
        self._start = time.monotonic()

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Reset the counts for the cohorts of a sweep."""
        self._cohorts, self._forecast = cohorts, Forecast(cohorts, time.monotonic)
        self._numbers, self._start = {}, time.monotonic()
        if finished:
            self.note(f"{finished} of {total} runs are done already")

    def cohort(self, number: int) -> None:
        """Show the name of the cohort that starts."""
        self._forecast.start(number)
        # Cohorts are counted in the order in which they start.
        place = self._numbers.setdefault(number, len(self._numbers) + 1)
        cohort = self._cohorts[number]
        self._show_title(f"cohort {place}/{len(self._cohorts)}: {cohort.objective}, {len(cohort.runs)} runs")

    def advance(self, number: int, steps: int, probed: int) -> None:
        """Count progress inside a cohort."""
        self._forecast.advance(number, steps, probed)
        self._update()

    def finish(self, number: int, outcome: Outcome) -> None:
        """Count a finished cohort."""
        self._forecast.finish(number, outcome.seconds)
        self._update()

    def note(self, text: str) -> None:
        """Show a line."""
        raise NotImplementedError

    def _show_title(self, title: str) -> None:
        raise NotImplementedError

    def _update(self) -> None:
        raise NotImplementedError

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _left(self) -> str:
        """Return the time left in words; empty while nothing is done."""
        seconds = self._forecast.seconds_left()
        return "" if math.isinf(seconds) else f"about {seconds:.0f} s left"


class Bar(_Shown):
    """A rich progress bar over the estimated time of all cohorts.

    Args:
        display: The live display to draw in.
    """

    def __init__(self, display: Progress) -> None:
        super().__init__()
        self._display = display
        self._task: Any = None
        self._last = 0.0

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Add a bar for the cohorts of a sweep, and replace the bar of the previous sweep."""
        super().start(cohorts, finished, total)
        if cohorts:
            if self._task is not None:
                self._display.remove_task(self._task)
            self._task = self._display.add_task("starting", total=1.0, left="")

    def _show_title(self, title: str) -> None:
        self._display.update(self._task, description=title)

    def _update(self) -> None:
        # Training steps take milliseconds; drawing at each of them would slow them down.
        if time.monotonic() - self._last >= BAR_SECONDS:
            self._last = time.monotonic()
            self._display.update(self._task, completed=self._forecast.share, left=self._left())

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._display.console.print(text)


class Lines(_Shown):
    """Plain lines: one at the start of each cohort and one a minute, with the time left.

    Args:
        console: The console to print to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._title, self._last = "", time.monotonic()

    def _show_title(self, title: str) -> None:
        self._title = title
        self._report(title)

    def _update(self) -> None:
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._report(f"{self._title}, {self._forecast.share:.0%} of the sweep done")

    def _report(self, line: str) -> None:
        self._last = time.monotonic()
        if left := self._left():
            line += f"; {self._elapsed():.0f} s elapsed, {left}"
        self.note(line)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)
