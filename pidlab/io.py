"""Writing results safely: writable folders, atomic files and locks. Also timing and memory of a process."""

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

# Options of glibc's mallopt, from malloc.h, and the largest threshold that it accepts.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_THRESHOLD = 2**31 - 1


def ensure_writable(directory: Path) -> Path:
    """Create a folder if it does not exist, and require that files can be created in it.

    Args:
        directory: The folder.

    Returns:
        The folder.

    Raises:
        InvalidRequest: If it cannot be written to.

    Example:
        >>> import tempfile
        >>> ensure_writable(Path(tempfile.mkdtemp()) / "new").is_dir()
        True
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
    """Open a temporary file that replaces `path` when the block ends without an exception.

    Readers see the old file or the new file, never a part of it.

    Args:
        path: The file.
        mode: ``"w"`` for text in UTF-8, ``"wb"`` for bytes.

    Yields:
        The temporary file, open for writing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(path) as file:
        ...     _ = file.write("done")
        >>> path.read_text()
        'done'
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
    """Lock a folder for this process; the operating system releases the lock when the process ends.

    Args:
        directory: The folder.

    Raises:
        InvalidRequest: If another process has the lock, or the file system has no locks.
    """
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InvalidRequest(
            f"another sweep is writing to {directory}: wait until it ends, or choose another --out"
        ) from None
    except OSError as error:
        raise InvalidRequest(f"cannot lock {directory} ({error.strerror}): choose another --out") from None
    try:
        yield
    finally:
        lock.release()


class Stopwatch:
    """Wall time in seconds by activity; activities do not nest.

    Example:
        >>> stopwatch = Stopwatch()
        >>> with stopwatch("training"):
        ...     pass
        >>> stopwatch.seconds["training"] >= 0.0
        True
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, activity: str) -> Generator[None]:
        """Add the time of the block to `activity`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[activity] += time.perf_counter() - start


@cache
def disable_malloc_trimming() -> None:
    """Make glibc reuse large blocks instead of returning them to the system at each free.

    A training step frees and allocates the same blocks hundreds of times a minute. With the default
    thresholds each block is mapped and zeroed again, which costs more than the arithmetic on it. This has no
    effect if the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST_THRESHOLD)
