"""Files of a sweep's folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pidlab.errors import InvalidRequest


def writable(directory: Path) -> Path:
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
def whole(path: Path) -> Iterator[TextIO]:
    """A file to be written: readers see the old one or the new one, never half of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as text:
        yield text
    partial.replace(path)
