"""Estimates of the time of cohorts: before a sweep, to split it, and during it, for the time left."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pidlab.sweeps.plan import Cohort

# Kind of work and objective.
Work = tuple[str, str]

# Seconds of one core for a training step of one model: constant, and per byte of tensors of the step.
STEP_SECONDS, BYTE_SECONDS = 0.4e-3, 0.8e-9
# Seconds of one core to probe a run of four readouts, by level. Measured on a server processor of 2.6 GHz,
# in cohorts of six; `Forecast` corrects all of these constants while a sweep runs.
PROBING_SECONDS = {"quick": 0.2, "standard": 1.0, "thorough": 6.0}


@dataclass(frozen=True)
class Cost:
    """Cost of a run: estimated seconds of one core, and memory.

    Args:
        step: Seconds of one training step.
        probing: Seconds of all probing.
        memory: Bytes of its tensors while it is trained.
    """

    step: float = STEP_SECONDS
    probing: float = PROBING_SECONDS["standard"]
    memory: int = 1

    def seconds(self, steps: int) -> float:
        """Return the seconds of one run.

        Args:
            steps: Number of training steps.
        """
        return steps * self.step + self.probing


def estimate_cost(step_bytes: int, memory: int, probes: str, track: int) -> Cost:
    """Estimate the cost of a run from the memory of a training step, which grows as its time does.

    Args:
        step_bytes: Bytes of one training step of one model.
        memory: Bytes of all tensors of a run while it is trained.
        probes: Effort of the probes.
        track: Number of checkpoints at which the run is probed as well.
    """
    probing = PROBING_SECONDS[probes] + track * PROBING_SECONDS["quick"]
    return Cost(STEP_SECONDS + BYTE_SECONDS * step_bytes, probing, memory)


class Forecast:
    """Share of a sweep that is done, and the time left.

    Work is counted in estimated seconds, by kind (training, probing) and objective. Each of these sums is
    corrected by the ratio of measured to estimated seconds of its finished cohorts; where none is finished,
    by the ratio of the same kind of work for the other objectives.

    Args:
        cohorts: The cohorts to train.
    """

    def __init__(self, cohorts: Sequence["Cohort"]) -> None:
        self._cohorts = cohorts
        self._total: defaultdict[Work, float] = defaultdict(float)
        self._done: defaultdict[Work, float] = defaultdict(float)
        # Of finished cohorts only.
        self._estimated: defaultdict[Work, float] = defaultdict(float)
        self._measured: defaultdict[Work, float] = defaultdict(float)
        # What `_done` counts of unfinished cohorts.
        self._partial: dict[int, dict[Work, float]] = {}
        for cohort in cohorts:
            for work, seconds in _estimates(cohort).items():
                self._total[work] += seconds

    def restart(self, number: int) -> None:
        """Forget the progress of a cohort, which starts or starts again."""
        for work, seconds in self._partial.pop(number, {}).items():
            self._done[work] -= seconds

    def advance(self, number: int, steps: int, probed: int) -> None:
        """Count progress inside a cohort.

        Args:
            number: Index of the cohort.
            steps: Training steps times runs.
            probed: Number of runs that were probed.
        """
        cohort = self._cohorts[number]
        partial = self._partial.setdefault(number, {})
        seconds = {"training": steps * cohort.cost.step, "probing": probed * cohort.cost.probing}
        for work, whole in _estimates(cohort).items():
            before = partial.get(work, 0.0)
            # A cohort that is tried again in halves reports some steps twice.
            partial[work] = min(before + seconds[work[0]], whole)
            self._done[work] += partial[work] - before

    def finish(self, number: int, seconds: Mapping[str, float]) -> None:
        """Count a finished cohort.

        Args:
            number: Index of the cohort.
            seconds: Measured seconds by activity.
        """
        self.restart(number)
        training = sum(seconds.get(activity, 0.0) for activity in ("training", "data"))
        measured = {"training": training, "probing": sum(seconds.values()) - training}
        for work, estimated in _estimates(self._cohorts[number]).items():
            self._done[work] += estimated
            if measured[work[0]] > 0.0:
                self._estimated[work] += estimated
                self._measured[work] += measured[work[0]]

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        corrections = {work: self._correction(work) for work in self._total}
        total = sum(seconds * corrections[work] for work, seconds in self._total.items())
        done = sum(seconds * corrections[work] for work, seconds in self._done.items())
        return min(done / total, 1.0) if total else 1.0

    def seconds_left(self, elapsed: float) -> float:
        """Return the seconds that remain if work goes on as fast as before; infinite if nothing is done.

        Args:
            elapsed: Seconds since the start.
        """
        share = self.share
        return elapsed * (1.0 - share) / share if share else math.inf

    def _correction(self, work: Work) -> float:
        """Return the ratio of measured to estimated seconds of the most similar work that was measured."""
        alike = [work] if work in self._measured else [w for w in self._measured if w[0] == work[0]]
        alike = alike or [*self._measured]
        measured, estimated = (sum(of[w] for w in alike) for of in (self._measured, self._estimated))
        return measured / estimated if estimated else 1.0


def _estimates(cohort: "Cohort") -> dict[Work, float]:
    """Return the estimated seconds of a cohort by kind of work."""
    runs, cost = len(cohort.runs), cohort.cost
    return {
        ("training", cohort.objective): runs * cohort.training.steps * cost.step,
        ("probing", cohort.objective): runs * cost.probing,
    }
