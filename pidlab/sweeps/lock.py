"""One sweep at a time in a folder."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pidlab.errors import InvalidRequest


@contextmanager
def locked(directory: Path) -> Generator[None]:
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
