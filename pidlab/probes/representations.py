"""A user's own representations: readouts and targets from arrays or from a file."""

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pidlab.errors import InvalidRequest
from pidlab.io import refuse_special

READOUTS = ("z1", "z2", "z12")
NAMES = (*READOUTS, "y", "groups")
TORCH_SUFFIXES = (".pt", ".pth")

# The largest magnitude at which consecutive whole numbers are distinct in float64.
MAX_WHOLE = 2**53
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
        if self.y.shape[1] == 0:
            raise InvalidRequest(f"y{self.suffix}: has no column; give one target or more")
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
        arrays: Arrays or tensors `z1` (n, d1), `z2` (n, d2), optionally `z12` (n, d), and `y` (n,) or
            (n, targets) of whole numbers or strings. One-hot rows count as one target. Optional `groups`
            (n,) number the rows that depend on each other.
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
    y, is_one_hot = _labels(given["y"], f"y{suffix}")
    readouts = {name: given[name] for name in READOUTS if name in given}
    return Representations(readouts, y, given.get("groups"), is_one_hot, suffix)


def load_representations(path: Path) -> tuple[Representations, Representations | None]:
    """Load representations and, if the file has them, test rows.

    Args:
        path: An `.npz` file, or a `.pt` or `.pth` file with a dictionary of tensors, with the arrays of
            `from_arrays`; test rows have the suffix `_test`.

    Raises:
        InvalidRequest: If the file cannot be read or its arrays do not fit.
    """
    arrays = _read_torch(path) if path.suffix in TORCH_SUFFIXES else _read_npz(path)
    has_test = any(name.endswith("_test") for name in arrays)
    if has_test and ("z12" in arrays) != ("z12_test" in arrays):
        raise InvalidRequest("z12 and z12_test: only one of them is in the file; give both or neither")
    return from_arrays(arrays), from_arrays(arrays, "_test") if has_test else None


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InvalidRequest(f"{path}: is not an .npz archive; save z1, z2 and y with numpy.savez")
    try:
        refuse_special(path)
        with np.load(path, allow_pickle=False) as archive:
            if any(name.endswith("/data.pkl") or name.endswith("/data") for name in archive.files):
                raise InvalidRequest(f"{path}: is a torch file; give it a name that ends in .pt")
            members = {name: archive[name] for name in archive.files}
    except InvalidRequest:
        raise
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError) as error:
        if "pickle" in str(error).lower():
            raise InvalidRequest(
                f"{path}: contains pickled objects, which are never loaded; save plain arrays of numbers"
            ) from None
        raise InvalidRequest(f"{path}: cannot be read as arrays ({error})") from None
    return {name: array for name, array in members.items() if isinstance(array, np.ndarray)}


def _read_torch(path: Path) -> dict[str, Any]:
    import torch

    try:
        refuse_special(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError, KeyError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidRequest(
            f"{path}: cannot be read as tensors ({line[:80]}); save a dictionary of tensors with torch.save"
        ) from None
    if not isinstance(values, Mapping):
        raise InvalidRequest(
            f"{path}: contains {type(values).__name__}; save a dictionary with z1, z2 and y by torch.save"
        )
    return {str(name): value for name, value in values.items()}


def _as_numpy(values: Any, name: str) -> np.ndarray:
    """Return an array, also of a tensor that requires gradients or is on another device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        raise InvalidRequest(f"{name}: is not an array; give numbers of shape (n, d)") from None


def _labels(y: np.ndarray, name: str) -> tuple[np.ndarray, bool]:
    """Return labels with one target per column, and whether they were one-hot rows."""
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y.flat):
        y = y.astype(str)
    is_whole = y.dtype.kind in "biu" or (
        y.dtype.kind == "f" and bool(np.all((y == np.round(y)) & (np.abs(y) <= MAX_WHOLE)))
    )
    if y.ndim not in (1, 2) or not (is_whole or y.dtype.kind in "US"):
        raise InvalidRequest(
            f"{name}: has shape {y.shape} and type {y.dtype}; give whole numbers or strings of shape (n,) "
            "or (n, targets)"
        )
    if not is_whole:
        return (y if y.ndim == 2 else y[:, None]).astype(str), False
    y = (y if y.ndim == 2 else y[:, None]).astype(np.int64)
    is_one_hot = y.shape[1] > 1 and len(y) > 0 and bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())
    return (y.argmax(1)[:, None], True) if is_one_hot else (y, False)
