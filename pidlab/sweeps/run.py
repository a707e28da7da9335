"""Running a sweep: cohort by cohort into the store, then table, figure and provenance out of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.clock import Clock
from pidlab.errors import InvalidRequest
from pidlab.files import whole, writable
from pidlab.plots.capture import capture_figure
from pidlab.plots.save import FORMATS, save
from pidlab.plots.style import style
from pidlab.report import write_report
from pidlab.results import RECORD, TABLE, Results
from pidlab.sweeps import saved
from pidlab.sweeps.cohort import run_cohort
from pidlab.sweeps.engine import Engine, Local, Progress, Silent, Work
from pidlab.sweeps.lock import locked
from pidlab.sweeps.outcome import Outcome
from pidlab.sweeps.plan import among, plan
from pidlab.sweeps.provenance import outcome, provenance
from pidlab.sweeps.request import Request
from pidlab.sweeps.runs import Runs
from pidlab.sweeps.store import Store, total_seconds
from pidlab.sweeps.table import results, write_results
from pidlab.tables.written import notebook

STORE = "results.sqlite"
# Of more runs figure, page and the table in the terminal show some of the points; results.csv has all.
MOST_SHOWN = 5_000


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep.

    Args:
        directory: where its files are.
        request: what was asked.
        shown: the rows that figure and page are made of: all, or of more than `MOST_SHOWN` runs those at
            some of the points.
        failures: reasons by run key.
        runs: how many there are.
        planned: how many of them are still to be trained, because a first failure ended it.
    """

    directory: Path
    request: Request
    shown: pd.DataFrame
    failures: dict[str, str]
    runs: int
    planned: int = 0

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of results.csv; those of a big sweep are read when they are asked for."""
        if self.runs <= MOST_SHOWN:
            return self.shown
        with closing(Store(self.directory / STORE, reading=True)) as store:
            return results(self.request.runs(), store)

    def _repr_html_(self) -> str:
        return notebook(self.table, (), self.directory, len(self.failures))


def run_sweep(
    request: Request,
    directory: Path | None = None,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    drawn: bool = True,
    engine: Engine | None = None,
    save: Sequence[str] = (),
) -> SweepResult:
    """Trains and examines what the store does not hold yet, then writes the sweep's files.

    Files: results.sqlite, results.csv, captured.{pdf,svg,png,csv}, provenance.json, report.html.

    Args:
        request: the sweep.
        directory: where; `runs/<name of the request>` by default.
        progress: who is told how far it is.
        command: the command line, for provenance.
        retry_failed: trains runs that failed once more.
        fail_fast: trains no further cohort after one in which a run fails.
        drawn: with a figure; a study draws its own.
        engine: where cohorts are trained; in this process by default.
        save: `"weights"`, `"representations"`: what to keep of every run that is trained, as files.

    Raises:
        InvalidRequest: a folder that cannot be written or that another sweep is writing to, or
            results there that are not ours.
    """
    started = time.perf_counter()
    runs = request.runs()
    directory = writable(directory or Path("runs") / request.name)
    with locked(directory), closing(Store(directory / STORE)) as store:
        store.plan(runs)
        engine = engine or Local()
        work, progress = partial(run_cohort, keep=tuple(save)), progress or Silent()
        done = (key for key, state in store.states().items() if state == "done")
        if lacking := saved.lacking(directory, save, done) if save else 0:
            what = f"{lacking} runs are done without their {' and '.join(save)}"
            progress.note(f"{what}: in a new --out they are trained with them")
        left = _train_missing(runs, store, directory, engine, work, progress, retry_failed, fail_fast)
        about = {"engine": engine.record, "seconds_of_this_command": time.perf_counter() - started}
        try:
            return _written(request, runs, store, directory, command, about, left, drawn)
        except OSError as error:
            raise InvalidRequest(
                f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; mend it, then "
                "the same command goes on"
            ) from None


def _train_missing(
    runs: Runs,
    store: Store,
    directory: Path,
    engine: Engine,
    work: Work,
    progress: Progress,
    retry_failed: bool,
    fail_fast: bool,
) -> int:
    """Trains what is missing, cohort by cohort; returns how many runs a first failure left untrained."""
    missing = store.open(failed=retry_failed)
    # A cohort is finished whole or not at all, unless an earlier request grouped runs otherwise.
    cohorts = [among(cohort, missing) for cohort in plan(runs, parts=engine.at_once)]
    todo = [cohort for cohort in cohorts if cohort.runs]
    progress.start(todo, len(runs) - sum(missing), len(runs))
    # Closed, an engine lets go of what it has begun.
    with closing(engine.outcomes(todo, work, progress)) as outcomes:
        for outcome in outcomes:
            _keep(directory, outcome)
            store.commit(outcome)
            if outcome.failed and fail_fast:
                break
    return sum(store.open())


def _written(
    request: Request,
    runs: Runs,
    store: Store,
    directory: Path,
    command: Sequence[str],
    about: dict[str, Any],
    left: int,
    drawn: bool,
) -> SweepResult:
    """Writes what the store holds of a request, as table, figure, provenance and a page of them all."""
    with whole(directory / TABLE) as text:
        write_results(text, request, runs, store)
    few = runs.few(MOST_SHOWN)
    note = f"{len(few) // runs.each:,} of {request.size:,} points" if len(few) < len(runs) else ""
    shown, failures = results(few, store), store.failures()
    drawing = Clock()
    with drawing("drawing"):
        if drawn and len(shown):
            _draw(shown, request, directory, f"{note}; results.csv has all" if note else "")
    record = provenance(request, command) | {
        "directions": request.directions,
        **outcome(runs, failures),
        "cohorts": store.seconds(),
        "seconds": total_seconds([*store.seconds(), {"seconds": drawing.seconds}]),
        **about,
    }
    with whole(directory / RECORD) as text:
        text.write(json.dumps(record, indent=2) + "\n")
    write_report(Results(shown, record, directory, request.size if note else 0), directory)
    return SweepResult(directory, request, shown, failures, len(runs), left)


def _draw(shown: pd.DataFrame, request: Request, directory: Path, note: str) -> None:
    figure, numbers = capture_figure(shown, request.directions)
    if note:
        with style("neurips"):
            figure.suptitle("; ".join(filter(None, [figure.get_suptitle(), note])), fontsize="medium")
    for suffix in FORMATS:
        save(figure, directory / f"captured.{suffix}")
    with whole(directory / "captured.csv") as text:
        numbers.to_csv(text, index=False)


def _keep(directory: Path, outcome: Outcome) -> None:
    try:
        saved.write(directory, outcome.files)
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; make room, then the "
            "same command goes on"
        ) from None
