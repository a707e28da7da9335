"""Feature banks: rows of real data with a class index, one bank per modality."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pidlab.encoders import Image, Modality, Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.read_arrays import as_features, as_labels, read_arrays

# Name of the banks that are made from the digits of scikit-learn.
DIGITS = "digits"

# Fewest rows of a class. 80 rows give 24 test rows, which are scored once each, and 8 validation rows.
LEAST_ROWS = 80


@dataclass(frozen=True, eq=False)
class Bank:
    """Rows of one modality, ordered by class.

    Args:
        x: Features, shape (n, d) or (n, channels, height, width), shifted to mean 0 and divided by one
            number such that their mean square is 1.
        labels: Class index of each row in ascending order, shape (n,); classes are 0, 1, ...
        contents: Digest of the rows, which identifies the bank.
    """

    x: Float[np.ndarray, "n ..."]
    labels: Int[np.ndarray, " n"]
    contents: str

    @property
    def counts(self) -> Int[np.ndarray, " classes"]:
        """Number of rows of each class."""
        return np.bincount(self.labels)

    @property
    def modality(self) -> Modality:
        """Specification of the modality."""
        shape = self.x.shape[1:]
        return Image(*shape) if len(shape) == 3 else Vector(*shape)


def read_banks(file: str) -> tuple[Bank, Bank]:
    """Read the banks of both modalities.

    Args:
        file: File with x1, c1, x2 and c2 in a format of `read_arrays`, or ``"digits"``.

    Returns:
        The banks.

    Raises:
        InvalidRequest: If the file cannot be read, a row is not finite, features and class indices do not
            fit, a bank has a single class, a class has fewer than `LEAST_ROWS` rows, or rows are copies.
    """
    if file == DIGITS:
        return _digit_banks()
    path = Path(file)
    # A file can change under its name; its time and size tell without reading it again for every run.
    status = path.stat() if path.exists() else None
    return _file_banks(path, status and (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=4)
def _file_banks(path: Path, _version: tuple[int, int] | None) -> tuple[Bank, Bank]:
    arrays = read_arrays(path, ("x1", "c1", "x2", "c2"))
    first, second = (make_bank(arrays[f"x{m}"], arrays[f"c{m}"], str(path), m) for m in (1, 2))
    return first, second


@lru_cache(maxsize=1)
def _digit_banks() -> tuple[Bank, Bank]:
    """Return the 8 x 8 images of scikit-learn's digits as vectors; every second image of a class each.

    No image is in both banks, so that the modalities are independent given their classes.
    """
    try:
        datasets: Any = import_module("sklearn.datasets")
    except ImportError:
        raise InvalidRequest(
            "planted('digits') needs scikit-learn: install it (pip install 'pidlab[digits]')"
        ) from None
    x, c = datasets.load_digits(return_X_y=True)
    order = np.argsort(c, kind="stable")
    rank = np.concatenate([np.arange(count) for count in np.bincount(c)])
    halves = [order[rank % 2 == half] for half in (0, 1)]
    first, second = (make_bank(x[rows], c[rows], DIGITS, m) for m, rows in enumerate(halves, start=1))
    return first, second


def make_bank(x: np.ndarray, c: np.ndarray, where: str, m: int) -> Bank:
    """Check the rows of one modality and order them by class.

    Args:
        x: Features, shape (n,), (n, d), or images (see `as_features`).
        c: Labels of the classes, shape (n,); see `as_labels`.
        where: Name of the file, for messages.
        m: Number of the modality, 1 or 2.

    Returns:
        The bank.

    Raises:
        InvalidRequest: As in `read_banks`.
    """
    features = as_features(x, f"{where}: x{m}", keep_images=True)
    labels = as_labels(c, f"{where}: c{m}")
    if labels.shape[1] > 1:
        raise InvalidRequest(
            f"{where}: c{m} has {labels.shape[1]} columns; expected one class index per row, shape (rows,)"
        )
    if len(features) != len(labels):
        raise InvalidRequest(
            f"{where}: x{m} has {len(features)} rows but c{m} has {len(labels)}; they must be equal"
        )
    names, classes = np.unique(labels[:, 0], return_inverse=True)
    counts = np.bincount(classes)
    if counts.min() < LEAST_ROWS:
        raise InvalidRequest(
            f"{where}: class {names[counts.argmin()]} of c{m} has {counts.min()} rows; expected {LEAST_ROWS} "
            "or more per class: add rows or remove the class"
        )
    distinct = len(np.unique(features.reshape(len(features), -1), axis=0))
    if distinct == 1:
        raise InvalidRequest(f"{where}: x{m} has equal rows in float32; expected features that vary")
    if distinct < len(features):
        raise InvalidRequest(
            f"{where}: x{m} has {len(features) - distinct} exact copies of other rows, which would be in "
            "training and in test rows; remove them, or rescale features that are equal in float32 only"
        )
    features = features - features.mean(0, dtype=np.float64).astype(np.float32)
    scale = float(np.sqrt(np.mean(np.square(features, dtype=np.float64))))
    order = np.argsort(classes, kind="stable")
    features, classes = (features / np.float32(scale))[order], classes[order]
    digest = sha256(repr(features.shape).encode() + features.tobytes() + classes.tobytes())
    return Bank(features, classes, digest.hexdigest()[:16])
