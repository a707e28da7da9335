"""Running a sweep: cohort by cohort into the store, then table, figure and provenance out of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Represent
from pidlab.analysis.levels import level_of
from pidlab.analysis.settled import moved_rows
from pidlab.analysis.tracked import tracked_rows
from pidlab.clock import Clock
from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest, reason
from pidlab.objectives import load_objective
from pidlab.plots.capture import capture_figure
from pidlab.plots.save import FORMATS, save
from pidlab.report import write_report
from pidlab.results import Results
from pidlab.sweeps.lock import locked
from pidlab.sweeps.plan import Cohort, plan
from pidlab.sweeps.provenance import outcome, provenance
from pidlab.sweeps.request import Request, Run
from pidlab.sweeps.schema import ROW_COLUMNS
from pidlab.sweeps.store import Store, total_seconds
from pidlab.tables.written import notebook
from pidlab.training import FittedCohort, Member, train

# What probing a run takes, and probing it quickly after a step, in training steps, for the progress bar.
PROBE_STEPS, QUICK_STEPS = 200, 60


def probing_steps(run: Run) -> int:
    """What all probing of a run takes, in training steps."""
    return PROBE_STEPS + run.track * QUICK_STEPS


@runtime_checkable
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


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep.

    Args:
        directory: where its files are.
        table: the rows of results.csv.
        failures: reasons by run key.
        runs: how many there are.
        planned: how many of them are still to be trained, because a first failure ended it.
    """

    directory: Path
    table: pd.DataFrame
    failures: dict[str, str]
    runs: int
    planned: int = 0

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

    Raises:
        InvalidRequest: a folder that cannot be written or that another sweep is writing to, or
            results there that are not ours.
    """
    started = time.perf_counter()
    runs = request.runs()
    directory = _writable(directory or Path("runs") / request.name)
    with locked(directory), closing(Store(directory / "results.sqlite")) as store:
        store.plan(runs)
        left = _train_missing(runs, store, progress or Silent(), retry_failed, fail_fast)
        try:
            return _written(request, runs, store, directory, command, started, left, drawn)
        except OSError as error:
            raise InvalidRequest(
                f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; mend it, then "
                "the same command goes on"
            ) from None


def _train_missing(
    runs: Sequence[Run], store: Store, progress: Progress, retry_failed: bool, fail_fast: bool
) -> int:
    """Trains what is missing, cohort by cohort; returns how many runs a first failure left untrained."""
    known = store.states()
    over = {key for key, state in known.items() if state == "done" or not retry_failed}
    # A cohort is finished whole or not at all, unless an earlier request grouped runs otherwise.
    open_runs = [Cohort(tuple(r for r in c.runs if r.key not in over)) for c in plan(runs)]
    todo = [cohort for cohort in open_runs if cohort.runs]
    progress.start(todo, sum(run.key in over for run in runs), len(runs))
    for number, cohort in enumerate(todo):
        progress.cohort(number, cohort)
        failed = _run_cohort(cohort, store, progress)
        if failed and fail_fast:
            return sum(run.key not in known for c in todo[number + 1 :] for run in c.runs)
    return 0


def _written(
    request: Request,
    runs: Sequence[Run],
    store: Store,
    directory: Path,
    command: Sequence[str],
    started: float,
    left: int,
    drawn: bool,
) -> SweepResult:
    """Writes what the store holds of a request, as table, figure, provenance and a page of them all."""
    table = results(runs, store)
    failures = store.failures(run.key for run in runs)
    _write(directory / "results.csv", table.to_csv(index=False))
    drawing = Clock()
    with drawing("drawing"):
        if drawn and len(table):
            figure, shown = capture_figure(table, request.directions)
            for suffix in FORMATS:
                save(figure, directory / f"captured.{suffix}")
            _write(directory / "captured.csv", shown.to_csv(index=False))
    record = provenance(request, command) | {
        "directions": request.directions,
        **outcome(runs, failures),
        "cohorts": store.seconds(),
        "seconds": total_seconds([*store.seconds(), {"seconds": drawing.seconds}]),
        "seconds_of_this_command": time.perf_counter() - started,
    }
    _write(directory / "provenance.json", json.dumps(record, indent=2) + "\n")
    write_report(Results(table, record, directory), directory)
    return SweepResult(directory, table, failures, len(runs), left)


def results(runs: Sequence[Run], store: Store) -> pd.DataFrame:
    """The tidy table of a sweep: a row per (run, readout, target, probe), bits throughout."""
    parameters = list(dict.fromkeys(name for run in runs for name in run.point if name not in TERMS))
    columns = ["run", "objective", "seed", *ROW_COLUMNS, *TERMS, *parameters]
    by_key = {run.key: run for run in runs}
    records = []
    for key, *row in store.rows(by_key):
        run = by_key[key]
        varied = (run.point.get(name) for name in parameters)
        records.append((key, run.objective, run.seed, *row, *run.truth.values(), *varied))
    table = pd.DataFrame.from_records(records, columns=columns)
    table["headline"] = table["headline"].astype(bool)
    table["truth"] = table["truth"].astype(float)  # what is not known is NaN here and NULL in the store
    table["step"] = table["step"].astype("Int64")
    if table["step"].isna().all():
        del table["step"]
    return table


def _run_cohort(cohort: Cohort, store: Store, progress: Progress) -> dict[str, str]:
    """Trains, examines and stores a cohort; returns why runs of it failed, by key."""
    clock, runs = Clock(), cohort.runs
    device = runs[0].device
    failed: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    program, level = "none", level_of(runs[0].probes)
    half, tracked = cohort.training.steps // 2, runs[0].checkpoints
    try:
        fitted = train(
            load_objective(cohort.objective),
            [Member(run.generator, run.seed) for run in runs],
            cohort.training,
            device,
            clock=clock,
            on_step=progress.advance,
            say=lambda text: progress.note(f"{cohort.objective}: {text}"),
            snapshots=[*tracked, *[half] * level.controls],
        )
        program = fitted.program.name
        failed = {runs[i].key: f"loss not finite at step {step}" for i, step in fitted.failed.items()}
        sound = [i for i, run in enumerate(runs) if run.key not in failed]
        if sound:
            generators, seeds = [runs[i].generator for i in sound], [runs[i].seed for i in sound]
            readouts = _readouts(fitted, sound, len(runs))
            found = capture_cohort(readouts, generators, seeds, level, device, clock)
            if level.controls:
                earlier = _readouts(fitted.at(half), sound, len(runs))
                moved = moved_rows(earlier, readouts, generators, seeds, device, clock)
                found = [[*rows, *more] for rows, more in zip(found, moved, strict=True)]
            if tracked:
                moments = {step: _readouts(fitted.at(step), sound, len(runs)) for step in tracked}
                along = tracked_rows(moments, generators, seeds, device, clock)
                found = [[*rows, *more] for rows, more in zip(found, along, strict=True)]
            rows = {runs[i].key: member for i, member in zip(sound, found, strict=True)}
    except Exception as error:
        # One bad objective must not take the others' runs with it.
        failed = dict.fromkeys((run.key for run in runs), reason(error))
        rows = {}
    progress.advance(len(runs) * probing_steps(runs[0]))
    keys = [run.key for run in runs]
    store.commit(cohort.objective, program, clock.seconds, keys, rows, failed)
    return failed


def _readouts(fitted: FittedCohort, sound: list[int], members: int) -> Represent:
    """The readouts of those members whose training went well."""

    def represent(x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        found = fitted.represent([_spread(xi, sound, members) for xi in x])
        return found if len(sound) == members else {name: z[sound] for name, z in found.items()}

    return represent


def _spread(x: torch.Tensor, sound: list[int], members: int) -> torch.Tensor:
    """Rows for every member of the cohort, those of failed members anything at all."""
    if len(sound) == members:
        return x
    full = x[:1].expand(members, *x.shape[1:]).clone()
    full[sound] = x
    return full


def _writable(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --out"
        ) from None
    return directory


def _write(path: Path, text: str) -> None:
    # Readers see the old file or the new one, never half of it.
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
