"""How long a sweep will take here, measured on a few steps of its own cohorts."""

import dataclasses
import time
from collections.abc import Sequence

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.tracked import PROBES
from pidlab.objectives import load_objective
from pidlab.sweeps.plan import Cohort
from pidlab.training import FittedCohort, Member, train

FEW, MORE = 3, 13


def estimate(cohorts: Sequence[Cohort]) -> float:
    """Seconds for training and probing all cohorts.

    The largest cohort of each objective takes a few steps; two of its members are probed.
    """
    total = 0.0
    largest = {c.objective: c for c in sorted(cohorts, key=lambda c: len(c.runs))}
    for objective, cohort in largest.items():
        size = sum(len(c.runs) for c in cohorts if c.objective == objective)
        steps = sum(len(c.runs) * c.training.steps for c in cohorts if c.objective == objective)
        _timed_training(cohort, FEW)  # the first call pays for memory and kernels
        few, fitted = _timed_training(cohort, FEW)
        more, _ = _timed_training(cohort, MORE)
        per_step = max(more - few, 0.0) / (MORE - FEW) / len(cohort.runs)
        run = cohort.runs[0]
        probing = _timed_probing(cohort, fitted, run.probes)
        if run.track:
            probing += run.track * _timed_probing(cohort, fitted, PROBES)
        total += per_step * steps + probing * size
    return total


def _timed_training(cohort: Cohort, steps: int) -> tuple[float, FittedCohort]:
    members = [Member(run.generator, run.seed) for run in cohort.runs]
    training = dataclasses.replace(cohort.training, steps=steps)
    start = time.perf_counter()
    fitted = train(load_objective(cohort.objective), members, training, cohort.runs[0].device)
    return time.perf_counter() - start, fitted


def _timed_probing(cohort: Cohort, fitted: FittedCohort, probes: str) -> float:
    pair = (tuple(cohort.runs) * 2)[:2]

    def represent(x):  # type: ignore[no-untyped-def]
        full = [xi[:1].expand(fitted.members, *xi.shape[1:]) for xi in x]
        return {name: z[[0, 0]] for name, z in fitted.represent(full).items()}

    start = time.perf_counter()
    capture_cohort(represent, [r.generator for r in pair], [r.seed for r in pair], probes, pair[0].device)
    return (time.perf_counter() - start) / 2
