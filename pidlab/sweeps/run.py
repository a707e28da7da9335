"""Running a sweep: cohort by cohort into the store, then table, figure and provenance out of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Represent
from pidlab.analysis.levels import level_of
from pidlab.analysis.settled import moved_rows
from pidlab.analysis.tracked import tracked_rows
from pidlab.clock import Clock
from pidlab.errors import InvalidRequest, reason
from pidlab.objectives import load_objective
from pidlab.plots.capture import capture_figure
from pidlab.plots.save import FORMATS, save
from pidlab.report import write_report
from pidlab.results import Results
from pidlab.sweeps import saved
from pidlab.sweeps.engine import Engine, Local, Progress, Silent, Work
from pidlab.sweeps.lock import locked
from pidlab.sweeps.outcome import Outcome, joined
from pidlab.sweeps.plan import Cohort, plan
from pidlab.sweeps.provenance import outcome, provenance
from pidlab.sweeps.request import Request, Run
from pidlab.sweeps.store import Store, total_seconds
from pidlab.sweeps.table import results
from pidlab.tables.written import notebook
from pidlab.training import FittedCohort, Member, train

# What probing a run takes, and probing it quickly after a step, in training steps, for the progress bar.
PROBE_STEPS, QUICK_STEPS = 200, 60


def probing_steps(run: Run) -> int:
    """What all probing of a run takes, in training steps."""
    return PROBE_STEPS + run.track * QUICK_STEPS


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
    directory = _writable(directory or Path("runs") / request.name)
    with locked(directory), closing(Store(directory / "results.sqlite")) as store:
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
    runs: Sequence[Run],
    store: Store,
    directory: Path,
    engine: Engine,
    work: Work,
    progress: Progress,
    retry_failed: bool,
    fail_fast: bool,
) -> int:
    """Trains what is missing, cohort by cohort; returns how many runs a first failure left untrained."""
    known = store.states()
    over = {key for key, state in known.items() if state == "done" or not retry_failed}
    # A cohort is finished whole or not at all, unless an earlier request grouped runs otherwise.
    cohorts = plan(runs, parts=engine.at_once)
    open_runs = [Cohort(tuple(r for r in c.runs if r.key not in over)) for c in cohorts]
    todo = [cohort for cohort in open_runs if cohort.runs]
    progress.start(todo, sum(run.key in over for run in runs), len(runs))
    left = {run.key for cohort in todo for run in cohort.runs if run.key not in known}
    # Closed, an engine lets go of what it has begun.
    with closing(engine.outcomes(todo, work, progress)) as outcomes:
        for outcome in outcomes:
            _keep(directory, outcome)
            store.commit(outcome)
            left.difference_update(outcome.keys)
            if outcome.failed and fail_fast:
                break
    return len(left)


def _written(
    request: Request,
    runs: Sequence[Run],
    store: Store,
    directory: Path,
    command: Sequence[str],
    about: dict[str, Any],
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
        **about,
    }
    _write(directory / "provenance.json", json.dumps(record, indent=2) + "\n")
    write_report(Results(table, record, directory), directory)
    return SweepResult(directory, table, failures, len(runs), left)


def _keep(directory: Path, outcome: Outcome) -> None:
    try:
        saved.write(directory, outcome.files)
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): finished cohorts are kept; make room, then the "
            "same command goes on"
        ) from None


def run_cohort(cohort: Cohort, progress: Progress, keep: Sequence[str] = ()) -> Outcome:
    """Trains and examines a cohort; in halves where that fails, so that a fault fails its own runs only.

    Halves take less memory, too, and give the same numbers.
    """
    outcome, runs = _run_cohort(cohort, progress, keep), cohort.runs
    if outcome.whole or len(runs) == 1:
        return outcome
    why = outcome.failed[runs[0].key].splitlines()[0]
    progress.note(f"{cohort.objective}: {len(runs)} runs together: {why}; tried in halves")
    if runs[0].device == "cuda":
        torch.cuda.empty_cache()
    middle = len(runs) // 2
    return joined([run_cohort(Cohort(half), progress, keep) for half in (runs[:middle], runs[middle:])])


def _run_cohort(cohort: Cohort, progress: Progress, keep: Sequence[str] = ()) -> Outcome:
    clock, runs = Clock(), cohort.runs
    device = runs[0].device
    failed: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, bytes] = {}
    program, level, whole = "none", level_of(runs[0].probes), True
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
            if "weights" in keep:
                files |= saved.weights(fitted, runs, sound)
            if "representations" in keep:
                mine = [runs[i] for i in sound]
                files |= saved.representations(readouts, mine, generators, seeds, level, device)
    except Exception as error:
        # One bad objective must not take the others' runs with it.
        whole = False
        failed = dict.fromkeys((run.key for run in runs), reason(error))
        rows, files = {}, {}
    progress.advance(len(runs) * probing_steps(runs[0]))
    keys = [run.key for run in runs]
    threads = torch.get_num_threads()
    return Outcome(cohort.objective, program, clock.seconds, keys, rows, failed, files, threads, whole)


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
