"""Training and probing of cohorts, and the engine that does it in this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from pidlab.errors import InvalidRequest, reason
from pidlab.io import Stopwatch
from pidlab.objectives import load_objective
from pidlab.probes.capture import capture_cohort
from pidlab.probes.levels import get_level
from pidlab.probes.splits import Represent
from pidlab.probes.trajectory import moved_rows, tracked_rows
from pidlab.sweeps import checkpoint_files
from pidlab.sweeps.plan import Cohort, Run
from pidlab.training import FittedCohort, Member, train


class Progress(Protocol):
    """Receiver of progress reports."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Start a sweep: `cohorts` remain, and `finished` of `total` runs are in the store."""

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Report that a cohort starts."""

    def advance(self, steps: int) -> None:
        """Report a number of finished run-steps: training steps times runs."""

    def note(self, text: str) -> None:
        """Report a line of information."""


class Silent:
    """Progress that reports nothing."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Do nothing."""

    def cohort(self, number: int, cohort: Cohort) -> None:
        """Do nothing."""

    def advance(self, steps: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Outcome:
    """The results of a cohort.

    Args:
        objective: Reference to the objective.
        program: Name of the tensor program that trained it: vmap, loop or none.
        seconds: Wall time by activity.
        keys: Keys of all runs.
        rows: Rows of results.csv of every finished run, by key.
        failed: Reason of every failed run, by key.
        files: Contents of the files that `--save` keeps, by name.
        threads: Number of threads that computed it; 0 if it was not computed.
        whole: False if one exception failed all runs.
        losses: Loss curve of every trained run, by key (`pack_losses`).
        environment: Version of torch and instruction set that computed it.
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
    losses: Mapping[str, bytes] = field(default_factory=dict)
    environment: str | None = None


Work = Callable[[Cohort, Progress], Outcome]


class Engine(Protocol):
    """A way to train and probe cohorts."""

    @property
    def at_once(self) -> int:
        """The number of cohorts that are trained at the same time."""
        ...

    @property
    def record(self) -> dict[str, Any]:
        """The engine's name and settings, for provenance."""
        ...

    def prepare(self, device: str) -> None:
        """Check that the engine can train on a device, before anything is written."""

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort as it is finished; closing the generator cancels the others."""
        ...


class Local:
    """An engine that trains one cohort after the other in this process.

    Args:
        threads: Number of threads; torch's choice by default.
    """

    at_once = 1

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    @property
    def record(self) -> dict[str, Any]:
        """The engine's name and number of threads."""
        return {"name": "local", "threads": [self._threads or torch.get_num_threads()]}

    def prepare(self, device: str) -> None:
        """Do nothing; this process can always train."""

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort, in order."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            for number, cohort in enumerate(cohorts):
                progress.cohort(number, cohort)
                yield work(cohort, progress)
        finally:
            torch.set_num_threads(before)


def select_engine(
    name: str | None, workers: int | None, scheduler: str | None, threads: int | None
) -> Engine:
    """Return the engine for the options of a sweep.

    Args:
        name: local or dask; by default dask if workers or a scheduler are given, otherwise local.
        workers: Number of worker processes on this machine.
        scheduler: Address or file of a Dask scheduler.
        threads: Number of threads to compute with, in this process or in every worker.

    Raises:
        InvalidRequest: If the options exclude each other or a value is not possible.
    """
    if threads is not None and threads < 1:
        raise InvalidRequest(f"--threads {threads}: must be at least 1")
    if name not in (None, "local", "dask"):
        raise InvalidRequest(f"--engine {name!r}: expected local or dask")
    needs_dask = workers is not None or scheduler is not None
    if name == "dask" or (name is None and needs_dask):
        from pidlab.sweeps.cluster import Dask

        return Dask(workers, scheduler, threads)
    if needs_dask:
        raise InvalidRequest("--engine local: excludes --workers and --scheduler; remove --engine local")
    return Local(threads)


# Time to probe a run, and to probe it once with quick probes, in training steps, for the progress bar.
_PROBE_STEPS, _QUICK_STEPS = 200, 60


def probing_steps(run: Run) -> int:
    """Return the time that all probing of a run takes, in training steps."""
    return _PROBE_STEPS + run.track * _QUICK_STEPS


def run_cohort(cohort: Cohort, progress: Progress, keep: Sequence[str] = ()) -> Outcome:
    """Train and probe a cohort; if an exception fails it, try its halves, so that only its cause fails.

    Halves need less memory and give the same numbers.

    Args:
        cohort: Runs to train.
        progress: Receiver of progress reports.
        keep: Files to keep: `"weights"`, `"representations"`.
    """
    runs = tuple(cohort.runs)  # runs are made on access, so they are made once here
    outcome = _run_cohort(Cohort(runs), progress, keep)
    if outcome.whole or len(runs) == 1:
        return outcome
    why = outcome.failed[runs[0].key].splitlines()[0]
    progress.note(f"{cohort.objective}: {len(runs)} runs together: {why}; tried in halves")
    if runs[0].device == "cuda":
        torch.cuda.empty_cache()
    middle = len(runs) // 2
    return _joined([run_cohort(Cohort(half), progress, keep) for half in (runs[:middle], runs[middle:])])


def _joined(parts: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a cohort that was trained in parts."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        for activity, spent in part.seconds.items():
            seconds[activity] += spent
    return Outcome(
        objective=parts[0].objective,
        program=next((part.program for part in parts if part.whole), parts[0].program),
        seconds=seconds,
        keys=[key for part in parts for key in part.keys],
        rows={key: rows for part in parts for key, rows in part.rows.items()},
        failed={key: why for part in parts for key, why in part.failed.items()},
        files={name: file for part in parts for name, file in part.files.items()},
        threads=parts[0].threads,
        losses={key: curve for part in parts for key, curve in part.losses.items()},
        environment=parts[0].environment,
    )


def _run_cohort(cohort: Cohort, progress: Progress, keep: Sequence[str] = ()) -> Outcome:
    """Train and probe a cohort; an exception fails all of its runs."""
    clock, runs = Stopwatch(), cohort.runs
    device = runs[0].device
    failed: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, bytes] = {}
    losses: dict[str, bytes] = {}
    program, whole = "none", True
    level, tracked = get_level(runs[0].probes), runs[0].checkpoints
    half = cohort.training.steps // 2
    try:
        fitted = train(
            load_objective(cohort.objective, runs[0].source),
            [Member(run.generator, run.seed) for run in runs],
            cohort.training,
            device,
            clock=clock,
            on_step=progress.advance,
            say=lambda text: progress.note(f"{cohort.objective}: {text}"),
            # The control compares the representation after half of the steps with the final one.
            snapshots=[*tracked, *[half] * level.controls],
        )
        program = fitted.program.name
        if len(fitted.losses):
            losses = {run.key: pack_losses(fitted.losses[:, i].numpy()) for i, run in enumerate(runs)}
        failed = {runs[i].key: f"loss not finite at step {step}" for i, step in fitted.failed.items()}
        sound = [i for i, run in enumerate(runs) if run.key not in failed]
        if sound:
            probed = [runs[i] for i in sound]
            generators, seeds = [run.generator for run in probed], [run.seed for run in probed]
            readouts = _readouts(fitted, sound, len(runs))
            captured = capture_cohort(readouts, generators, seeds, level, device, clock)
            if level.controls:
                earlier = _readouts(fitted.at(half), sound, len(runs))
                moved = moved_rows(earlier, readouts, generators, seeds, device, clock)
                captured = [[*one, *more] for one, more in zip(captured, moved, strict=True)]
            if tracked:
                moments = {step: _readouts(fitted.at(step), sound, len(runs)) for step in tracked}
                along = tracked_rows(moments, generators, seeds, device, clock)
                captured = [[*one, *more] for one, more in zip(captured, along, strict=True)]
            rows = {run.key: member for run, member in zip(probed, captured, strict=True)}
            if "weights" in keep:
                files |= checkpoint_files.weights(fitted, runs, sound)
            if "representations" in keep:
                files |= checkpoint_files.representations(readouts, probed, generators, seeds, level, device)
    except Exception as error:
        # An exception in a user's code fails only the runs of this cohort.
        whole = False
        failed = dict.fromkeys((run.key for run in runs), reason(error))
        rows, files, losses = {}, {}, {}
    progress.advance(len(runs) * probing_steps(runs[0]))
    return Outcome(
        objective=cohort.objective,
        program=program,
        seconds=clock.seconds,
        keys=[run.key for run in runs],
        rows=rows,
        failed=failed,
        files=files,
        threads=torch.get_num_threads(),
        whole=whole,
        losses=losses,
        environment=environment(device),
    )


def environment(device: str) -> str:
    """Return what rounding depends on: the version of torch, and the instruction set or the GPU."""
    if device == "cuda" and torch.cuda.is_available():
        return f"torch {torch.__version__}, {torch.cuda.get_device_name()}"
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


# Largest number of points of a stored loss curve.
CURVE_POINTS = 200


def pack_losses(losses: np.ndarray) -> bytes:
    """Return a loss curve as float32, little-endian: means over blocks of steps, at most 200 of them.

    Args:
        losses: Loss of every step, shape (steps,).
    """
    starts = np.arange(0, len(losses), _block(len(losses)))
    sizes = np.diff(np.append(starts, len(losses)))
    return (np.add.reduceat(losses.astype(float), starts) / sizes).astype("<f4").tobytes()


def unpack_losses(curve: bytes, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and the mean losses of a curve that `pack_losses` made.

    Args:
        curve: The curve.
        steps: Number of training steps.

    Returns:
        The last step of every block, counted from 0, and the mean loss of the block.
    """
    block = _block(steps)
    return np.minimum(np.arange(block, steps + block, block), steps) - 1, np.frombuffer(curve, "<f4")


def _block(steps: int) -> int:
    return -(-steps // CURVE_POINTS)


def _readouts(fitted: FittedCohort, sound: list[int], members: int) -> Represent:
    """Return the function that represents data by the members at `sound`."""

    def represent(x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        readouts = fitted.represent([_padded(xi, sound, members) for xi in x])
        return readouts if len(sound) == members else {name: z[sound] for name, z in readouts.items()}

    return represent


def _padded(x: torch.Tensor, sound: list[int], members: int) -> torch.Tensor:
    """Return rows for all members of a cohort; failed members get arbitrary rows."""
    if len(sound) == members:
        return x
    full = x[:1].expand(members, *x.shape[1:]).clone()
    full[sound] = x
    return full
