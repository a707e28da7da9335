"""An engine that trains cohorts as tasks of a Dask scheduler, on many machines."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pidlab import defaults
from pidlab.errors import InvalidRequest, reason
from pidlab.sweeps.checkpoint_files import restore
from pidlab.sweeps.execute import Outcome, Progress, Silent, Work
from pidlab.sweeps.plan import Cohort
from pidlab.sweeps.provenance import package_version

if TYPE_CHECKING:
    from distributed import Client, Future  # pyright: ignore[reportMissingImports]


# A cohort uses the random generators of its process, so a worker with several threads trains one at a time.
_IN_TURN = threading.Lock()


@dataclass(frozen=True)
class Message:
    """A cohort as the driver sends it to a worker: numbers and references, no tensors.

    Args:
        specifications: Specifications of the cohort's runs.
        versions: Versions of the driver, which the worker's must equal.
        folder: Working folder of the driver, to which references to files are relative.
    """

    specifications: tuple[dict[str, Any], ...]
    versions: dict[str, Any]
    folder: str


@dataclass(frozen=True)
class Answer:
    """A worker's answer: the outcome of a cohort, or the reason why the worker cannot train it.

    Args:
        outcome: Outcome of the cohort; None if it was not trained.
        notes: Lines of information from training.
        refusal: Reason why the cohort was not trained.
    """

    outcome: Outcome | None = None
    notes: tuple[str, ...] = ()
    refusal: str = ""


def answer(work: Work, message: Message) -> Answer:
    """Train and probe a cohort on a worker.

    Args:
        work: Trains and probes a cohort.
        message: The cohort.
    """
    for name, here in versions().items():
        if here != message.versions[name]:
            return Answer(
                refusal=f"{_place()} has {name} {here}, the driver has {message.versions[name]}; install the "
                "same version on both"
            )
    is_cancelled = _cancellation()
    with _IN_TURN:
        if Path(message.folder).is_dir():
            os.chdir(message.folder)
        progress = _Recorder(is_cancelled)
        try:
            cohort = Cohort(tuple(map(restore, message.specifications)))
        except InvalidRequest as error:
            return Answer(refusal=f"{_place()}: {error}")
        return Answer(work(cohort, progress), tuple(progress.notes))


def versions() -> dict[str, Any]:
    """Return the versions that driver and workers must share.

    Builds of one version of torch for different devices count as equal.
    """
    torch_version = torch.__version__.partition("+")[0]
    return {
        "pidlab": package_version("pidlab"),
        "torch": torch_version,
        "result version": defaults.RESULT_VERSION,
    }


class Cancelled(BaseException):
    """Cancellation by the driver; not an `Exception`, because it must not count as a failure of runs."""


class _Recorder(Silent):
    """Progress that a worker records for the driver; it ends a cancelled cohort at its next step."""

    def __init__(self, is_cancelled: Callable[[], bool]) -> None:
        self.notes: list[str] = []
        self._is_cancelled = is_cancelled

    def advance(self, *_: int) -> None:
        if self._is_cancelled():
            raise Cancelled

    def note(self, text: str) -> None:
        self.notes.append(text)


def _cancellation() -> Callable[[], bool]:
    """Return a predicate: whether the scheduler has cancelled the task that runs now.

    Dask cannot end a thread, so a task has to check this itself.
    """
    try:
        from distributed import get_worker  # pyright: ignore[reportMissingImports]

        worker = get_worker()
    except (ImportError, ValueError):  # not called in a worker
        return lambda: False
    key = worker.get_current_task()

    def is_cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return is_cancelled


def _place() -> str:
    """Return the name of this worker."""
    from distributed import get_worker  # pyright: ignore[reportMissingImports]

    return f"worker {get_worker().address}"


# Number of times that a cohort is submitted again after the scheduler has given it up. The scheduler counts a
# death against every cohort that waited for the worker, so few deaths prove nothing.
RETRIES = 2

# Seconds to wait for a scheduler.
TIMEOUT = 20


class Dask:
    """An engine of the workers of a running Dask scheduler; a cohort computes with one thread.

    Args:
        scheduler: Address or file of the scheduler.

    Raises:
        InvalidRequest: If there is no such file, or `distributed` is not installed.
    """

    def __init__(self, scheduler: str) -> None:
        if not scheduler.strip():
            raise InvalidRequest(
                "--scheduler: give an address such as tcp://HOST:8786, or the scheduler's file"
            )
        if _is_file(scheduler) and not Path(scheduler).is_file():
            raise InvalidRequest(
                f"--scheduler {scheduler}: no such file; give the scheduler's file or its address"
            )
        try:
            import distributed  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
        except ImportError:
            raise InvalidRequest(
                "--scheduler: needs the package distributed; pip install 'pidlab[cluster]'"
            ) from None
        self._scheduler = scheduler
        self._workers = 1

    @property
    def record(self) -> dict[str, Any]:
        """Name of the engine and its scheduler."""
        return {"name": "dask", "scheduler": self._scheduler}

    def prepare(self, device: str) -> None:
        """Connect to the scheduler once, and count its workers.

        Args:
            device: Device type of the sweep.

        Raises:
            InvalidRequest: If the scheduler cannot be reached.
        """
        with self._client() as client:
            self._workers = max(1, _count_workers(client, device == "cuda"))

    def parts(self, seconds: float) -> int:
        """Return the number of workers of the scheduler, as `prepare` found it."""
        return self._workers

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every cohort as it is finished.

        Args:
            cohorts: Cohorts to train.
            work: Trains and probes a cohort.
            progress: Receiver of progress reports.

        Raises:
            InvalidRequest: If the scheduler cannot be reached or is lost, or a worker cannot train a cohort.
        """
        if not cohorts:
            return
        gpu = cohorts[0].runs[0].device == "cuda"
        with self._client() as client:
            if not _count_workers(client, gpu):
                kind = " with --resources GPU=1" if gpu else ""
                progress.note(f"the scheduler has no worker{kind} yet; waiting for one")
            tasks = _Tasks(client, cohorts, work, progress, gpu)
            try:
                yield from tasks.outcomes()
            finally:
                tasks.cancel()

    @contextmanager
    def _client(self) -> Generator[Client]:
        from distributed.utils import silence_logging_cmgr  # pyright: ignore[reportMissingImports]

        # Dask logs tracebacks; errors are reported in one line instead.
        with silence_logging_cmgr(logging.CRITICAL), _remote_client(self._scheduler) as client:
            yield client


class _Tasks:
    """Cohorts of a sweep as tasks of a Dask client."""

    def __init__(
        self,
        client: Client,
        cohorts: Sequence[Cohort],
        work: Work,
        progress: Progress,
        gpu: bool,
    ) -> None:
        self._client, self._cohorts, self._work, self._progress = client, cohorts, work, progress
        self._about = (versions(), os.getcwd())
        # A GPU trains one cohort at a time.
        self._options: Any = {"resources": {"GPU": 1}} if gpu else {}
        self._open: dict[Future[Any], int] = {}
        self._attempts = [0] * len(cohorts)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of every cohort as it is finished."""
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        finished = as_completed(
            [self._submit(number) for number in range(len(self._cohorts))], loop=self._client.loop
        )
        for future in finished:
            number = self._open.pop(future)
            outcome = self._received(future, number)
            if outcome is None:
                finished.add(self._submit(number))
                continue
            self._progress.cohort(number)
            self._progress.finish(number, outcome)
            yield outcome

    def cancel(self) -> None:
        """Cancel all unfinished cohorts; a running cohort stops at its next training step."""
        if self._open and self._client.status == "running":
            self._client.cancel([*self._open], force=True)

    def _submit(self, number: int) -> Future[Any]:
        specifications = tuple(run.specification for run in self._cohorts[number].runs)
        future = self._client.submit(
            answer,
            self._work,
            Message(specifications, *self._about),
            pure=False,
            retries=RETRIES,
            **self._options,
        )
        self._open[future] = number
        return future

    def _received(self, future: Future[Any], number: int) -> Outcome | None:
        """Return the outcome of a finished task, or None if the cohort must be submitted again."""
        from distributed import KilledWorker  # pyright: ignore[reportMissingImports]

        if future.status == "finished":
            found: Answer = future.result()
            if found.outcome is None:
                raise InvalidRequest(found.refusal)
            for note in found.notes:
                self._progress.note(note)
            return found.outcome
        if future.status != "error":
            raise InvalidRequest(
                "the scheduler is lost: finished cohorts are kept; rerun the same command to resume"
            )
        error: Any = future.exception()
        if not isinstance(error, KilledWorker):
            raise InvalidRequest(f"a worker failed ({_line(error)}): install the same pidlab on all workers")
        self._attempts[number] += 1
        if self._attempts[number] <= RETRIES:
            return None
        runs = self._cohorts[number].runs
        why = "its workers died repeatedly; their memory may be too small for the cohort"
        failed = dict.fromkeys((run.key for run in runs), why)
        return Outcome(runs[0].objective, "none", {}, list(failed), {}, failed)


def _count_workers(client: Client, gpu: bool) -> int:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(not gpu or bool(worker["resources"].get("GPU")) for worker in workers)


def _line(error: BaseException) -> str:
    return reason(error).splitlines()[0].rstrip(": ")


def _is_file(scheduler: str) -> bool:
    return scheduler.endswith(".json")


@contextmanager
def _remote_client(scheduler: str) -> Generator[Client]:
    from distributed import Client  # pyright: ignore[reportMissingImports]

    where: dict[str, Any] = {"scheduler_file" if _is_file(scheduler) else "address": scheduler}
    try:
        client = Client(**where, timeout=TIMEOUT, set_as_default=False)
    except Exception as error:  # a damaged file fails in any way, also by an assertion
        raise InvalidRequest(
            f"--scheduler {scheduler}: no answer ({_line(error)}); give an address such as "
            "tcp://HOST:8786, or the scheduler's file"
        ) from None
    with client:
        yield client
