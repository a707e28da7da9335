"""A user's own representations: readouts and targets from arrays or from a file."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pidlab.errors import InvalidRequest

READOUTS = ("z1", "z2", "z12")

# The largest magnitude at which consecutive whole numbers are distinct in float64.
MAX_WHOLE = 2**53


@dataclass(frozen=True)
class Representations:
    """Readouts and targets of the same rows.

    Args:
        readouts: Arrays of real numbers by readout name, each of shape (n, d).
        y: Class labels, one target per column, shape (n, targets).
        suffix: Suffix of the array names in error messages, ``"_test"`` for test rows.

    Raises:
        InvalidRequest: If shapes or types do not match, or values are not finite in float32.
    """

    readouts: dict[str, np.ndarray]
    y: np.ndarray
    suffix: str = ""

    def __post_init__(self) -> None:
        for name, z in self.readouts.items():
            name += self.suffix
            if z.ndim != 2 or z.shape[1] == 0 or z.dtype.kind not in "biuf":
                raise InvalidRequest(
                    f"{name}: has shape {z.shape} and type {z.dtype}; give numbers of shape (n, d)"
                )
            if len(z) != len(self.y):
                raise InvalidRequest(
                    f"{name}: has {len(z)} rows but y{self.suffix} has {len(self.y)}; give one row per label"
                )
            if not (is_valid := np.abs(z) <= np.finfo(np.float32).max).all():
                row = int(np.argwhere(~is_valid)[0][0])
                raise InvalidRequest(
                    f"{name}: row {row} is not finite or beyond float32; remove or correct such rows"
                )
        if self.y.shape[1] == 0:
            raise InvalidRequest(f"y{self.suffix}: has no column; give one target or more")


def from_arrays(arrays: Mapping[str, Any], suffix: str = "") -> Representations:
    """Return representations from arrays by name.

    Args:
        arrays: Arrays or tensors `z1` (n, d1), `z2` (n, d2), optionally `z12` (n, d), and `y` (n,) or
            (n, targets) of whole numbers or strings. Without `z12`, z1 and z2 are concatenated.
        suffix: Suffix of the names, ``"_test"`` for test rows.

    Raises:
        InvalidRequest: If an array is missing or does not fit.
    """
    for name in ("z1", "z2", "y"):
        if arrays.get(name + suffix) is None:
            names = ", ".join(sorted(arrays)) or "nothing"
            raise InvalidRequest(f"no {name + suffix!r} among {names}; give z1, z2 and y of the same rows")
    y = _labels(_as_numpy(arrays[f"y{suffix}"]), f"y{suffix}")
    readouts = {
        name: _as_numpy(arrays[name + suffix]) for name in READOUTS if arrays.get(name + suffix) is not None
    }
    numeric = all(readouts[z].ndim == 2 and readouts[z].dtype.kind in "biuf" for z in ("z1", "z2"))
    if "z12" not in readouts and numeric:
        if len(readouts["z1"]) != len(readouts["z2"]):
            raise InvalidRequest(
                f"z1{suffix}: has {len(readouts['z1'])} rows but z2{suffix} has {len(readouts['z2'])}; "
                "give paired rows"
            )
        readouts["z12"] = np.concatenate([readouts["z1"], readouts["z2"]], axis=1)
    return Representations(readouts, y, suffix)


def load_representations(path: Path) -> tuple[Representations, Representations | None]:
    """Load representations and, if the file has them, test rows.

    Args:
        path: An `.npz` file with the arrays of `from_arrays`; test rows have the suffix `_test`.

    Raises:
        InvalidRequest: If the file cannot be read or its arrays do not fit.
    """
    arrays = _read(path)
    has_test = any(name.endswith("_test") for name in arrays)
    if has_test and ("z12" in arrays) != ("z12_test" in arrays):
        raise InvalidRequest("z12 and z12_test: only one of them is in the file; give both or neither")
    return from_arrays(arrays), from_arrays(arrays, "_test") if has_test else None


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InvalidRequest(f"{path}: is not an .npz archive; save z1, z2 and y with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            members = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if "pickle" in str(error).lower():
            raise InvalidRequest(
                f"{path}: contains pickled objects, which are never loaded; save plain arrays of numbers"
            ) from None
        raise InvalidRequest(f"{path}: cannot be read as arrays ({error})") from None
    return {name: array for name, array in members.items() if isinstance(array, np.ndarray)}


def _as_numpy(values: Any) -> np.ndarray:
    """Return an array, also of a tensor that requires gradients or is on another device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
    return np.asarray(values)


def _labels(y: np.ndarray, name: str) -> np.ndarray:
    """Return labels with one target per column, whole numbers as int64."""
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
    return (y if y.ndim == 2 else y[:, None]).astype(np.int64 if is_whole else str)
