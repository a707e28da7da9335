"""Numbers and streams of a terminal, and the signals that end a command."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pidlab.errors import MOST_CHARACTERS, printable, shorten

if TYPE_CHECKING:
    from rich.console import Console


def bits(value: Any) -> str:
    """Format bits with six decimals, without a minus sign before zero."""
    text = f"{float(value):.6f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def set_up_streams() -> None:
    """Make stdout and stderr replace characters that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def print_error(message: str) -> None:
    """Print a message as one line on stderr; a closed or full stderr is ignored.

    Control characters are escaped, because they could change the terminal, and a very long line is cut.
    """
    line = shorten(printable(" ".join(message.split("\n"))), MOST_CHARACTERS)
    with contextlib.suppress(OSError, AttributeError, ValueError):
        print(line, file=sys.stderr, flush=True)


def close_streams() -> None:
    """Flush stdout and stderr; drop what cannot be written, so that Python reports nothing at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def console(*, stderr: bool = False) -> "Console":
    """Return a console that prints texts as they are.

    Names of objectives, files and symbols may contain ``[red]`` or ``:heart:``, which rich would interpret.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


@contextmanager
def heartbeat(what: str, seconds: float = 25.0) -> Generator[None]:
    """Print a line on stderr at regular intervals while the block runs.

    Args:
        what: Start of the line.
        seconds: Interval between lines.
    """
    done, start = threading.Event(), time.monotonic()

    def report() -> None:
        while not done.wait(seconds):
            print_error(f"{what}: running for {time.monotonic() - start:.0f} s")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


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
