"""One cohort of a sweep: trained, examined, and in halves where that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Represent
from pidlab.analysis.levels import level_of
from pidlab.analysis.settled import moved_rows
from pidlab.analysis.tracked import tracked_rows
from pidlab.clock import Clock
from pidlab.errors import reason
from pidlab.objectives import load_objective
from pidlab.sweeps import saved
from pidlab.sweeps.engine import Progress
from pidlab.sweeps.outcome import Outcome, joined
from pidlab.sweeps.plan import Cohort
from pidlab.sweeps.runs import Run
from pidlab.training import FittedCohort, Member, train

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
