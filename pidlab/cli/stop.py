"""SIGTERM, as a scheduler sends it, stops a command as Ctrl-C does."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def stoppable() -> Generator[None]:
    """Raises `Terminated` where SIGTERM finds the program, as Python does `KeyboardInterrupt` for SIGINT."""
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code by which a shell knows the signal: 128 and its number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _terminated(*_: Any) -> None:
    raise Terminated
