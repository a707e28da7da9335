"""A file with the state of an unfinished training, so that a kill costs little time."""

import hashlib
import io
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pidlab.io import atomic_write

# Seconds of training between two saves. Cohorts of several runs are planned to take about as long.
SECONDS = 60.0

_DIGEST_BYTES = hashlib.sha256().digest_size


class ResumeFile:
    """A file with the state of an unfinished training.

    The state can be lost at any time: training then starts from the beginning and gives the same numbers.

    Args:
        path: The file. Its folder is created if it does not exist; the folder above has to exist.
        environment: Description of all that rounding depends on. A state from elsewhere is not used.
    """

    def __init__(self, path: Path, environment: str) -> None:
        self._path, self._environment = path, environment
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None if there is none, or if it is damaged or from elsewhere."""
        try:
            data = self._path.read_bytes()
            if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
                return None
            saved = torch.load(io.BytesIO(data[_DIGEST_BYTES:]), weights_only=True)
        except (OSError, pickle.UnpicklingError, RuntimeError):
            return None
        return saved["state"] if saved["environment"] == self._environment else None

    def save_if_due(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """Save a state if the last one is older than `SECONDS`.

        Args:
            make_state: Returns the state: tensors, numbers and strings in dictionaries and lists.
        """
        if time.monotonic() - self._last < SECONDS:
            return
        buffer = io.BytesIO()
        torch.save({"environment": self._environment, "state": make_state()}, buffer)
        # A full disk or a folder that this machine lacks must not end the training.
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            with atomic_write(self._path, "wb") as file:
                file.write(hashlib.sha256(buffer.getbuffer()).digest())
                file.write(buffer.getbuffer())
        self._last = time.monotonic()
