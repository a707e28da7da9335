"""Memory: what is freed is kept, for fresh pages cost more than the arithmetic in between."""

import ctypes
import os
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from pidlab.errors import InvalidRequest


def ensure_writable(directory: Path) -> Path:
    """The folder, made where there is none.

    Raises:
        InvalidRequest: it cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --out"
        ) from None
    return directory


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Generator[IO[Any]]:
    """A file to be written: readers see the old one or the new one, never half of it.

    Args:
        path: the file.
        mode: `w` for text, `wb` for bytes.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def lock_folder(directory: Path) -> Generator[None]:
    """Holds a folder for this process; the system lets go of it however the process ends.

    Raises:
        InvalidRequest: another process holds it, or its file system has no locks.
    """
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InvalidRequest(
            f"another sweep is writing to {directory}: wait until it is over, or choose another --out"
        ) from None
    except OSError as error:
        raise InvalidRequest(f"cannot lock {directory} ({error.strerror}): choose another --out") from None
    try:
        yield
    finally:
        lock.release()


class Clock:
    """Seconds of wall time by activity. Activities do not nest."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, activity: str) -> Generator[None]:
        """Counts the time of the block to `activity`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[activity] += time.perf_counter() - start


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of giving them back to the system at each free.

    A training step frees and allocates the same blocks hundreds of times a minute; with the default
    thresholds each one is mapped and zeroed anew. Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEEP)
    mallopt(_M_TRIM_THRESHOLD, _KEEP)
