"""Worker processes of this machine: one task and one thread at a time, and replaced when they die."""

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import cloudpickle
import loky.backend.resource_tracker
from loky.backend.process import LokyProcess

from pidlab.errors import InvalidRequest, reason

# Sends an object from a worker to the driver while a task runs.
Report = Callable[[Any], None]
# A picklable call; its argument sends reports.
Call = Callable[[Report], Any]

# Deaths of the worker of a task after which the task is given up. One death can be an accident.
DEATHS = 3
# Workers that may end in a row while they start, before an error is raised.
START_DEATHS = 10

# The guard around user code replaces `os._exit`.
_exit = os._exit

# Libraries read these when they are loaded. Rounding depends on the number of threads, so it is always one.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class WorkerDiedError(Exception):
    """Raised if the workers of a task died `DEATHS` times."""


@dataclass
class Task:
    """A call that a worker makes.

    Args:
        number: The caller's number for it.
        payload: The pickled call.
        owner: Tasks of different owners do not share a process.
        deaths: Number of workers that died while they computed it.
    """

    number: int
    payload: bytes
    owner: str = ""
    deaths: int = 0


@dataclass(frozen=True)
class Finished:
    """A finished task.

    Args:
        number: Number of the task.
        value: What the call returned.
        error: The exception that it raised, or `WorkerDiedError`; None if it returned.
    """

    number: int
    value: Any = None
    error: Exception | None = None


@dataclass(eq=False)
class _Worker:
    """A process, and the connection to it."""

    owner: str
    task: Task | None = None
    ready: bool = False
    process: Any = field(init=False)
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection, theirs = Pipe()
        # loky starts a fresh interpreter that does not import the user's script, and takes over sys.path.
        self.process = LokyProcess(target=_serve, args=(theirs, os.getpid()), env=_ONE_THREAD, daemon=True)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()

    def compute(self, task: Task) -> None:
        self.task = task
        # A worker that has died is noticed by its sentinel.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(task.payload)

    def kill(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.join()
        self.connection.close()


class Workers:
    """A pool of worker processes; leaving the context kills them.

    A worker that dies, for instance because the system kills it for its memory, costs the time of its own
    task: a new process computes the task again. Processes are started when there are tasks for them.

    Args:
        count: Largest number of processes.
        on_start: Called with the number of a task when a worker gets it, each time.
        on_report: Called with the number of a task and an object that the task reports.

    Example:
        >>> with Workers(2) as workers:
        ...     workers.submit(0, lambda report: 6 * 7)
        ...     [(done.number, done.value) for done in workers.finished()]
        [(0, 42)]
    """

    def __init__(
        self,
        count: int,
        on_start: Callable[[int], None] = lambda _: None,
        on_report: Callable[[int, Any], None] = lambda *_: None,
    ) -> None:
        self._count, self._on_start, self._on_report = count, on_start, on_report
        self._waiting: list[Task] = []
        self._workers: list[_Worker] = []
        self._start_deaths = 0

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def submit(self, number: int, call: Call, owner: str = "") -> None:
        """Add a task; tasks start in the order of submission.

        Args:
            number: The caller's number for it.
            call: The call, which `cloudpickle` must be able to pickle.
            owner: Tasks of different owners do not share a process, and each worker prefers tasks of its own.

        Raises:
            Exception: Any exception of pickling.
        """
        self._waiting.append(Task(number, cloudpickle.dumps(call), owner))

    def finished(self) -> Generator[Finished, None, None]:
        """Yield each task as it is finished, until none is left; tasks may be submitted meanwhile.

        Raises:
            InvalidRequest: If workers die again and again before they have started.
        """
        while True:
            self._assign()
            busy = [worker for worker in self._workers if worker.task]
            if not busy:
                return
            ready = set(wait([end for w in busy for end in (w.connection, w.process.sentinel)]))
            for worker in busy:
                if worker.connection in ready:
                    done = self._receive(worker)
                elif worker.process.sentinel in ready:
                    done = self._after_death(worker)
                else:
                    continue
                if done is not None:
                    yield done

    def _assign(self) -> None:
        """Give tasks to idle workers, and to new ones while there are fewer than allowed."""
        for worker in [w for w in self._workers if w.task is None]:
            if not self._waiting:
                return
            task = next((t for t in self._waiting if t.owner == worker.owner), None)
            if task is None:  # only tasks of other owners are left, and they need a fresh process
                worker.kill()
                self._workers.remove(worker)
            else:
                self._start(worker, task)
        while self._waiting and len(self._workers) < self._count:
            worker = _Worker(self._waiting[0].owner)
            self._workers.append(worker)
            self._start(worker, self._waiting[0])

    def _start(self, worker: _Worker, task: Task) -> None:
        self._waiting.remove(task)
        self._on_start(task.number)
        worker.compute(task)

    def _receive(self, worker: _Worker) -> Finished | None:
        """Take one message of a worker; returns its task if it is finished."""
        assert worker.task is not None
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps in the middle of a message
            return self._after_death(worker)
        task = worker.task
        if kind == "ready":
            worker.ready, self._start_deaths = True, 0
        elif kind == "report":
            self._on_report(task.number, value)
        else:
            worker.task = None
            return Finished(task.number, error=value) if kind == "error" else Finished(task.number, value)
        return None

    def _after_death(self, worker: _Worker) -> Finished | None:
        """Remove a dead worker; its task is computed again, before the others."""
        assert worker.task is not None
        worker.kill()
        self._workers.remove(worker)
        task = worker.task
        if worker.ready:
            task.deaths += 1
        else:
            self._start_deaths += 1
        if self._start_deaths >= START_DEATHS:
            raise InvalidRequest(
                f"--workers {self._count}: {START_DEATHS} worker processes ended while they started "
                f"(exit code {worker.process.exitcode}); use --workers 1"
            )
        if task.deaths >= DEATHS:
            return Finished(task.number, error=WorkerDiedError(_cause(worker.process.exitcode)))
        self._waiting.insert(0, task)
        return None


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    # A daemonic process, such as one of a multiprocessing pool, may not start others.
    return 1 if multiprocessing.current_process().daemon else loky.cpu_count()


def compute(
    calls: Sequence[Callable[[], Any]], workers: int, owners: Sequence[str] = ()
) -> Generator[Finished, None, None]:
    """Compute calls in worker processes, and yield each as it is finished.

    Args:
        calls: The calls; the longest should come first.
        workers: Number of processes; 1 computes in this process.
        owners: Owner of each call, if they have any; calls of different owners do not share a process.

    Yields:
        The result or the exception of each call, with its index as number.

    Example:
        >>> [done.value for done in compute([lambda: 6 * 7], workers=1)]
        [42]
    """
    here = [*range(len(calls))]
    if (count := min(workers, len(calls))) > 1:
        here = []
        with Workers(count) as pool:
            for number, call in enumerate(calls):
                try:
                    pool.submit(number, partial(_call, call), owners[number] if owners else "")
                except Exception:  # what cannot be pickled raises any exception
                    here.append(number)
            yield from pool.finished()
    for number in here:
        try:
            done = Finished(number, calls[number]())
        except Exception as error:
            done = Finished(number, error=error)
        yield done


def compute_all(calls: Sequence[Callable[[], Any]], workers: int, owners: Sequence[str] = ()) -> list[Any]:
    """Return the results of calls, in their order.

    Args:
        calls: The calls; the longest should come first.
        workers: Number of processes; 1 computes in this process.
        owners: Owner of each call, as in `compute`.

    Raises:
        Exception: The exception of a call.
    """
    results: dict[int, Any] = {}
    for done in compute(calls, workers, owners):
        if done.error is not None:
            raise done.error
        results[done.number] = done.value
    return [results[number] for number in range(len(calls))]


def _call(call: Callable[[], Any], _report: Report) -> Any:
    return call()


def _cause(exit_code: int | None) -> str:
    """Return why a process ended, in words."""
    if exit_code is not None and exit_code < 0:
        return f"its worker process was killed {DEATHS} times, the last time by signal {-exit_code}"
    return f"its worker process ended {DEATHS} times, the last time with exit code {exit_code}"


@contextmanager
def _interrupts_blocked() -> Generator[None]:
    """Block SIGINT; a process that is started in the block inherits this.

    A terminal sends Ctrl-C to all of its processes. Workers leave it to the driver, which kills them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    # The processes that track resources start with the first worker, and would end the block.
    for tracker in (multiprocessing.resource_tracker, loky.backend.resource_tracker):
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, driver: int) -> None:
    """Compute tasks until the driver ends."""
    # Standard output belongs to the driver, which may write JSON to it.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    connection.send(("ready", None))

    def report(value: Any) -> None:
        try:
            connection.send(("report", value))
        except OSError:  # the driver has ended
            _exit(1)

    while True:
        try:
            payload = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(payload, report))


def _answer(payload: bytes, report: Report) -> bytes:
    """Return the pickled result of a task, or the exception that it raised."""
    try:
        return pickle.dumps(("result", cloudpickle.loads(payload)(report)))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # exceptions with their own arguments often cannot be pickled
            error = RuntimeError(reason(error))
        return pickle.dumps(("error", error))


def _end_with(driver: int) -> None:
    """End this process when the driver has ended, also if it was killed."""
    while os.getppid() == driver:
        time.sleep(1.0)
    _exit(1)
