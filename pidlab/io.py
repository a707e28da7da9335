"""Safe writing of results (writable folders, atomic files, locks), and time and memory of a process."""

import ctypes
import errno
import math
import os
import stat
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pidlab.errors import InvalidRequest, shorten

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

if TYPE_CHECKING:
    import pandas as pd

# Requests of at most this many bytes are not compared with the memory of the machine.
_ALWAYS_ALLOWED = 2**28

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
        >>> ensure_writable(Path(tempfile.mkdtemp()) / "new").is_dir()
        True
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # On Linux this file has no name, so that no termination can leave it behind.
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --out"
        ) from None
    return directory


def refuse_special(path: Path) -> None:
    """Raise an error for a pipe, a device or a socket.

    Reading one may wait forever or never end, and replacing one destroys it.

    Args:
        path: A path, which need not exist.

    Raises:
        OSError: If the path, or the target of a link, exists and is neither a file nor a folder.

    Example:
        >>> refuse_special(Path(os.devnull))
        Traceback (most recent call last):
        OSError: [Errno 22] not a regular file: '/dev/null'
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


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
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(path) as file:
        ...     _ = file.write("done")
        >>> path.read_text()
        'done'
    """
    with atomic_path(path) as partial, partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Create an empty temporary file that replaces `path` when the block ends without an exception.

    If the block raises an exception, for instance because the disk is full, `path` is unchanged.

    Args:
        path: The file.

    Yields:
        Path of the temporary file, in the same folder and with the same suffix.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "figure.txt"
        >>> with atomic_path(path) as partial:
        ...     _ = partial.write_text("done")
        >>> path.read_text()
        'done'
    """
    refuse_special(path)  # root could replace /dev/null
    # Cut, because the name of a file has at most 255 bytes.
    partial = path.with_name(f".{path.stem[:100]}.partial{path.suffix}")
    descriptor = _create_locked(partial)
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _create_locked(path: Path) -> int | None:
    """Create an empty file and lock it; wait while another process writes it.

    Without the lock, a second process could have its half-written file renamed by the first one. A file that
    a killed process left behind has no lock and is used again.

    Returns:
        The descriptor, which holds the lock until it is closed; None on Windows, which has no such lock and
        does not rename open files.
    """
    while True:
        if path.is_symlink():  # a link of this name is removed, not followed
            path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o666)
        try:
            if fcntl is not None:
                with suppress(OSError):  # some file systems have no locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            is_current = _is_open_file(descriptor, path)
            if is_current:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        if is_current and fcntl is not None:
            return descriptor
        os.close(descriptor)
        if is_current:
            return None
        # The other process has renamed this file, so that another one must be created.


def _is_open_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as CSV, atomically.

    Args:
        table: The table; its index is not written.
        path: The file.
    """
    with atomic_write(path) as file:
        table.to_csv(file, index=False)


def write_independently(outputs: Mapping[Path, Callable[[Path], object]]) -> dict[Path, str]:
    """Write files one by one, so that a file that cannot be written does not prevent the others.

    Args:
        outputs: Functions that write a file, by the path that they are given.

    Returns:
        The reason for each file that was not written.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_independently({folder / "a": Path.touch, folder / "missing" / "b": Path.read_text}).values()
        dict_values(['No such file or directory'])
    """
    failures: dict[Path, str] = {}
    for path, write in outputs.items():
        try:
            write(path)
        except OSError as error:
            failures[path] = error.strerror or str(error)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # A fault of one output, such as a text that cannot be drawn, must not lose the others.
            failures[path] = f"{type(error).__name__}: {(str(error).strip() or ' ').splitlines()[0]}"
    return failures


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
    """Time in seconds by activity; activities do not nest.

    Args:
        timer: Returns the time in seconds: wall time by default, or `time.process_time` for CPU time.

    Example:
        >>> stopwatch = Stopwatch()
        >>> with stopwatch("training"):
        ...     pass
        >>> stopwatch.seconds["training"] >= 0.0
        True
    """

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._timer = timer

    @contextmanager
    def __call__(self, activity: str) -> Generator[None]:
        """Add the time of the block to `activity`."""
        start = self._timer()
        try:
            yield
        finally:
            self.seconds[activity] += self._timer() - start


def check_memory(request: str, needed: float) -> None:
    """Require that the machine has enough memory for a request.

    Args:
        request: The request, for the message.
        needed: Memory that it needs at least, in bytes.

    Raises:
        InvalidRequest: If this is more than the memory of the machine.

    Example:
        >>> check_memory("--samples 10", needed=1e3)
    """
    # Reading the size takes longer than everything else about a small request.
    if needed <= _ALWAYS_ALLOWED or needed <= (memory := machine_memory()):
        return
    needed = min(needed, 1e300)  # an int may exceed the range of floats
    raise InvalidRequest(
        f"{shorten(request)}: needs {needed / 1e9:.3g} GB of memory but this machine has "
        f"{memory / 1e9:.3g} GB; ask for less"
    )


@cache
def machine_memory() -> float:
    """Return the memory of this machine in bytes, or infinity where it is not known."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return math.inf


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
