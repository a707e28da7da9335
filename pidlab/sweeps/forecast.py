"""Estimates of the time of cohorts: before a sweep, to split it, and during it, for the time left."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pidlab.sweeps.plan import Cohort

# Kind of work and objective.
Work = tuple[str, str]

# Seconds of one core for a training step of one model: constant, and per byte that the step writes.
STEP_SECONDS, BYTE_SECONDS = 0.1e-3, 1.4e-9
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


def estimate_cost(traffic_bytes: int, memory: int, probes: str, track: int) -> Cost:
    """Estimate the cost of a run from the bytes of a training step, which grow as its time does.

    Args:
        traffic_bytes: Bytes that a training step of one model writes (see `Trial`); 0 if nothing is trained.
        memory: Bytes of all tensors of a run while it is trained.
        probes: Effort of the probes.
        track: Number of checkpoints at which the run is probed as well.
    """
    probing = PROBING_SECONDS[probes] + track * PROBING_SECONDS["quick"]
    step = STEP_SECONDS + BYTE_SECONDS * traffic_bytes if traffic_bytes else 0.0
    return Cost(step, probing, memory)


@dataclass
class _Running:
    """Progress of a cohort that runs.

    Args:
        last: Time of its last report, or of its start.
        done: Estimated seconds of the reported work.
        timed: Estimated seconds of the work whose time was measured.
        measured: Measured seconds of that work.
    """

    last: float
    done: defaultdict[Work, float] = field(default_factory=lambda: defaultdict(float))
    timed: defaultdict[Work, float] = field(default_factory=lambda: defaultdict(float))
    measured: defaultdict[Work, float] = field(default_factory=lambda: defaultdict(float))


class Forecast:
    """Share of a sweep that is done, and the time left.

    Work is counted in estimated seconds, by kind (training, probing) and objective. Each of these sums is
    corrected by the ratio of measured to estimated seconds of its finished part, which includes steps and
    probed runs of unfinished cohorts; where nothing is finished, by the ratio of the same kind of work for
    the other objectives. The time left is the time in which the workers finish the running cohorts and then
    the waiting ones, the longest first.

    Args:
        cohorts: The cohorts to train.
        clock: Returns the time in seconds.
    """

    def __init__(self, cohorts: Sequence["Cohort"], clock: Callable[[], float] = time.monotonic) -> None:
        self._cohorts, self._clock, self._begin = cohorts, clock, clock()
        self._whole = [_estimates(cohort) for cohort in cohorts]
        self._total: defaultdict[Work, float] = defaultdict(float)
        for whole in self._whole:
            for work, seconds in whole.items():
                self._total[work] += seconds
        durations = [sum(whole.values()) for whole in self._whole]
        # Engines start the longest cohorts first.
        self._waiting = dict.fromkeys(sorted(range(len(cohorts)), key=durations.__getitem__, reverse=True))
        self._running: dict[int, _Running] = {}
        self._finished: defaultdict[Work, float] = defaultdict(float)
        self._timed: defaultdict[Work, float] = defaultdict(float)
        self._measured: defaultdict[Work, float] = defaultdict(float)
        self._most_running = 1

    def start(self, number: int) -> None:
        """Count a cohort that starts, or starts again because its worker died.

        Args:
            number: Index of the cohort.
        """
        self._waiting.pop(number, None)
        self._running[number] = _Running(self._clock())
        self._most_running = max(self._most_running, len(self._running))

    def advance(self, number: int, steps: int, probed: int) -> None:
        """Count progress inside a cohort.

        Args:
            number: Index of the cohort.
            steps: Training steps times runs.
            probed: Number of runs that were probed.
        """
        running, cost = self._running[number], self._cohorts[number].cost
        now = self._clock()
        seconds = {"training": steps * cost.step, "probing": probed * cost.probing}
        for work, whole in self._whole[number].items():
            # The first training report follows the start of the worker and of the program.
            is_timed = running.done[work] > 0.0 or work[0] == "probing"
            # A cohort that is tried again in halves reports some steps twice.
            running.done[work] = min(running.done[work] + seconds[work[0]], whole)
            # The last steps are reported together with the first probed runs, whose time is longer.
            if is_timed and work[0] == ("probing" if probed else "training"):
                running.timed[work] += seconds[work[0]]
                running.measured[work] += now - running.last
        running.last = now

    def finish(self, number: int, seconds: Mapping[str, float]) -> None:
        """Count a finished cohort.

        Args:
            number: Index of the cohort.
            seconds: Measured seconds by activity; empty if the cohort failed.
        """
        self._running.pop(number, None)
        training = sum(seconds.get(activity, 0.0) for activity in ("training", "data"))
        measured = {"training": training, "probing": sum(seconds.values()) - training}
        for work, estimated in self._whole[number].items():
            self._finished[work] += estimated
            if measured[work[0]] > 0.0:
                self._timed[work] += estimated
                self._measured[work] += measured[work[0]]

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        corrections = self._corrections()
        done = _corrected(self._finished, corrections)
        done += sum(_corrected(running.done, corrections) for running in self._running.values())
        total = _corrected(self._total, corrections)
        return min(done / total, 1.0) if total else 1.0

    def seconds_left(self) -> float:
        """Return the seconds until the last cohort is finished; infinite if nothing was measured."""
        corrections, now = self._corrections(), self._clock()
        if not corrections:
            return math.inf if self._waiting or self._running else 0.0
        left: list[float] = []
        for number, running in self._running.items():
            rest = {work: whole - running.done[work] for work, whole in self._whole[number].items()}
            # Time since the last report was spent on work that is not reported yet.
            left.append(max(_corrected(rest, corrections) - (now - running.last), 0.0))
        left += [0.0] * (self._workers(now) - len(left))
        left.sort()  # a sorted list is a heap
        for number in self._waiting:
            heapreplace(left, left[0] + _corrected(self._whole[number], corrections))
        return max(left)

    def _workers(self, now: float) -> int:
        """Return the number of cohorts that run at the same time."""
        # A scheduler of other machines reports cohorts only when they are finished.
        elapsed = now - self._begin
        busy = round(sum(self._measured.values()) / elapsed) if elapsed else 0
        return max(self._most_running, busy)

    def _corrections(self) -> dict[Work, float]:
        """Return the ratio of measured to estimated seconds of the most similar work that was measured."""
        timed, measured = defaultdict(float, self._timed), defaultdict(float, self._measured)
        for running in self._running.values():
            for work, seconds in running.measured.items():
                timed[work] += running.timed[work]
                measured[work] += seconds
        known = [work for work, seconds in measured.items() if seconds]
        if not known:
            return {}
        corrections: dict[Work, float] = {}
        for work in self._total:
            alike = [work] if work in known else [w for w in known if w[0] == work[0]] or known
            corrections[work] = sum(measured[w] for w in alike) / sum(timed[w] for w in alike)
        return corrections


def _corrected(seconds: Mapping[Work, float], corrections: Mapping[Work, float]) -> float:
    """Return the sum of estimated seconds, each times its correction; 1 where nothing was measured."""
    return sum(estimated * corrections.get(work, 1.0) for work, estimated in seconds.items())


def _estimates(cohort: "Cohort") -> dict[Work, float]:
    """Return the estimated seconds of a cohort by kind of work."""
    runs, cost = len(cohort.runs), cohort.cost
    seconds = {
        ("training", cohort.objective): runs * cohort.training.steps * cost.step,
        ("probing", cohort.objective): runs * cost.probing,
    }
    return {work: estimated for work, estimated in seconds.items() if estimated}
