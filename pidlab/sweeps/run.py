"""A sweep from its request to its files: results.sqlite, results.csv and provenance.json."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.io import atomic_write, ensure_writable, lock_folder
from pidlab.results.baseline_columns import join_baselines
from pidlab.results.folder import RECORD, TABLE, seal
from pidlab.results.means import ACCURACIES, BASELINES, RUN, TRAINED
from pidlab.sweeps import checkpoint_files
from pidlab.sweeps.baselines import Baselines
from pidlab.sweeps.engines import Processes
from pidlab.sweeps.execute import (
    UNFINISHED,
    Engine,
    Progress,
    Silent,
    Work,
    environment,
    resume_path,
    run_cohort,
    unpack_losses,
)
from pidlab.sweeps.plan import Run, Runs, RunSubset, filter_runs, plan
from pidlab.sweeps.provenance import outcome_record, provenance
from pidlab.sweeps.request import Request
from pidlab.sweeps.store import FLAGS, ROW_COLUMNS, Store, total_seconds

STORE = "results.sqlite"
# Largest number of runs that a figure, a page and a terminal table are made from.
MOST_SHOWN = 5_000


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep.

    Args:
        directory: Folder of its files.
        request: The request that was run.
        shown: Rows for figures, pages and the terminal: all rows, or those of an even sample of the points
            if the sweep has more than `MOST_SHOWN` runs.
        failures: Reason of each failed run, by run key.
        runs: Number of runs.
        planned: Number of runs that were not trained because `fail_fast` stopped the sweep.
        record: The contents of provenance.json.
        sampled: Number of points in `shown` if it is a sample, otherwise 0.
    """

    directory: Path
    request: Request
    shown: pd.DataFrame
    failures: dict[str, str]
    runs: int
    planned: int
    record: dict[str, Any]
    sampled: int = 0

    @cached_property
    def table(self) -> pd.DataFrame:
        """All rows of results.csv."""
        return read_rows(self.directory / TABLE) if self.sampled else self.shown


def run_sweep(
    request: Request,
    directory: Path | None = None,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    engine: Engine | None = None,
    save: Sequence[str] = (),
) -> SweepResult:
    """Train and probe every run that the folder does not hold yet, then write the sweep's files.

    Args:
        request: The sweep.
        directory: Folder of the files; `runs/<name of the request>` by default.
        progress: Receiver of progress reports.
        command: Command line, for provenance.
        retry_failed: Train failed runs once more.
        fail_fast: Stop after the first cohort in which a run fails.
        engine: Engine that trains the cohorts; by default worker processes, for a short sweep this process.
        save: Files to keep of every trained run: `"weights"`, `"representations"`.

    Returns:
        The finished sweep.

    Raises:
        InvalidRequest: If the request is invalid, the folder cannot be written to, another sweep is writing
            to it, or it holds results that are not pidlab's.
    """
    started = time.perf_counter()
    request.validate()
    runs = Runs(request)
    baselines = Baselines(request) if request.baselines else None
    engine, progress = engine or Processes(), progress or Silent()
    engine.prepare(request.device)
    directory = ensure_writable(directory or Path("runs") / request.name)
    with lock_folder(directory), closing(Store(directory / STORE)) as store:
        store.plan(runs)
        store.check_rows()
        if save:
            _note_missing_files(store, directory, save, progress)
        # Workers may have another working directory.
        work = partial(run_cohort, keep=tuple(save), folder=directory.resolve())
        about_baselines: dict[str, Any] = {}

        def write() -> SweepResult:
            measured = {"engine": engine.record, "seconds_of_this_command": time.perf_counter() - started}
            with _explain_disk_errors(directory):
                return _write_files(
                    request, runs, store, directory, command, measured | about_baselines, baselines
                )

        def train_missing(these: Sequence[Run]) -> None:
            _train_missing(these, store, directory, engine, work, progress, retry_failed, fail_fast)

        try:
            train_missing(runs)
            if baselines is not None and not (fail_fast and store.failures()):
                about_baselines["baselines"] = _train_baselines(
                    baselines, runs, store, train_missing, progress
                )
        except KeyboardInterrupt:
            if store.any_asked("1"):
                write()  # so that the finished runs can be plotted
            raise
        if not any(store.open()):
            # Earlier commands may have left states of cohorts of other runs.
            shutil.rmtree(directory / UNFINISHED, ignore_errors=True)
        return write()


@contextmanager
def _explain_disk_errors(directory: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; make room or fix "
            "the folder, then rerun the same command to resume"
        ) from None


def _note_missing_files(store: Store, directory: Path, save: Sequence[str], progress: Progress) -> None:
    done = (key for key, state in store.states().items() if state == "done")
    if missing := checkpoint_files.count_missing(directory, save, done):
        progress.note(
            f"{missing} finished runs have no saved {' and '.join(save)}; a sweep in a new --out saves them"
        )


def _note_other_environments(store: Store, device: str, progress: Progress) -> None:
    here = environment(device)
    for other, count in store.environments().items():
        if other != here:
            progress.note(
                f"{count} finished runs were computed with {other}, new runs use {here}: numbers can differ "
                "by rounding; a new --out avoids the mixture"
            )


def _train_baselines(
    baselines: Baselines,
    runs: Runs,
    store: Store,
    train_missing: Callable[[Sequence[Run]], None],
    progress: Progress,
) -> dict[str, Any]:
    """Train the floors and ceilings that are not in the store, and return their number and failures."""
    these = baselines.missing_from(runs)
    for name, why in baselines.absent.items():
        progress.note(f"no {name}: {why}")
    store.plan(these)
    try:
        train_missing(these)
        failures = store.failures()
    finally:
        store.plan(runs)  # the table has the rows of these
    failed = {run.objective: failures[run.key] for run in these if run.key in failures}
    for objective, why in failed.items():
        progress.note(f"failed: {objective}: {why}")
    return {"runs": len(these), "failed": failed, "absent": baselines.absent}


def _train_missing(
    runs: Sequence[Run],
    store: Store,
    directory: Path,
    engine: Engine,
    work: Work,
    progress: Progress,
    retry_failed: bool,
    fail_fast: bool,
) -> None:
    """Train the cohorts whose runs are not in the store, and commit each when it is finished."""
    missing = store.open(failed=retry_failed)
    # An earlier request with other runs may have grouped the runs differently, so cohorts can be half done.
    cohorts = [filter_runs(cohort, missing) for cohort in plan(runs, parts=engine.parts)]
    todo = [cohort for cohort in cohorts if cohort.runs]
    if todo:
        _note_other_environments(store, todo[0].runs[0].device, progress)
    progress.start(todo, len(runs) - sum(missing), len(runs))
    # Closing the generator makes the engine cancel the cohorts that it has started.
    with closing(engine.outcomes(todo, work, progress)) as outcomes:
        for outcome in outcomes:
            with _explain_disk_errors(directory):
                checkpoint_files.write(directory, outcome.files)
            store.commit(outcome)
            resume_path(directory, outcome.keys).unlink(missing_ok=True)
            if outcome.failed and fail_fast:
                break


def _write_files(
    request: Request,
    runs: Runs,
    store: Store,
    directory: Path,
    command: Sequence[str],
    measured: dict[str, Any],
    baselines: Baselines | None,
) -> SweepResult:
    """Write results.csv and provenance.json from the store."""
    with atomic_write(directory / TABLE) as text:
        written = write_results(text, request, runs, runs, store, baselines)
    sample = runs.few(MOST_SHOWN)
    if isinstance(sample, Runs):
        shown, sampled = read_rows(directory / TABLE), 0
    else:
        text = io.StringIO()
        write_results(text, request, runs, sample, store, baselines)
        text.seek(0)
        shown, sampled = read_rows(text), len(sample) // runs.each
    failures = store.failures()
    record = provenance(request, command) | {
        "axis_groups": request.axis_groups,
        **outcome_record(runs, failures),
        "rows": written,
        "unfinished": sum(store.open()),
        "cohorts": store.seconds(),
        "environments": store.environments(),
        "seconds": total_seconds(store.seconds()),
        **measured,
    }
    record = seal(record, directory, [TABLE])
    with atomic_write(directory / RECORD) as text:
        text.write(json.dumps(record, indent=2) + "\n")
    return SweepResult(
        directory, request, shown, failures, len(runs), sum(store.open()), record, sampled=sampled
    )


# Columns that are always real numbers.
_NUMBERS = ("truth", "captured", "low", "high", *ACCURACIES)


def write_results(
    text: IO[str],
    request: Request,
    runs: Runs,
    subset: Runs | RunSubset,
    store: Store,
    baselines: Baselines | None = None,
) -> int:
    """Write the rows of runs as CSV: one row per (run, readout, target, probe).

    Args:
        text: Text file to write to.
        request: The request.
        runs: Every run of the request, as planned in the store.
        subset: The runs to write; `runs` itself for all.
        store: The store with their rows.
        baselines: The floors and ceilings of the runs, if the table has columns for them.

    Returns:
        The number of rows.
    """
    tracked = bool(request.track) and store.any_asked("step IS NOT NULL")
    columns = [name for name in ROW_COLUMNS if name != "step" or tracked]
    casts = {name: f"CAST({name} AS REAL)" for name in _NUMBERS}
    casts |= {name: sql_expression(name) for name in FLAGS}
    # A column has one type: a term is written as a whole number only if it is one in every run.
    whole = [i for i, term in enumerate(TERMS, len(RUN)) if all(type(r.truth[term]) is int for r in runs)]
    # Likewise for a parameter: pandas turns 0, 0.25 into 0.0, 0.25.
    parameters = {
        request.columns[name]: dict(zip(axis.values, pd.Series(axis.values).tolist(), strict=True))
        for axis in request.varied
        for name in axis.names
    }
    parameters = {name: values for name, values in parameters.items() if name not in TERMS}
    places = None if isinstance(subset, Runs) else set(subset.places)

    def selected() -> Iterator[tuple[int, tuple[Any, ...]]]:
        for place, run in enumerate(store.asked()):
            if places is None or place in places:
                yield place, run

    def described() -> Iterator[tuple[Any, ...]]:
        for place, run in selected():
            values = [int(value) if i in whole else value for i, value in enumerate(run)]
            point = runs.point(place // runs.each)
            yield (*values, *(known[point[name]] for name, known in parameters.items()))

    keys = (run[0] for _, run in selected())
    expressions = [casts.get(name, name) for name in columns]
    rows: Iterator[Sequence[tuple[Any, ...]]] = store.rows(keys, expressions)
    header = csv_header(columns, [*parameters])
    if baselines is not None:
        rows = _with_baselines(rows, subset, store, baselines, columns, expressions)
        header = csv_header([*columns, *BASELINES], [*parameters])
    return write_rows(text, header, described(), rows)


def _with_baselines(
    rows: Iterable[Sequence[tuple[Any, ...]]],
    runs: Iterable[Run],
    store: Store,
    baselines: Baselines,
    columns: Sequence[str],
    expressions: Sequence[str],
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of every run with the bits of its floor and ceiling."""
    for run, own_rows in zip(runs, rows, strict=True):
        found = baselines.of(run)
        keys = (found[name].key if name in found else "" for name in BASELINES)
        yield join_baselines(own_rows, [*store.rows(keys, expressions)], columns)


def read_rows(source: Path | IO[str]) -> pd.DataFrame:
    """Read rows that `write_results` wrote."""
    kinds: dict[str, Any] = {"run": str, "headline": bool, "step": "Int64"}
    return pd.read_csv(source, dtype=kinds | dict.fromkeys(("converged", TRAINED), "boolean"))


def read_losses(store: Store) -> pd.DataFrame:
    """Return the loss curves of all trained runs.

    The columns are `run`, `objective`, `seed`, `step`, `loss`, the four terms, `trained` (of the run) and the
    parameters of the sweep.

    Args:
        store: The store of a sweep.
    """
    parts, parameters = [], store.parameters()
    names = [*TERMS, TRAINED, *parameters]
    runs = {run[0]: run[len(RUN) :] for run in store.runs(parameters)}
    for key, objective, seed, steps, curve in store.losses():
        at, losses = unpack_losses(curve, steps)
        about = {"run": key, "objective": objective, "seed": seed} | dict(zip(names, runs[key], strict=True))
        parts.append(
            pd.DataFrame({"step": at, "loss": losses} | {k: [v] * len(at) for k, v in about.items()})
        )
    columns = [*RUN, "step", "loss", *names]
    table = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return table.astype({TRAINED: "boolean"})


def csv_header(columns: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of a results table.

    Args:
        columns: Columns of a run's rows.
        parameters: Columns of the parameters that vary.
    """
    return (*RUN, *columns, *TERMS, TRAINED, *parameters)


def sql_expression(column: str) -> str:
    """Return the SQL expression that writes a column as CSV, with True and False for SQLite's 1 and 0."""
    return f"CASE {column} WHEN 1 THEN 'True' WHEN 0 THEN 'False' END" if column in FLAGS else column


def write_rows(
    text: IO[str],
    names: Sequence[str],
    runs: Iterable[tuple[Any, ...]],
    rows: Iterable[Sequence[tuple[Any, ...]]],
) -> int:
    """Write a header and rows as CSV.

    Args:
        text: Text file to write to.
        names: Column names.
        runs: Values that all rows of a run share, for every run: `RUN`, then terms, `trained` and
            parameters.
        rows: Values of each row of every run, to be written between `RUN` and the terms.

    Returns:
        The number of rows.
    """
    count = 0
    text.write(_csv_line(names) + "\n")
    for run, own_rows in zip(runs, rows, strict=True):
        if not own_rows:
            continue
        count += len(own_rows)
        # The values that rows share are formatted once per run, which makes large tables twice as fast.
        before, after = _csv_line(run[: len(RUN)]), _csv_line(run[len(RUN) :])
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\0").writerows(own_rows)
        between = f",{after}\n{before},"
        text.write(f"{before},{buffer.getvalue().replace(chr(0), between)[: -len(before) - 1]}")
    return count


def _csv_line(values: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue()
