"""One cohort of a sweep: trained, examined, and in halves where that fails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from pidlab.errors import reason
from pidlab.io import Clock
from pidlab.objectives import load_objective
from pidlab.probes.capture import capture_cohort
from pidlab.probes.data import Represent
from pidlab.probes.levels import get_level
from pidlab.probes.trajectory import moved_rows, tracked_rows
from pidlab.sweeps import checkpoint_files as saved
from pidlab.sweeps.plan import Cohort, Run
from pidlab.training import FittedCohort, Member, train


@dataclass(frozen=True)
class Outcome:
    """A finished cohort.

    Args:
        objective: what it trained.
        program: how.
        seconds: wall time by activity.
        keys: of its runs.
        rows: captured rows of the runs that are done, by key.
        failed: reasons of those that are not.
        files: what `--save` keeps of the runs that are done, by name.
        threads: that computed it; 0 where it was not computed.
        whole: false where one fault took all of its runs.
    """

    objective: str
    program: str
    seconds: Mapping[str, float]
    keys: Sequence[str]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    failed: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    threads: int = 0
    whole: bool = True


def joined(parts: Sequence[Outcome]) -> Outcome:
    """The outcome of a cohort that was trained in parts."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        for activity, spent in part.seconds.items():
            seconds[activity] += spent
    return Outcome(
        parts[0].objective,
        next((part.program for part in parts if part.whole), parts[0].program),
        seconds,
        [key for part in parts for key in part.keys],
        {key: rows for part in parts for key, rows in part.rows.items()},
        {key: why for part in parts for key, why in part.failed.items()},
        {name: file for part in parts for name, file in part.files.items()},
        parts[0].threads,
    )


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


Work = Callable[[Cohort, Progress], Outcome]


class Engine(Protocol):
    """Trains and examines cohorts; what comes of it is stored by whoever asked."""

    @property
    def at_once(self) -> int:
        """How many cohorts are trained at a time."""
        ...

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """What `work` makes of every cohort, in the order in which they are over."""
        ...

    @property
    def record(self) -> dict[str, Any]:
        """What it did, for provenance."""
        ...


class Local:
    """One cohort after the other, in this process.

    Args:
        threads: to compute with; as many as torch has by default.
    """

    at_once = 1

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """In the order of the cohorts."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            for number, cohort in enumerate(cohorts):
                progress.cohort(number, cohort)
                yield work(cohort, progress)
        finally:
            torch.set_num_threads(before)

    @property
    def record(self) -> dict[str, Any]:
        """Its name, and the threads that it computes with."""
        return {"name": "local", "threads": [self._threads or torch.get_num_threads()]}


# What probing a run takes, and probing it quickly after a step, in training steps, for the progress bar.
PROBE_STEPS, QUICK_STEPS = 200, 60


def probing_steps(run: Run) -> int:
    """What all probing of a run takes, in training steps."""
    return PROBE_STEPS + run.track * QUICK_STEPS


def run_cohort(cohort: Cohort, progress: Progress, keep: Sequence[str] = ()) -> Outcome:
    """Trains and examines a cohort; in halves where that fails, so that a fault fails its own runs only.

    Halves take less memory, too, and give the same numbers.
    """
    runs = tuple(cohort.runs)  # made now, and for all that follows
    outcome = _run_cohort(Cohort(runs), progress, keep)
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
    program, level, whole = "none", get_level(runs[0].probes), True
    half, tracked = cohort.training.steps // 2, runs[0].checkpoints
    try:
        fitted = train(
            load_objective(cohort.objective, runs[0].source),
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
