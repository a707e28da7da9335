"""Numbers in a terminal, and the signals that end a command."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


def bits(value: Any) -> str:
    """Format bits with six decimals, without a minus sign before zero."""
    text = f"{float(value):.6f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


class Terminated(KeyboardInterrupt):
    """A SIGTERM, raised as Python raises `KeyboardInterrupt` for SIGINT."""


@contextmanager
def stoppable() -> Generator[None]:
    """Raise `Terminated` in the block when SIGTERM arrives."""
    if threading.current_thread() is not threading.main_thread():  # other threads cannot set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code that shells use for a signal: 128 plus its number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _terminated(*_: Any) -> None:
    raise Terminated
