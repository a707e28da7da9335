"""Progress of a sweep in a terminal, and the table that it ends with."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pidlab.results.panels import Panel, panels, symbol_of
from pidlab.sweeps.execute import probing_steps
from pidlab.sweeps.plan import Cohort
from pidlab.sweeps.request import Request
from pidlab.sweeps.run import SweepResult


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


MOST_POINTS = 3


def print_captured(result: SweepResult, request: Request) -> None:
    """Prints captured bits of the headline probe, mean over seeds with their range, and the files."""
    console = Console()
    axes = [request.columns[axis.names[0]] for axis in request.varied]
    if len(result.shown):
        console.print(_table(*panels(result.shown), axes))
    kept = "" if not result.failures else f"; {len(result.failures)} runs failed"
    console.print(f"{result.runs} runs{kept}. Files in {result.directory}:", highlight=False, soft_wrap=True)
    console.print(
        "  report.html   captured.pdf .svg .png   results.csv   provenance.json   results.sqlite",
        highlight=False,
        soft_wrap=True,
    )


def _table(rows: pd.DataFrame, divided: list[Panel], axes: list[str]) -> Table:
    terms = all(symbol_of(panel.term) for panel in divided)
    what = "Captured bits of z12" if terms else "Captured bits"
    title = f"{what}, best probe by validation: mean ± standard deviation over seeds"
    table = Table(title=title, title_justify="left")
    for name in axes:
        table.add_column(name, justify="right")
    table.add_column("objective")
    for panel in divided:
        table.add_column(panel.term if terms else f"I({panel.readout};{panel.term.upper()})", justify="right")
    points = list(dict.fromkeys(rows[axes].itertuples(index=False, name=None))) if axes else [()]
    chosen = points if len(points) <= MOST_POINTS else [points[0], points[len(points) // 2], points[-1]]
    for point in chosen:
        at = rows
        for name, value in zip(axes, point, strict=True):
            at = at[at[name] == value]
        true = (_truth(panel.rows(at)["truth"]) for panel in divided)
        table.add_row(*(_show(value) for value in point), "truth", *true, style="bold")
        for objective, group in at.groupby("objective", sort=False):
            cells = (_cell(panel.rows(group)["captured"]) for panel in divided)
            table.add_row(*("" for _ in point), str(objective), *cells)
        table.add_section()
    return table


def _truth(bits: pd.Series) -> str:
    if bits.empty:  # a readout that no sound run has there
        return ""
    return "unknown" if bits.isna().iloc[0] else f"{bits.iloc[0]:.2f}"


def _cell(bits: pd.Series) -> str:
    if bits.empty:  # an objective without this readout
        return ""
    spread = f" ±{bits.std():.2f}" if len(bits) > 1 else ""
    return f"{bits.mean():.2f}{spread}".replace("-0.00", "0.00")


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
