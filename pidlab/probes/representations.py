"""A user's own representations: readouts and targets from arrays or from a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pidlab.errors import InvalidRequest
from pidlab.generators.read_arrays import label_columns, read_arrays, to_numpy

READOUTS = ("z1", "z2", "z12")
NAMES = (*READOUTS, "y", "groups")

# Rows checked at once, to bound memory.
CHECK_ROWS = 65536


@dataclass(frozen=True)
class Representations:
    """Readouts and targets of the same rows.

    Args:
        readouts: Arrays of real numbers by readout name, each of shape (n, d).
        y: Class labels, one target per column, shape (n, targets).
        groups: Group of each row, shape (n,); rows of one group are dependent. None for independent rows.
        is_one_hot: Whether y was given as one-hot rows.
        suffix: Suffix of the array names in error messages, ``"_test"`` for test rows.

    Raises:
        InvalidRequest: If shapes or types do not match, or values are not finite in float32.
    """

    readouts: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray | None = None
    is_one_hot: bool = False
    suffix: str = ""

    def __post_init__(self) -> None:
        """Check shapes, types and values."""
        n = len(self.y)
        for name, z in self.readouts.items():
            name += self.suffix
            if z.ndim != 2 or z.shape[1] == 0 or z.dtype.kind not in "biuf":
                raise InvalidRequest(
                    f"{name}: has shape {z.shape} and type {z.dtype}; give numbers of shape (n, d)"
                )
            if len(z) != n:
                raise InvalidRequest(
                    f"{name}: has {len(z)} rows but y{self.suffix} has {n}; give one row per label"
                )
            for start in range(0, n, CHECK_ROWS):
                # Not finite compares as false, too.
                is_valid = np.abs(z[start : start + CHECK_ROWS]) <= np.finfo(np.float32).max
                if not is_valid.all():
                    row = start + int(np.argwhere(~is_valid)[0][0])
                    raise InvalidRequest(
                        f"{name}: row {row} is not finite or beyond float32; remove or correct such rows"
                    )
        if self.groups is not None and self.groups.shape != (n,):
            raise InvalidRequest(
                f"groups{self.suffix}: has shape {self.groups.shape}; give one group per row, shape ({n},)"
            )

    @property
    def precision(self) -> float:
        """Largest relative spacing of the numbers of a readout."""
        return max(
            float(np.finfo(z.dtype if z.dtype.kind == "f" else float).eps) for z in self.readouts.values()
        )

    def take(self, rows: np.ndarray) -> "Representations":
        """Return the representations of some rows."""
        readouts = {name: z[rows] for name, z in self.readouts.items()}
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, readouts=readouts, y=self.y[rows], groups=groups)

    def with_z12(self) -> "Representations":
        """Return the representations with z1 and z2 concatenated as `z12`, unless they have one."""
        if "z12" in self.readouts or not {"z1", "z2"} <= set(self.readouts):
            return self
        joint = np.concatenate([self.readouts["z1"], self.readouts["z2"]], axis=1)
        return replace(self, readouts={**self.readouts, "z12": joint})


def from_arrays(arrays: Mapping[str, Any], suffix: str = "") -> Representations:
    """Return representations from arrays by name.

    Args:
        arrays: Arrays or tensors `z1`, `z2`, optionally `z12`, of shape (n,), (n, d) or (n, ...), which is
            flattened to (n, d); and `y` (n,) or (n, targets) of whole numbers or strings. One-hot rows count
            as one target. Optional `groups` (n,) number the rows that depend on each other.
        suffix: Suffix of the names, ``"_test"`` for test rows.

    Raises:
        InvalidRequest: If an array is missing or does not fit.
    """
    for name in ("z1", "z2", "y"):
        if arrays.get(name + suffix) is None:
            names = ", ".join(sorted(name for name in arrays if arrays[name] is not None)) or "nothing"
            raise InvalidRequest(f"no {name + suffix!r} among {names}; give z1, z2 and y of the same rows")
    given = {
        name: _as_numpy(arrays[name + suffix], name + suffix)
        for name in NAMES
        if arrays.get(name + suffix) is not None
    }
    y, is_one_hot = label_columns(given["y"], f"y{suffix}")
    readouts = {name: _flatten(given[name]) for name in READOUTS if name in given}
    return Representations(readouts, y, given.get("groups"), is_one_hot, suffix)


def _flatten(z: np.ndarray) -> np.ndarray:
    """Return rows of numbers: a 1-d array has one column, and images are flattened."""
    return z.reshape(len(z), math.prod(z.shape[1:])) if z.ndim else z


def load_representations(path: Path) -> tuple[Representations, Representations | None]:
    """Load representations and, if the file has them, test rows.

    Args:
        path: A file of `pidlab.generators.read_arrays` with the arrays of `from_arrays`; test rows have the
            suffix `_test`.

    Raises:
        InvalidRequest: If the file cannot be read or its arrays do not fit.
    """
    required = ("z1", "z2", "y")
    others = [name for name in NAMES if name not in required]
    arrays = read_arrays(path, required, [*others, *(f"{name}_test" for name in NAMES)])
    has_test = any(name.endswith("_test") for name in arrays)
    if has_test and ("z12" in arrays) != ("z12_test" in arrays):
        raise InvalidRequest("z12 and z12_test: only one of them is in the file; give both or neither")
    return from_arrays(arrays), from_arrays(arrays, "_test") if has_test else None


def _as_numpy(values: Any, name: str) -> np.ndarray:
    try:
        return to_numpy(values)
    except (ValueError, TypeError, RuntimeError):
        raise InvalidRequest(f"{name}: is not an array; give numbers of shape (n, d)") from None
