"""Cohorts on many machines: each is a task of Dask."""

from __future__ import annotations

import logging
import os
import signal
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
    from distributed import Client, Future, LocalCluster  # pyright: ignore[reportMissingImports]


# A cohort takes the process's random generators, so a worker of many threads does one at a time.
_IN_TURN = threading.Lock()


@dataclass(frozen=True)
class Message:
    """What a worker is told: numbers and references, no tensors.

    Args:
        specifications: of the cohort's runs.
        versions: of the driver, which the worker's have to equal.
        folder: in which the driver found the files that references name.
        threads: to compute with; as many as the worker has by default.
    """

    specifications: tuple[dict[str, Any], ...]
    versions: dict[str, Any]
    folder: str
    threads: int | None


@dataclass(frozen=True)
class Answer:
    """What a worker says: a cohort's outcome with its notes and steps, or why it will not do it."""

    outcome: Outcome | None = None
    notes: tuple[str, ...] = ()
    steps: int = 0
    refusal: str = ""


def answer(work: Work, message: Message) -> Answer:
    """Does a cohort on a worker."""
    for name, here in versions().items():
        if here != message.versions[name]:
            return Answer(
                refusal=f"{_place()} has {name} {here}, the driver has {message.versions[name]}: install the "
                "same on both"
            )
    dropped = _dropped()
    with _IN_TURN:
        if Path(message.folder).is_dir():
            os.chdir(message.folder)
        if message.threads is not None:
            torch.set_num_threads(message.threads)
        told = _Told(dropped)
        try:
            cohort = Cohort(tuple(map(restore, message.specifications)))
        except InvalidRequest as error:
            return Answer(refusal=f"{_place()}: {error}")
        return Answer(work(cohort, told), tuple(told.notes), told.steps)


def versions() -> dict[str, Any]:
    """What driver and workers must agree on; builds of one torch for different devices do."""
    torch_version = torch.__version__.partition("+")[0]
    return {
        "pidlab": package_version("pidlab"),
        "torch": torch_version,
        "result version": defaults.RESULT_VERSION,
    }


class Dropped(BaseException):
    """Nobody waits for the cohort any more; no fault of its runs, so nothing that handles these sees it."""


class _Told(Silent):
    """Keeps what a worker would have shown."""

    def __init__(self, dropped: Callable[[], bool]) -> None:
        self.notes: list[str] = []
        self.steps = 0
        self._dropped = dropped

    def advance(self, steps: int) -> None:
        if self._dropped():
            raise Dropped
        self.steps += steps

    def note(self, text: str) -> None:
        self.notes.append(text)


def _dropped() -> Callable[[], bool]:
    """Tells whether the scheduler has taken back the task that calls this.

    Dask cannot end a thread, so a task has to ask.
    """
    try:
        from distributed import get_worker  # pyright: ignore[reportMissingImports]

        worker = get_worker()
    except (ImportError, ValueError):  # no worker of Dask's calls
        return lambda: False
    key = worker.get_current_task()

    def dropped() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return dropped


def _place() -> str:
    from distributed import get_worker  # pyright: ignore[reportMissingImports]

    return f"worker {get_worker().address}"


# Workers that a cohort may lose before the scheduler gives it up, and how often it is handed in again
# then. A dead worker is blamed on every cohort that waited for it, so one death says little.
ALLOWED_FAILURES, RETRIES = 5, 2

# Seconds to reach a scheduler.
PATIENCE = 20

# A terminal sends Ctrl-C to all of its processes; what becomes of workers is the driver's to say.
_DEAF = "import signal\n\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"


class Dask:
    """A cluster of processes on this machine, or one that a scheduler of the user's own leads.

    Args:
        workers: processes of the local cluster; by default one for each core.
        scheduler: address or file of the user's own.
        threads: of a worker; by default 1 on this machine, and what it has elsewhere.

    Raises:
        InvalidRequest: both `workers` and `scheduler`; `distributed` is not installed.
    """

    def __init__(
        self, workers: int | None = None, scheduler: str | None = None, threads: int | None = None
    ) -> None:
        if workers is not None and scheduler is not None:
            raise InvalidRequest(
                "--workers are of a cluster on this machine, --scheduler has its own: give one"
            )
        if workers is not None and workers < 1:
            raise InvalidRequest(f"--workers {workers}: expected 1 or more")
        if scheduler is not None and _is_file(scheduler) and not Path(scheduler).is_file():
            raise InvalidRequest(f"--scheduler {scheduler}: no such file")
        try:
            import distributed  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
        except ImportError:
            raise InvalidRequest(
                "--engine dask needs the package distributed: pip install 'pidlab[cluster]'"
            ) from None
        self._scheduler = scheduler
        self._workers = None if scheduler else workers or os.cpu_count() or 1
        self._threads = threads if scheduler else threads or 1
        self._used: set[int] = set()

    @property
    def at_once(self) -> int:
        """How many cohorts are trained at a time; 1 where that is the scheduler's to say."""
        return self._workers or 1

    @property
    def record(self) -> dict[str, Any]:
        """Its name, where it ran, and the threads that cohorts were computed with."""
        where: dict[str, Any] = (
            {"workers": self._workers} if self._workers else {"scheduler": self._scheduler}
        )
        return {"name": "dask", **where, "threads": sorted(self._used)}

    def outcomes(
        self, cohorts: Sequence[Cohort], work: Work, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """In the order in which cohorts are over.

        Raises:
            InvalidRequest: no scheduler to reach, or one that is lost; a worker that cannot do the work.
        """
        if not cohorts:
            return
        gpu = cohorts[0].runs[0].device == "cuda"
        if self._workers and gpu:
            raise InvalidRequest(
                "--workers are processes that would share one GPU: start a worker for each GPU with "
                "`dask worker --resources GPU=1`, and give --scheduler"
            )
        with self._client() as client:
            if not _able(client, gpu):
                kind = " with --resources GPU=1" if gpu else ""
                progress.note(f"no worker{kind} at the scheduler yet: waiting for one")
            tasks = _Tasks(client, cohorts, work, progress, self._threads, gpu)
            try:
                for outcome in tasks.outcomes():
                    self._used |= {outcome.threads} - {0}
                    yield outcome
            finally:
                tasks.drop()

    @contextmanager
    def _client(self) -> Generator[Client]:
        from distributed.utils import silence_logging_cmgr  # pyright: ignore[reportMissingImports]

        start = _local(self._workers) if self._workers else _reached(str(self._scheduler))
        # What Dask tells with tracebacks is said in a line.
        with silence_logging_cmgr(logging.CRITICAL), start as client:
            yield client


class _Tasks:
    """Cohorts as tasks of a client."""

    def __init__(
        self,
        client: Client,
        cohorts: Sequence[Cohort],
        work: Work,
        progress: Progress,
        threads: int | None,
        gpu: bool,
    ) -> None:
        self._client, self._cohorts, self._work, self._progress = client, cohorts, work, progress
        self._about = (versions(), os.getcwd(), threads)
        # One cohort at a time holds a GPU.
        self._options: Any = {"resources": {"GPU": 1}} if gpu else {}
        self._open: dict[Future[Any], int] = {}
        self._tries = [0] * len(cohorts)

    def outcomes(self) -> Iterator[Outcome]:
        """In the order in which they come."""
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        finished = as_completed(
            [self._submit(number) for number in range(len(self._cohorts))], loop=self._client.loop
        )
        count = 0
        for future in finished:
            number = self._open.pop(future)
            outcome = self._received(future, number)
            if outcome is None:
                finished.add(self._submit(number))
                continue
            self._progress.cohort(count, self._cohorts[number])
            count += 1
            yield outcome

    def drop(self) -> None:
        """Takes back what is not over: what waits is not begun, what runs ends at its next step."""
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
        """What became of a cohort; None where it is to be tried again."""
        from distributed import KilledWorker  # pyright: ignore[reportMissingImports]

        if future.status == "finished":
            found: Answer = future.result()
            if found.outcome is None:
                raise InvalidRequest(found.refusal)
            for note in found.notes:
                self._progress.note(note)
            self._progress.advance(found.steps)
            return found.outcome
        if future.status != "error":
            raise InvalidRequest(
                "the scheduler is lost: finished cohorts are kept; the same command goes on from there"
            )
        error: Any = future.exception()
        if not isinstance(error, KilledWorker):
            raise InvalidRequest(
                f"a worker cannot do the work ({_line(error)}): expected the same pidlab on all of them"
            )
        self._tries[number] += 1
        if self._tries[number] <= RETRIES:
            return None
        runs = self._cohorts[number].runs
        why = "its workers died again and again: is their memory too small for the cohort?"
        failed = dict.fromkeys((run.key for run in runs), why)
        return Outcome(runs[0].objective, "none", {}, list(failed), {}, failed)


def _able(client: Client, gpu: bool) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any(not gpu or worker["resources"].get("GPU") for worker in workers)


def _line(error: BaseException) -> str:
    return reason(error).splitlines()[0]


def _is_file(scheduler: str) -> bool:
    return scheduler.endswith(".json")


@contextmanager
def _local(workers: int) -> Generator[Client]:
    from dask import config  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]
    from distributed import Client, LocalCluster  # pyright: ignore[reportMissingImports]

    with config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,  # pyright: ignore[reportArgumentType]
            memory_limit=0,  # cohorts keep to their budget
            silence_logs=logging.CRITICAL,
            preload=[_DEAF],
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        try:
            yield client
        finally:
            _end(cluster)


@contextmanager
def _reached(scheduler: str) -> Generator[Client]:
    from distributed import Client  # pyright: ignore[reportMissingImports]

    where: dict[str, Any] = {"scheduler_file" if _is_file(scheduler) else "address": scheduler}
    try:
        client = Client(**where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(
            f"--scheduler {scheduler}: none answers there ({_line(error)}); expected an address such as "
            "tcp://HOST:8786, or a scheduler's file"
        ) from None
    with client:
        yield client


def _end(cluster: LocalCluster) -> None:
    """Ends local workers at once, in the midst of what they do."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # it starts no other in its place
        if nanny.pid:
            os.kill(nanny.pid, signal.SIGKILL)
