"""Engine that trains cohorts in worker processes of this machine, and the choice of an engine."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.io import machine_memory
from pidlab.objectives import session
from pidlab.objectives.load import innermost
from pidlab.registry import parse
from pidlab.sweeps.execute import CohortProgress, Engine, Local, OneCohort, Outcome, Progress, Work
from pidlab.sweeps.plan import Cohort
from pidlab.workers import Finished, Report, WorkerDiedError, Workers, available_cores

# Seconds of work for which another worker process pays; it needs about two to start.
PAYS_OFF = 5.0
# Memory of a worker process without the tensors of its cohort, in bytes.
WORKER_BYTES = 500_000_000
# Seconds between the reports of a cohort.
REPORT_SECONDS = 0.3


def select_engine(
    name: str | None, workers: int | None, scheduler: str | None, threads: int | None = None
) -> Engine:
    """Return the engine for the options of a sweep.

    Args:
        name: local (this machine) or dask; by default dask if a scheduler is given, otherwise local.
        workers: Number of processes on this machine; by default as many as there are cores and as pay off.
        scheduler: Address or file of a Dask scheduler.
        threads: Number of threads of a process, which has to be 1.

    Raises:
        InvalidRequest: If the options exclude each other or a value is not possible.
    """
    if threads not in (None, 1):
        raise InvalidRequest(
            f"--threads {threads}: must be 1, because rounding depends on the number of threads; "
            "use --workers for more cores"
        )
    if workers is not None and workers < 1:
        raise InvalidRequest(f"--workers {workers}: must be at least 1")
    if name not in (None, "local", "dask"):
        raise InvalidRequest(f"--engine {name!r}: expected local or dask")
    if scheduler is None and name != "dask":
        return Local() if workers == 1 else Processes(workers)
    if name == "local":
        raise InvalidRequest("--engine local: excludes --scheduler; remove one of the two")
    if scheduler is None:
        raise InvalidRequest(
            "--engine dask: needs --scheduler ADDRESS; on this machine, --workers N needs no Dask"
        )
    if workers is not None:
        raise InvalidRequest(
            "--workers and --scheduler: a scheduler has its own workers; give one of the two"
        )
    from pidlab.sweeps.cluster import Dask

    return Dask(scheduler)


class Processes:
    """An engine of worker processes on this machine, with one thread each.

    A worker that dies costs the time of its cohort, which is trained again. Cohorts of user code never share
    a process with others. A cohort that cannot be sent to a worker is trained in this process.

    Args:
        workers: Number of processes; by default as many as there are cores, as fit into memory, and as pay
            off.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers
        self._used = 1

    @property
    def record(self) -> dict[str, Any]:
        """Name of the engine and number of workers."""
        return {"name": "local", "workers": self._used}

    def prepare(self, device: str) -> None:
        """Check that workers would not share a GPU.

        Raises:
            InvalidRequest: If they would.
        """
        if device == "cuda":
            if self._workers is not None:
                raise InvalidRequest(
                    f"--workers {self._workers}: worker processes would share one GPU; start a worker for "
                    "each GPU with `dask worker --resources GPU=1`, and give --scheduler"
                )
            self._workers = 1

    def parts(self, seconds: float) -> int:
        """Return the number of workers, given the seconds of one core that all cohorts take."""
        if self._workers is not None:
            return self._workers
        return max(1, min(available_cores(), int(seconds / PAYS_OFF)))

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort as it is finished, longest cohorts first.

        Args:
            cohorts: Cohorts to train.
            work: Trains and probes a cohort.
            progress: Receiver of progress reports.

        Raises:
            InvalidRequest: If worker processes cannot be started.
        """
        self._used = self._count(cohorts)
        if self._used == 1:
            yield from Local().outcomes(cohorts, work, progress)
            return
        yield from _Sweep(cohorts, work, progress).outcomes(self._used)

    def _count(self, cohorts: Sequence[Cohort]) -> int:
        """Return the number of workers for cohorts."""
        count = min(self.parts(sum(cohort.seconds for cohort in cohorts)), len(cohorts))
        if self._workers is None and count > 1:
            largest = WORKER_BYTES + max(cohort.memory for cohort in cohorts)
            count = min(count, int(machine_memory() // largest))
        return max(count, 1)


class _Sweep:
    """Cohorts of a sweep as tasks of workers.

    A task is a cohort. If the workers of a cohort die repeatedly, each of its runs becomes a task.
    """

    def __init__(self, cohorts: Sequence[Cohort], work: Work, progress: Progress) -> None:
        self._cohorts, self._work, self._progress = cohorts, work, progress
        # The number of the cohort and the runs of every task.
        self._tasks: list[tuple[int, Cohort]] = []
        self._left = [1] * len(cohorts)
        self._unsent: list[int] = []

    def outcomes(self, count: int) -> Generator[Outcome, None, None]:
        """Yield the outcomes from a number of workers, then those of cohorts that cannot be sent."""
        order = sorted(range(len(self._cohorts)), key=lambda i: self._cohorts[i].seconds, reverse=True)
        remaining = iter(order)
        with Workers(count, self._started, self._reported) as workers:
            # A task holds its runs, so few tasks wait at a time.
            for _ in range(2 * count):
                self._submit_next(workers, remaining)
            for done in workers.finished():
                self._submit_next(workers, remaining)
                number, cohort = self._tasks[done.number]
                if isinstance(done.error, WorkerDiedError) and len(cohort.runs) > 1:
                    self._split(workers, number, cohort, done.error)
                elif done.error is None or isinstance(done.error, WorkerDiedError):
                    yield self._finished(number, _outcome(done, cohort))
                else:  # the worker could not read it, for instance for lack of a module
                    self._unsent.append(done.number)
        for task in self._unsent:
            number, cohort = self._tasks[task]
            self._progress.cohort(number)
            yield self._finished(number, self._work(cohort, OneCohort(self._progress, number)))

    def _finished(self, number: int, outcome: Outcome) -> Outcome:
        self._left[number] -= 1
        if not self._left[number]:
            self._progress.finish(number, outcome)
        return outcome

    def _submit_next(self, workers: Workers, remaining: Iterator[int]) -> None:
        """Submit the next cohort that can be sent to a worker."""
        for number in remaining:
            if self._submit(workers, number, self._cohorts[number]):
                return

    def _submit(self, workers: Workers, number: int, cohort: Cohort) -> bool:
        """Submit a cohort, and return whether it can be sent to a worker."""
        task = len(self._tasks)
        self._tasks.append((number, cohort))
        runs = tuple(cohort.runs)
        name = parse(innermost(cohort.objective)).name
        carried = {name: session.session_objective(name)} if session.is_session_defined(name) else {}
        call = partial(_train, self._work, Cohort(runs, cohort.cost), carried)
        # User code may change its process, which must not change the numbers of others.
        owner = name if runs[0].source else ""
        try:
            workers.submit(task, call, owner)
        except Exception:  # a class or a generator that cannot be pickled raises any exception
            self._unsent.append(task)
            return False
        return True

    def _split(self, workers: Workers, number: int, cohort: Cohort, error: WorkerDiedError) -> None:
        runs = tuple(cohort.runs)
        self._progress.note(f"{cohort.objective}: {len(runs)} runs together: {error}; tried one by one")
        self._left[number] = len(runs)
        for run in runs:
            self._submit(workers, number, Cohort((run,), cohort.cost))

    def _started(self, task: int) -> None:
        number, cohort = self._tasks[task]
        if len(cohort.runs) == len(self._cohorts[number].runs):
            self._progress.cohort(number)

    def _reported(self, task: int, report: tuple[int, int, str]) -> None:
        steps, probed, note = report
        if note:
            self._progress.note(note)
        else:
            self._progress.advance(self._tasks[task][0], steps, probed)


def _outcome(done: Finished, cohort: Cohort) -> Outcome:
    """Return the outcome of a task; the runs of a task whose workers died have failed."""
    if done.error is None:
        return done.value
    why = f"{done.error}; its memory may be too small, or code of the objective ends the process"
    failed = dict.fromkeys((run.key for run in cohort.runs), why)
    return Outcome(cohort.objective, "none", {}, list(failed), {}, failed)


class _Reporter(CohortProgress):
    """Progress that a worker sends to the driver a few times a second."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps = self._probed = 0
        self._last = time.monotonic()

    def advance(self, steps: int, probed: int = 0) -> None:
        self._steps += steps
        self._probed += probed
        if time.monotonic() - self._last >= REPORT_SECONDS:
            self._report((self._steps, self._probed, ""))
            self._steps = self._probed = 0
            self._last = time.monotonic()

    def note(self, text: str) -> None:
        self._report((0, 0, text))


def _train(work: Work, cohort: Cohort, carried: Mapping[str, Any], report: Report) -> Outcome:
    """Train and probe a cohort in a worker, after loading objectives that only the driver's session has."""
    session.adopt(carried)
    return work(cohort, _Reporter(report))
