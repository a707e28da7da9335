"""Reading named arrays from files: .npz, .npy, .csv, .parquet, .pt, .safetensors and .mat."""

import re
import tokenize
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from pidlab.encoders import SmallCNN
from pidlab.errors import InvalidRequest, shorten
from pidlab.io import check_memory, refuse_special

# A label with more classes is a continuous variable or an index of rows.
MOST_CLASSES = 2**14

# The largest magnitude at which consecutive whole numbers are distinct in float64.
MAX_WHOLE = 2**53

# Floating-point types of torch that numpy has.
_NUMPY_FLOATS = ("torch.float16", "torch.float32", "torch.float64")

# Channels of an image whose last axis is recognized as that of the channels.
CHANNELS = (1, 3, 4)


def read_arrays(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    r"""Read named arrays from a file.

    ``.npz``, ``.pt`` (a dictionary of tensors, loaded with ``weights_only``), ``.safetensors`` and ``.mat``
    files contain named arrays. A ``.csv`` or ``.parquet`` file contains a column ``NAME``, or columns
    ``NAME_0``, ``NAME_1``, ... (also ``NAME.0``, ``NAME-0``, ``NAME[0]``) for each array. A ``.npy`` file is
    a structured array with a field for each name, or one of several files ``NAME.npy`` in one folder.

    Args:
        path: The file, or a folder with one ``NAME.npy`` file per array.
        names: Names of the required arrays.
        optional: Names of further arrays that are read if they exist.

    Returns:
        Arrays by name, of any shape and type. See `as_features` and `as_labels`.

    Raises:
        InvalidRequest: If the file cannot be read or an array is missing; always one line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "rows.csv"
        >>> _ = file.write_text("x1_0,x1_1,y\n0.5,1.5,cat\n2.5,3.5,dog\n")
        >>> read_arrays(file, ["x1", "y"])["x1"]
        array([[0.5, 1.5],
               [2.5, 3.5]])
    """
    wanted = [*names, *optional]
    readers: dict[str, Callable[[Path, Sequence[str]], Mapping[str, Any]]] = {
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".parquet": _read_parquet,
        ".pt": _read_torch,
        ".pth": _read_torch,
        ".safetensors": _read_safetensors,
        ".mat": _read_mat,
    }
    try:
        reader = _read_folder if path.is_dir() else readers.get(path.suffix.lower())
        if reader is None:
            raise InvalidRequest(
                f"cannot read {path}: its name ends in {path.suffix or 'no suffix'}; "
                f"expected {', '.join(readers)}, or a folder of .npy files"
            )
        refuse_special(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers warn of versions and of mixed columns
            arrays = {name: np.asarray(array) for name, array in reader(path, wanted).items()}
    except InvalidRequest:
        raise
    except FileNotFoundError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError:
        raise InvalidRequest(f"cannot read {path}: it does not fit into memory; write fewer rows") from None
    # What the readers of damaged files raise is not documented; all of it means the same for the user.
    except Exception as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        first = (detail.strip().splitlines() or [type(error).__name__])[0]
        raise InvalidRequest(
            f"cannot read {path}: expected {_DESCRIPTIONS.get(path.suffix.lower(), 'arrays')} "
            f"({shorten(first)})"
        ) from None
    for name in names:
        if name not in arrays:
            listing = shorten(", ".join(sorted(arrays)) or "none of the expected arrays", 200)
            raise InvalidRequest(
                f"{path} has no array {name!r}: expected {_enumerate(names)}, and it has {listing}"
            )
    return {name: arrays[name] for name in wanted if name in arrays}


_DESCRIPTIONS = {
    ".npz": "an .npz file of plain numbers",
    ".npy": "a .npy file of plain numbers",
    ".csv": "a table with a header and columns separated by commas, semicolons or tabs",
    ".tsv": "a table with a header and columns separated by tabs",
    ".parquet": "a Parquet table",
    ".pt": "a dictionary of tensors written by torch.save",
    ".pth": "a dictionary of tensors written by torch.save",
    ".safetensors": "a file of tensors written by safetensors",
    ".mat": "a MATLAB file up to version 7 (save with -v7)",
}


def as_features(array: np.ndarray, where: str, keep_images: bool = False) -> Float[np.ndarray, "n ..."]:
    """Convert an array to float32 features, one row per sample.

    Args:
        array: Numbers of shape (n,), (n, d) or (n, ...).
        where: File and name of the array, for messages.
        keep_images: Return images, shape (n, h, h), (n, c, h, w) or (n, h, w, c) with c of 1, 3 or 4, as
            (n, c, h, w), with values of type uint8 scaled to 0 to 1. By default, and for images of less than
            8 pixels per side, all axes but the first are flattened.

    Returns:
        Features of shape (n, d), or (n, c, h, w).

    Raises:
        InvalidRequest: If the array does not contain finite numbers.

    Example:
        >>> as_features(np.zeros(5, np.float16), "rows.npz: x1").shape
        (5, 1)
        >>> as_features(np.zeros((5, 28, 28, 3), np.uint8), "rows.npz: x1", keep_images=True).shape
        (5, 3, 28, 28)
    """
    if array.ndim < 1 or array.dtype.kind not in "biuf" or 0 in array.shape:
        raise InvalidRequest(f"{where} is {_describe(array)}, expected numbers of shape (rows, columns)")
    check_memory(where, 4 * array.size)
    with np.errstate(over="ignore"):
        features = array.astype(np.float32)
    if not np.isfinite(features).all():
        too_large = array.dtype.kind != "f" or np.isfinite(array).all()
        what = "too large for float32; rescale them" if too_large else "not finite; remove or replace them"
        raise InvalidRequest(f"{where} has values that are {what}")
    if keep_images and array.ndim == 3 and array.shape[1] == array.shape[2]:
        features = features[:, None]
    if keep_images and features.ndim == 4:
        if features.shape[1] not in CHANNELS and features.shape[3] in CHANNELS:
            features = np.moveaxis(features, 3, 1)
        if min(features.shape[2:]) >= SmallCNN.LEAST:
            return np.ascontiguousarray(features / 255.0 if array.dtype == np.uint8 else features)
    return features.reshape(len(features), -1)


def as_labels(array: np.ndarray, where: str) -> Int[np.ndarray, "n targets"]:
    """Convert an array to class indices, one column per target.

    Whole numbers from 0 are class indices. Other labels (strings, negative or large numbers) are replaced by
    their index in sorted order. A one-hot matrix is one target (see `label_columns`).

    Args:
        array: Integers, whole floats, booleans or strings of shape (n,) or (n, targets), or a one-hot matrix.
        where: File and name of the array, for messages.

    Returns:
        Class indices, int64, shape (n, targets).

    Raises:
        InvalidRequest: If the array does not contain labels, or a target has a single class.

    Example:
        >>> as_labels(np.array(["dog", "cat", "dog"]), "rows.npz: y").tolist()
        [[1], [0], [1]]
        >>> as_labels(np.eye(3), "rows.npz: y").tolist()
        [[0], [1], [2]]
    """
    columns, _ = label_columns(array, where)
    labels = np.stack([_indices(columns[:, k], where) for k in range(columns.shape[1])], axis=1)
    if (labels == labels[:1]).all(0).any():
        raise InvalidRequest(f"{where} has a target with a single class; remove it, it has no information")
    return labels


def label_columns(array: np.ndarray, where: str) -> tuple[Shaped[np.ndarray, "n targets"], bool]:
    """Convert an array of labels to one column per target.

    A matrix of several columns with a single 1 per row and 0 elsewhere is one-hot and becomes one column of
    class indices.

    Args:
        array: Integers, whole floats, booleans or strings of shape (n,) or (n, targets), or a one-hot matrix.
        where: Name of the array, for messages.

    Returns:
        Labels, int64 or strings, shape (n, targets), and whether they were one-hot.

    Raises:
        InvalidRequest: If the array does not contain labels.

    Example:
        >>> label_columns(np.array([0.0, 2.0]), "y")
        (array([[0],
               [2]]), False)
    """
    expected = "expected class labels of shape (rows,) or (rows, targets)"
    if array.dtype.kind == "O":
        array = _unpack_objects(array, f"{where} has values that are no labels, {expected}")
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufUS" or 0 in array.shape:
        raise InvalidRequest(f"{where} is {_describe(array)}, {expected}")
    columns = array.reshape(len(array), -1)
    if columns.dtype.kind == "S":
        columns = np.char.decode(columns, "utf-8", "replace")
    if columns.dtype.kind == "U":
        return columns, False
    if columns.dtype.kind == "f":
        columns = columns.astype(np.float64)  # float16 cannot represent the bound below
        if not np.isfinite(columns).all():
            raise InvalidRequest(f"{where} has values that are not finite, {expected}")
        if (columns != np.round(columns)).any() or (np.abs(columns) > MAX_WHOLE).any():
            raise InvalidRequest(
                f"{where} has values that are not whole numbers, {expected}; divide a continuous target "
                "into bins"
            )
    if columns.dtype.kind == "u" and columns.max() > np.iinfo(np.int64).max:
        raise InvalidRequest(f"{where} has values above 2^63, {expected}")
    columns = columns.astype(np.int64)
    is_binary = columns.shape[1] > 1 and bool(((columns == 0) | (columns == 1)).all())
    if is_binary and bool((columns.sum(1) == 1).all()):
        return columns.argmax(1)[:, None], True
    return columns, False


def _indices(column: np.ndarray, where: str) -> Int[np.ndarray, " n"]:
    if column.dtype.kind == "i" and column.min() >= 0 and column.max() < MOST_CLASSES:
        return column
    values, indices = np.unique(column, return_inverse=True)
    if len(values) > MOST_CLASSES:
        raise InvalidRequest(
            f"{where} has {len(values)} different labels, expected {MOST_CLASSES} or fewer; "
            "divide a continuous target into bins"
        )
    return indices.astype(np.int64)


def _unpack_objects(array: np.ndarray, message: str) -> np.ndarray:
    """Convert an array of Python objects to strings or numbers if it has only these."""
    values = array.ravel().tolist()
    if all(isinstance(value, (bool, int, float)) for value in values):
        return np.array(values).reshape(array.shape)
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_).reshape(array.shape)
    raise InvalidRequest(message)


def to_numpy(value: Any) -> np.ndarray:
    """Convert an array, or a tensor on any device that may require gradients, to a numpy array.

    Args:
        value: Array, tensor or nested sequence of numbers.

    Returns:
        The array; bfloat16, which numpy does not have, becomes float32.

    Raises:
        ValueError: If a sequence has rows of different lengths.

    Example:
        >>> to_numpy([[1, 2], [3, 4]]).shape
        (2, 2)
    """
    if not hasattr(value, "detach"):
        return np.asarray(value)
    value = value.detach().cpu().to_dense()
    is_unknown = value.is_floating_point() and str(value.dtype) not in _NUMPY_FLOATS
    return (value.float() if is_unknown else value).numpy()


def _read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in names or not info.filename.endswith(".npy"):
                # Listed in the message if an array is missing, but not read.
                continue
            if info.flag_bits & 1:
                raise InvalidRequest(f"cannot read {path}: {name} is encrypted; save it without a password")
            with archive.open(info) as file:
                _check_header(file, info.file_size, f"{path}: {name}")
            with archive.open(info) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        others = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    if any(other.endswith("data.pkl") for other in others):
        raise InvalidRequest(f"cannot read {path}: it is a torch file; give it a name that ends in .pt")
    if not set(names) & set(arrays):
        listing = shorten(", ".join(sorted(others)) or "no arrays", 200)
        raise InvalidRequest(f"{path} has no array {names[0]!r}: it has {listing}")
    return arrays


def _read_npy(path: Path, names: Sequence[str]) -> Mapping[str, np.ndarray]:
    array = _load_npy(path)
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if path.stem in names:
        return _read_folder(path.parent, names)
    raise InvalidRequest(
        f"{path}: a .npy file has one array; save {_enumerate(names)} with numpy.savez in one file or in "
        f"one folder as {', '.join(f'{name}.npy' for name in names[:3])}"
    )


def _read_folder(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    files = {name: path / f"{name}.npy" for name in names}
    arrays = {name: _load_npy(file) for name, file in files.items() if file.is_file()}
    if not arrays:
        raise InvalidRequest(f"{path} is a folder without {', '.join(f'{name}.npy' for name in names[:3])}")
    return arrays


def _load_npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        _check_header(file, path.stat().st_size, str(path))
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], size: int, where: str) -> None:
    """Require that the header of a .npy file announces no more data than the file has.

    Numpy allocates the announced size before it reads.
    """
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else _read_header_2_0
        shape, _, dtype = reader(file)
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError, EOFError):
        raise InvalidRequest(
            f"cannot read {where}: expected the header of a .npy file of plain numbers"
        ) from None
    if dtype.hasobject:
        raise InvalidRequest(
            f"cannot read {where}: it has Python objects, which are never loaded; save plain "
            "numbers or strings"
        )
    announced = dtype.itemsize
    for length in shape:
        announced *= length  # Python's integers do not overflow
    if announced > size:
        raise InvalidRequest(
            f"cannot read {where}: its header announces {announced / 1e9:.3g} GB of numbers but it has "
            f"{size / 1e9:.3g} GB; the file is damaged"
            if announced < 10**300
            else f"cannot read {where}: its header announces too many numbers; the file is damaged"
        )
    check_memory(where, announced)


def _read_header_2_0(file: IO[bytes]) -> Any:
    return np.lib.format.read_array_header_2_0(file)


def _read_csv(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import pandas as pd

    with path.open(encoding="utf-8-sig") as file:
        header = file.readline(1_000_000)
    # The most frequent of the usual separators in the header.
    separator = max(",;\t", key=header.count)
    # Words such as NA and nan in labels are labels, not missing values.
    options: dict[str, Any] = {
        "sep": separator,
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "na_values": [""],
    }
    columns = _columns(path, pd.read_csv(path, nrows=0, **options).columns, names)
    wanted = {column for group in columns.values() for column in group}
    frame = pd.read_csv(path, usecols=lambda column: column in wanted, **options)
    return _combine(path, frame, columns)


def _read_parquet(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory")
    try:
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InvalidRequest(f"cannot read {path}: install pyarrow (pip install pyarrow)") from None
    columns = _columns(path, pq.read_schema(path).names, names)
    table = pq.read_table(path, columns=[column for group in columns.values() for column in group])
    return _combine(path, table.to_pandas(), columns)


def _columns(path: Path, header: Iterable[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the columns NAME or NAME_0, NAME_1, ... of each array."""
    listed = list(header)
    columns: dict[str, list[Any]] = {}
    for name in names:
        pattern = re.compile(re.escape(name) + r"(?:[_.\-]\d+|\[\d+\])?")
        if matching := [column for column in listed if pattern.fullmatch(str(column).strip())]:
            columns[name] = matching
    if not columns:
        listing = shorten(", ".join(map(str, listed)), 200)
        raise InvalidRequest(
            f"{path} has no column {names[0]} or {names[0]}_0, {names[0]}_1, ...: its header is {listing}"
        )
    return columns


def _combine(path: Path, frame: Any, columns: Mapping[str, list[Any]]) -> dict[str, np.ndarray]:
    """Combine the columns of each array."""
    if not len(frame):
        raise InvalidRequest(f"{path} has a header but no rows")
    arrays: dict[str, np.ndarray] = {}
    for name, group in columns.items():
        part = frame[group]
        if part.isna().to_numpy().any():
            raise InvalidRequest(f"{path}: {name} has empty cells; remove or fill these rows")
        values = part.to_numpy()
        if values.dtype.kind == "O" and values.shape[1] == 1 and not isinstance(values[0, 0], str):
            # A Parquet cell can hold a list of numbers.
            values = np.stack([np.asarray(row) for row in values[:, 0]])
        arrays[name] = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    return arrays


def _read_torch(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise InvalidRequest(
            f"cannot read {path}: it has Python objects, which are never loaded, or is damaged; save a "
            "dictionary of tensors with torch.save"
        ) from None
    if not isinstance(content, Mapping):
        raise InvalidRequest(
            f"cannot read {path}: it has a {type(content).__name__}; save a dictionary of the tensors "
            f"{_enumerate(names)} with torch.save"
        )
    arrays: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if str(name) in names and isinstance(value, (torch.Tensor, list, tuple)):
            arrays[str(name)] = to_numpy(value)
    return arrays


def _read_safetensors(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: to_numpy(file.get_tensor(name)) for name in file.keys() if name in names}  # noqa: SIM118


def _read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory")
    arrays: dict[str, np.ndarray] = {}
    for name, value in loadmat(path, variable_names=list(names)).items():
        if name.startswith("__"):
            continue
        if value.dtype.kind == "O":  # a cell array of strings
            value = np.array([str(cell[0]) if np.size(cell) else "" for cell in value.ravel()])
        # MATLAB has no 1-d arrays: a vector is a row or a column.
        arrays[name] = value.ravel() if value.ndim == 2 and 1 in value.shape and value.size > 1 else value
    return arrays


def _enumerate(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
