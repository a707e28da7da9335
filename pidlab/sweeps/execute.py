"""Training and probing of cohorts, and the engine that does it in this process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pidlab.defaults import Training
from pidlab.errors import reason
from pidlab.io import Stopwatch
from pidlab.objectives import load_objective
from pidlab.probes.capture import capture_cohort
from pidlab.probes.levels import get_level
from pidlab.probes.row import Row
from pidlab.probes.trajectory import moved_rows, tracked_rows
from pidlab.sweeps import checkpoint_files
from pidlab.sweeps.plan import Cohort, Run, needs_of_run
from pidlab.sweeps.request import digest_text
from pidlab.threads import one_thread
from pidlab.training import FittedCohort, Member, train
from pidlab.training.resume import ResumeFile

# Folder, in that of a sweep, of the states of unfinished trainings.
UNFINISHED = "unfinished"


class CohortProgress(Protocol):
    """Receiver of the progress of one cohort."""

    def advance(self, steps: int, probed: int = 0, /) -> None:
        """Report finished training steps times runs, and a number of probed runs."""

    def note(self, text: str) -> None:
        """Report a line of information."""


class Progress(Protocol):
    """Receiver of the progress of a sweep."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Start a sweep: `cohorts` remain, and `finished` of `total` runs are in the store."""

    def cohort(self, number: int) -> None:
        """Report that a cohort starts, or starts again because its worker died."""

    def advance(self, number: int, steps: int, probed: int, /) -> None:
        """Report progress inside a cohort."""

    def finish(self, number: int, outcome: Outcome) -> None:
        """Report that a cohort is finished."""

    def note(self, text: str) -> None:
        """Report a line of information."""


class Silent:
    """Progress of a sweep or of a cohort that reports nothing."""

    def start(self, cohorts: Sequence[Cohort], finished: int, total: int) -> None:
        """Do nothing."""

    def cohort(self, number: int) -> None:
        """Do nothing."""

    def advance(self, *_: int) -> None:
        """Do nothing."""

    def finish(self, number: int, outcome: Outcome) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class OneCohort:
    """Forwards the progress of one cohort to that of its sweep.

    Args:
        progress: Progress of the sweep.
        number: Index of the cohort.
    """

    progress: Progress
    number: int

    def advance(self, steps: int, probed: int = 0) -> None:
        """Report progress inside the cohort."""
        self.progress.advance(self.number, steps, probed)

    def note(self, text: str) -> None:
        """Report a line of information."""
        self.progress.note(text)


@dataclass(frozen=True)
class Outcome:
    """Results of a cohort.

    Args:
        objective: Reference to the objective.
        program: Name of the tensor program that trained it: vmap, loop or none.
        seconds: Wall time by activity.
        keys: Keys of all runs.
        rows: Rows of results.csv of every finished run, by key.
        failed: Reason of every failed run, by key.
        files: Contents of the files that `--save` keeps, by name.
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
    whole: bool = True
    losses: Mapping[str, bytes] = field(default_factory=dict)
    environment: str | None = None


Work = Callable[[Cohort, CohortProgress], Outcome]


class Engine(Protocol):
    """A way to train and probe cohorts."""

    @property
    def record(self) -> dict[str, Any]:
        """Name and settings of the engine, for provenance."""
        ...

    def prepare(self, device: str) -> None:
        """Check that the engine can train on a device, before anything is written."""

    def parts(self, seconds: float) -> int:
        """Return the number of cohorts to train at the same time.

        Args:
            seconds: Predicted duration of all cohorts on one core.
        """
        ...

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort as it is finished; closing the generator cancels the others."""
        ...


class Local:
    """An engine that trains one cohort after the other in this process."""

    @property
    def record(self) -> dict[str, Any]:
        """Name of the engine and number of workers."""
        return {"name": "local", "workers": 1}

    def prepare(self, device: str) -> None:
        """Do nothing; this process can always train."""

    def parts(self, seconds: float) -> int:
        """Return 1."""
        return 1

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort, in order."""
        for number, cohort in enumerate(cohorts):
            progress.cohort(number)
            outcome = work(cohort, OneCohort(progress, number))
            progress.finish(number, outcome)
            yield outcome


def resume_path(folder: Path, keys: Sequence[str]) -> Path:
    """Return the file that keeps the unfinished training of a cohort.

    Args:
        folder: Folder of the sweep.
        keys: Keys of all runs of the cohort.
    """
    return folder / UNFINISHED / f"{digest_text(' '.join(keys))}.pt"


@one_thread()
def run_cohort(
    cohort: Cohort, progress: CohortProgress, keep: Sequence[str] = (), folder: Path | None = None
) -> Outcome:
    """Train and probe a cohort; if an exception fails it, try its halves, so that only its cause fails.

    Halves need less memory and give the same numbers.

    Args:
        cohort: Runs to train.
        progress: Receiver of progress reports.
        keep: Files to keep: `"weights"`, `"representations"`.
        folder: Folder of the sweep, in which a long training saves its state; None to save none. A machine
            without this folder saves none.
    """
    runs = tuple(cohort.runs)  # runs are made on access, so they are made once here
    outcome = _run_cohort(Cohort(runs), progress, keep, folder)
    if outcome.whole or len(runs) == 1:
        return outcome
    why = outcome.failed[runs[0].key].splitlines()[0]
    progress.note(f"{cohort.objective}: {len(runs)} runs together: {why}; tried in halves")
    if runs[0].device == "cuda":
        torch.cuda.empty_cache()
    middle = len(runs) // 2
    halves = (runs[:middle], runs[middle:])
    return _joined([run_cohort(Cohort(half), progress, keep, folder) for half in halves])


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
        losses={key: curve for part in parts for key, curve in part.losses.items()},
        environment=parts[0].environment,
    )


def _run_cohort(
    cohort: Cohort, progress: CohortProgress, keep: Sequence[str] = (), folder: Path | None = None
) -> Outcome:
    """Train and probe a cohort; an exception fails all of its runs."""
    clock, runs = Stopwatch(), cohort.runs
    device = runs[0].device
    failed: dict[str, str] = {}
    rows: dict[str, list[Row]] = {}
    files: dict[str, bytes] = {}
    losses: dict[str, bytes] = {}
    program, whole = "none", True
    # The control compares the representation after half of the steps with the final one.
    halfway = [_half(cohort.training)] * get_level(runs[0].probes).controls
    try:
        resume = None
        if folder is not None:
            resume = ResumeFile(resume_path(folder, [run.key for run in runs]), environment(device))
        fitted = train(
            load_objective(cohort.objective, runs[0].source),
            [Member(run.generator, run.seed) for run in runs],
            cohort.training,
            device,
            clock=clock,
            on_step=progress.advance,
            say=lambda text: progress.note(f"{cohort.objective}: {text}"),
            snapshots=[*runs[0].checkpoints, *halfway],
            resume=resume,
        )
        program = fitted.program.name
        if len(fitted.losses):
            losses = {run.key: pack_losses(fitted.losses[:, i].numpy()) for i, run in enumerate(runs)}
        failed = {runs[i].key: f"loss not finite at step {step}" for i, step in fitted.failed.items()}
        sound = [i for i, run in enumerate(runs) if run.key not in failed]
        if sound and "weights" in keep:
            files |= checkpoint_files.weights(fitted, runs, sound)
        # Probing takes more memory than training, so the members of a large cohort are probed in blocks.
        for block in _blocks(sound, needs_of_run(runs[0]).probed_together):
            block_rows, block_files = _probe(fitted.select(block), [runs[i] for i in block], clock, keep)
            rows |= block_rows
            files |= block_files
            progress.advance(0, len(block))
    except Exception as error:
        # An exception in a user's code fails only the runs of this cohort.
        whole = False
        failed = dict.fromkeys((run.key for run in runs), reason(error))
        rows, files, losses = {}, {}, {}
    return Outcome(
        objective=cohort.objective,
        program=program,
        seconds=clock.seconds,
        keys=[run.key for run in runs],
        rows=rows,
        failed=failed,
        files=files,
        whole=whole,
        losses=losses,
        environment=environment(device),
    )


def _blocks(members: Sequence[int], most: int) -> list[list[int]]:
    """Split members into blocks of about equal size."""
    count = math.ceil(len(members) / most)
    return [block.tolist() for block in np.array_split(members, count)] if count else []


def _probe(
    fitted: FittedCohort, runs: Sequence[Run], clock: Stopwatch, keep: Sequence[str]
) -> tuple[dict[str, list[Row]], dict[str, bytes]]:
    """Return the rows of results.csv of trained runs, and the files to keep of their representations."""
    generators, seeds = [run.generator for run in runs], [run.seed for run in runs]
    level, tracked, device = get_level(runs[0].probes), runs[0].checkpoints, runs[0].device
    parts = [capture_cohort(fitted.represent, generators, seeds, level, device, clock)]
    if level.controls:
        earlier = fitted.at(_half(runs[0].training)).represent
        parts.append(moved_rows(earlier, fitted.represent, generators, seeds, device, clock))
    if tracked:
        moments = {step: fitted.at(step).represent for step in tracked}
        parts.append(tracked_rows(moments, generators, seeds, device, clock))
    rows = {run.key: [row for part in parts for row in part[i]] for i, run in enumerate(runs)}
    files: dict[str, bytes] = {}
    if "representations" in keep:
        files = checkpoint_files.representations(fitted.represent, runs, generators, seeds, level, device)
    return rows, files


def _half(training: Training) -> int:
    """Return the step that the control compares with the last one."""
    return training.steps // 2


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
