"""Numbers and signals in a terminal."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


def bits(value: Any) -> str:
    """Six decimals, without a minus before a zero."""
    text = f"{float(value):.6f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


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
