"""Folders that can be written to, and files that are there whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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
def whole(path: Path, mode: str = "w") -> Generator[IO[Any]]:
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
