"""A cohort's way to a worker on another machine, and back: messages are specifications."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.sweeps.engine import Silent, Work
from pidlab.sweeps.outcome import Outcome
from pidlab.sweeps.plan import Cohort
from pidlab.sweeps.provenance import package_version
from pidlab.sweeps.restore import restore

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
