"""Running a sweep: cohort by cohort into the store, then table, figure and provenance out of it."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.clock import Clock
from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest, reason
from pidlab.objectives import load_objective
from pidlab.plots.capture import FORMATS, capture_figure, save
from pidlab.sweeps.plan import Cohort, plan
from pidlab.sweeps.provenance import provenance
from pidlab.sweeps.request import Request, Run
from pidlab.sweeps.store import ROW_COLUMNS, Store
from pidlab.training import Member, train

# What probing a run takes, in training steps, for the progress bar.
PROBE_STEPS = 200


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
    """

    directory: Path
    table: pd.DataFrame
    failures: dict[str, str]
    runs: int


def run_sweep(
    request: Request,
    directory: Path | None = None,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> SweepResult:
    """Trains and examines what the store does not hold yet, then writes the sweep's files.

    Files: results.sqlite, results.csv, captured.{pdf,svg,png,csv}, provenance.json.

    Args:
        request: the sweep.
        directory: where; `runs/<name of the request>` by default.
        progress: who is told how far it is.
        command: the command line, for provenance.

    Raises:
        InvalidRequest: a folder that cannot be written, or results there that are not ours.
    """
    started = time.perf_counter()
    runs = request.runs()
    cohorts = plan(runs)
    directory = _writable(directory or Path("runs") / request.name)
    store = Store(directory / "results.sqlite")
    try:
        known = store.states()
        # A cohort is finished whole or not at all, unless an earlier request grouped runs otherwise.
        open_runs = [Cohort(tuple(r for r in c.runs if r.key not in known)) for c in cohorts]
        todo = [cohort for cohort in open_runs if cohort.runs]
        progress = progress or Silent()
        progress.start(todo, sum(run.key in known for run in runs), len(runs))
        for number, cohort in enumerate(todo):
            progress.cohort(number, cohort)
            _run_cohort(cohort, store, progress)
        table = results(runs, store)
        failures = store.failures(run.key for run in runs)
        _write(directory / "results.csv", table.to_csv(index=False))
        drawing = Clock()
        with drawing("drawing"):
            if len(table):
                figure, shown = capture_figure(table, request.directions)
                for suffix in FORMATS:
                    save(figure, directory / f"captured.{suffix}")
                _write(directory / "captured.csv", shown.to_csv(index=False))
        record = provenance(request, command) | {
            "runs": len(runs),
            "failed": failures,
            "cohorts": store.seconds(),
            "seconds": _total(store.seconds(), drawing),
            "seconds_of_this_command": time.perf_counter() - started,
        }
        _write(directory / "provenance.json", json.dumps(record, indent=2) + "\n")
        return SweepResult(directory, table, failures, len(runs))
    finally:
        store.close()


def results(runs: Sequence[Run], store: Store) -> pd.DataFrame:
    """The tidy table of a sweep: a row per (run, readout, target, probe), bits throughout."""
    stored = store.rows(run.key for run in runs)
    parameters = list(dict.fromkeys(name for run in runs for name in run.point if name not in TERMS))
    columns = ["run", "objective", "seed", *ROW_COLUMNS, *TERMS, *parameters]
    records = []
    for run in runs:
        about = {"run": run.key, "objective": run.objective, "seed": run.seed}
        truth = run.generator.truth.terms
        varied = {name: run.point.get(name) for name in parameters}
        records += [{**about, **row, **truth, **varied} for row in stored[run.key]]
    table = pd.DataFrame.from_records(records, columns=columns)
    table["headline"] = table["headline"].astype(bool)
    table["truth"] = table["truth"].astype(float)  # what is not known is NaN here and NULL in the store
    return table


def _run_cohort(cohort: Cohort, store: Store, progress: Progress) -> None:
    clock, runs = Clock(), cohort.runs
    device = runs[0].device
    failed: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    program = "none"
    try:
        fitted = train(
            load_objective(cohort.objective),
            [Member(run.generator, run.seed) for run in runs],
            cohort.training,
            device,
            clock=clock,
            on_step=progress.advance,
            say=lambda text: progress.note(f"{cohort.objective}: {text}"),
        )
        program = fitted.program.name
        failed = {runs[i].key: f"loss not finite at step {step}" for i, step in fitted.failed.items()}
        sound = [i for i, run in enumerate(runs) if run.key not in failed]
        if sound:
            found = capture_cohort(
                lambda x: {
                    name: z[sound] if failed else z
                    for name, z in fitted.represent([_spread(xi, sound, len(runs)) for xi in x]).items()
                },
                [runs[i].generator for i in sound],
                [runs[i].seed for i in sound],
                runs[0].probes,
                device,
                clock,
            )
            rows = {runs[i].key: member for i, member in zip(sound, found, strict=True)}
    except Exception as error:
        # One bad objective must not take the others' runs with it.
        failed = dict.fromkeys((run.key for run in runs), reason(error))
        rows = {}
    progress.advance(len(runs) * PROBE_STEPS)
    specifications = {run.key: run.specification for run in runs}
    store.commit(cohort.objective, program, clock.seconds, specifications, rows, failed)


def _spread(x: torch.Tensor, sound: list[int], members: int) -> torch.Tensor:
    """Rows for every member of the cohort, those of failed members anything at all."""
    if len(sound) == members:
        return x
    full = x[:1].expand(members, *x.shape[1:]).clone()
    full[sound] = x
    return full


def _total(cohorts: Sequence[dict[str, Any]], drawing: Clock) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for seconds in (*(cohort["seconds"] for cohort in cohorts), drawing.seconds):
        for activity, spent in seconds.items():
            total[activity] += spent
    return dict(total)


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
