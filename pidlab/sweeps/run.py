"""Running a sweep: cohort by cohort into the store, then table, figure and provenance out of it."""

from __future__ import annotations

import csv
import io
import json
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from math import nan
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.io import Stopwatch, atomic_write, ensure_writable, lock_folder
from pidlab.plots.capture import capture_figure
from pidlab.plots.style import FORMATS, save, style
from pidlab.report import write_report
from pidlab.results.folder import RECORD, TABLE, Results
from pidlab.results.means import RUN
from pidlab.results.tables import notebook
from pidlab.sweeps import checkpoint_files as saved
from pidlab.sweeps.execute import (
    Engine,
    Local,
    Outcome,
    Progress,
    Silent,
    Work,
    run_cohort,
)
from pidlab.sweeps.plan import Run, Runs, filter_runs, plan
from pidlab.sweeps.provenance import outcome_record, provenance
from pidlab.sweeps.request import Request
from pidlab.sweeps.store import FLAGS, ROW_COLUMNS, Store, total_seconds


def csv_header(columns: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """Names of all columns.

    Args:
        columns: of a run's rows.
        parameters: that vary.
    """
    return (*RUN, *columns, *TERMS, *parameters)


def sql_expression(column: str) -> str:
    """An expression of SQL for a column, of a flag (which SQLite keeps as 1 or 0) True or False."""
    return f"CASE {column} WHEN 1 THEN 'True' WHEN 0 THEN 'False' END" if column in FLAGS else column


def write_rows(
    text: IO[str],
    names: Sequence[str],
    runs: Iterable[tuple[Any, ...]],
    rows: Iterable[Sequence[tuple[Any, ...]]],
) -> None:
    """Writes names and rows as CSV.

    Args:
        text: where to.
        names: of the columns.
        runs: of every run what all of its rows say: `RUN`, then terms and parameters.
        rows: what they say beyond, which stands in between.
    """
    text.write(_line(names) + "\n")
    for run, found in zip(runs, rows, strict=True):
        if not found:
            continue
        # What a run's rows have in common is formatted once.
        before, after = _line(run[: len(RUN)]), _line(run[len(RUN) :])
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\0").writerows(found)
        between = f",{after}\n{before},"
        text.write(f"{before},{buffer.getvalue().replace(chr(0), between)[: -len(before) - 1]}")


def _line(values: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue()


NUMBERS = ("truth", "captured", "low", "high")


def results(runs: Sequence[Run], store: Store) -> pd.DataFrame:
    """The tidy table of a sweep: a row per (run, readout, target, probe), bits throughout."""
    rows: dict[str, Any] = {name: array("d") if name in NUMBERS else [] for name in ROW_COLUMNS}
    same: dict[Any, Any] = {}  # one object for each word, not one for each row
    about: dict[str, list[Any]] = {name: [] for name in (*RUN, *TERMS)}
    points, counts = [], []
    for run in runs:
        for name, value in {
            "run": run.key,
            "objective": run.objective,
            "seed": run.seed,
            **run.truth,
        }.items():
            about[name].append(value)
        points.append(run.point)
    for found in store.rows(about["run"]):
        counts.append(len(found))
        for (name, column), values in zip(rows.items(), zip(*found, strict=True), strict=False):
            if name in NUMBERS:  # what is not known is NaN here and NULL in the store
                column.extend([nan if value is None else value for value in values])
            else:
                column.extend([same.setdefault(value, value) for value in values])
    at = np.repeat(np.arange(len(points)), counts)

    def repeated(values: list[Any]) -> pd.Series:
        return pd.Series(values).take(at).reset_index(drop=True)

    parameters = list(dict.fromkeys(name for point in points for name in point if name not in TERMS))
    columns = {
        **{name: repeated(about[name]) for name in RUN},
        **{name: np.frombuffer(c) if name in NUMBERS and c else c for name, c in rows.items()},
        **{term: repeated(about[term]) for term in TERMS},
        **{name: repeated([point.get(name) for point in points]) for name in parameters},
    }
    table = pd.DataFrame(columns)
    for flag, kind in zip(FLAGS, ("bool", "boolean"), strict=True):  # which SQLite keeps as 1 or 0
        table[flag] = table[flag].map({1: True, 0: False}).astype(kind)
    table["step"] = table["step"].astype("Int64")
    if table["step"].isna().all():
        del table["step"]
    return table


def write_results(text: IO[str], request: Request, runs: Runs, store: Store) -> None:
    """Writes the same table as results.csv, the same bytes as `results(...).to_csv(index=False)`.

    Args:
        text: where to.
        request: what was asked.
        runs: of the request, which the store has planned.
        store: with their rows.
    """
    # A column of a frame has one type: whole numbers stay so where all are.
    tracked = bool(request.track) and store.any_asked("step IS NOT NULL")
    said = {name: f"CAST({name} AS REAL)" for name in NUMBERS} | {
        name: sql_expression(name) for name in FLAGS
    }
    columns = [name for name in ROW_COLUMNS if name != "step" or tracked]
    atomic_write = [
        i for i, term in enumerate(TERMS, len(RUN)) if all(isinstance(r.truth[term], int) for r in runs)
    ]
    shown = {
        request.columns[name]: dict(zip(axis.values, pd.Series(axis.values).tolist(), strict=True))
        for axis in request.varied
        for name in axis.names
    }
    shown = {name: values for name, values in shown.items() if name not in TERMS}

    def stated() -> Iterator[tuple[Any, ...]]:
        for place, found in enumerate(store.asked()):
            run = [int(value) if i in atomic_write else value for i, value in enumerate(found)]
            point = runs.point(place // runs.each)
            yield (*run, *(values[point[name]] for name, values in shown.items()))

    keys = (found[0] for found in store.asked())
    rows = store.rows(keys, [said.get(name, name) for name in columns])
    write_rows(text, csv_header(columns, [*shown]), stated(), rows)


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
    directory = ensure_writable(directory or Path("runs") / request.name)
    with lock_folder(directory), closing(Store(directory / STORE)) as store:
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
    cohorts = [filter_runs(cohort, missing) for cohort in plan(runs, parts=engine.at_once)]
    todo = [cohort for cohort in cohorts if cohort.runs]
    progress.start(todo, len(runs) - sum(missing), len(runs))
    # Closed, an engine lets go of what it has begun.
    with closing(engine.outcomes(todo, work, progress)) as outcomes:
        for outcome_record in outcomes:
            _keep(directory, outcome_record)
            store.commit(outcome_record)
            if outcome_record.failed and fail_fast:
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
    with atomic_write(directory / TABLE) as text:
        write_results(text, request, runs, store)
    few = runs.few(MOST_SHOWN)
    note = f"{len(few) // runs.each:,} of {request.size:,} points" if len(few) < len(runs) else ""
    shown, failures = results(few, store), store.failures()
    drawing = Stopwatch()
    with drawing("drawing"):
        if drawn and len(shown):
            _draw(shown, request, directory, f"{note}; results.csv has all" if note else "")
    record = provenance(request, command) | {
        "axis_groups": request.axis_groups,
        **outcome_record(runs, failures),
        "cohorts": store.seconds(),
        "seconds": total_seconds([*store.seconds(), {"seconds": drawing.seconds}]),
        **about,
    }
    with atomic_write(directory / RECORD) as text:
        text.write(json.dumps(record, indent=2) + "\n")
    write_report(Results(shown, record, directory, request.size if note else 0), directory)
    return SweepResult(directory, request, shown, failures, len(runs), left)


def _draw(shown: pd.DataFrame, request: Request, directory: Path, note: str) -> None:
    figure, numbers = capture_figure(shown, request.axis_groups)
    if note:
        with style("neurips"):
            figure.suptitle("; ".join(filter(None, [figure.get_suptitle(), note])), fontsize="medium")
    for suffix in FORMATS:
        save(figure, directory / f"captured.{suffix}")
    with atomic_write(directory / "captured.csv") as text:
        numbers.to_csv(text, index=False)


def _keep(directory: Path, outcome_record: Outcome) -> None:
    try:
        saved.write(directory, outcome_record.files)
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; make room, then the "
            "same command goes on"
        ) from None
