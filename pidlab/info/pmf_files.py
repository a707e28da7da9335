"""Distributions from files."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest
from pidlab.info.columns import encode, read_columns
from pidlab.info.gates import ALIASES, gate, gates
from pidlab.info.pmf import as_pmf
from pidlab.io import refuse_special

Symbols: TypeAlias = tuple[tuple[str, ...], ...]

VARIABLES = ("x1", "x2", "y")
MASS = "p"
# Cells of the largest table.
MOST_CELLS = 2**24


@dataclass(frozen=True, eq=False)
class Table:
    """Probabilities or counts of all outcomes, with the names of their symbols.

    Args:
        values: Probabilities or counts, shape (n1, n2, ny).
        symbols: Symbols of X1, X2 and Y in the order of the axes.
    """

    values: Float[np.ndarray, "..."]
    symbols: Symbols


def load_pmf(reference: str, normalize: bool = False, columns: Sequence[str] = ()) -> Table:
    """Return the pmf of a gate or a file.

    Args:
        reference: Name of a gate, or path of a file.
        normalize: Whether to accept counts or weights and divide them by their sum.
        columns: Names of the columns of a .csv file, as in `read_pmf`.

    Returns:
        The pmf with its symbols.

    Raises:
        InvalidRequest: If the reference is neither a gate nor a readable file (see `read_pmf`).

    Example:
        >>> load_pmf("rdn").values[0, 0].tolist()
        [0.5, 0.0]
    """
    if columns and Path(reference).suffix.lower() not in (".csv", ".tsv"):
        raise InvalidRequest(f"{reference}: --columns names the columns of a .csv file only; omit it")
    if reference not in (*gates(), *ALIASES):
        if Path(reference).suffix or Path(reference).exists():
            return read_pmf(reference, normalize, columns)
        try:
            gate(reference)
        except InvalidRequest as error:
            raise InvalidRequest(f"{error} For a file, give the path of a .csv, .json or .npy") from None
    pmf = gate(reference)
    return Table(pmf, _digits(pmf.shape))


def read_pmf(
    path: Path | str, normalize: bool = False, columns: Sequence[str] = (), sources: int = 2
) -> Table:
    """Read a joint pmf from a file; its suffix determines the format.

    `.csv`: columns x1, x2, y, p with any symbols, one row per outcome; missing outcomes have probability 0.
    `.json`: rows `[x1, x2, y, p]` or `{"x1":, "x2":, "y":, "p":}`, or nested lists of shape (n1, n2, ny),
    alone or as `"pmf"` of an object. `.npy`: an array of shape (n1, n2, ny), never unpickled.

    Args:
        path: Path of the file.
        normalize: Whether to accept counts or weights and divide them by their sum.
        columns: Names of the columns of a .csv file for X1, X2, Y and p; default x1, x2, y, p. With three
            names the masses are in p.
        sources: Number of sources k; for more than two, the columns are x1, ..., xk, y, p and arrays have
            shape (n1, ..., nk, ny).

    Returns:
        The pmf with its symbols.

    Raises:
        InvalidRequest: If the file cannot be read, does not have the format of its suffix, or holds no pmf.
    """
    path = Path(path)
    variables = (*(f"x{i + 1}" for i in range(sources)), VARIABLES[-1])
    names = (*columns, MASS)[: sources + 2] if columns else (*variables, MASS)
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": lambda path: _read_csv(path, names),
        ".tsv": lambda path: _read_csv(path, names),
        ".json": lambda path: _read_json(path, names if sources > 2 else (*VARIABLES, MASS)),
        ".npy": lambda path: _from_array(path, read_npy(path), sources),
    }
    if path.suffix.lower() not in readers:
        raise InvalidRequest(f"{path}: unknown suffix; name it .csv, .json or .npy")
    table = read_file(path, readers[path.suffix.lower()])
    try:
        # Sources beyond the first are joined, because further axes of a pmf are a batch.
        shape = table.values.shape
        joined = table.values if sources == 2 or 0 in shape else table.values.reshape(shape[0], -1, shape[-1])
        pmf = as_pmf(joined, normalize).reshape(shape)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None
    return Table(pmf, table.symbols)


def read_file(path: Path, read: Callable[[Path], Any]) -> Any:
    """Call a reader; report errors of the file system and of the encoding.

    Args:
        path: Path of the file.
        read: Reader of the path.

    Returns:
        The result of the reader.

    Raises:
        InvalidRequest: If the file cannot be read or is not text.
    """
    try:
        refuse_special(path)
        return read(path)
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path}: not a text file; a {path.suffix} file holds UTF-8 text") from None


def read_npy(path: Path) -> np.ndarray:
    """Read an array without unpickling objects.

    Args:
        path: Path of a .npy file.

    Returns:
        The array.

    Raises:
        InvalidRequest: If the file is not a .npy file of plain values.
    """
    try:
        values = np.load(path, allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("not one array")
    except (ValueError, EOFError, MemoryError) as error:
        why = "not a .npy file"
        if path.read_bytes()[:6] == b"\x93NUMPY":
            why = f"cannot be read ({' '.join(str(error).split())})"
            if "pickle" in str(error).lower():
                why = "holds Python objects, which are never unpickled"
        raise InvalidRequest(f"{path}: {why}; write it with numpy.save(path, array)") from None
    return values


def _read_csv(path: Path, names: Sequence[str]) -> Table:
    """Read rows of symbols and a mass."""
    columns, _ = read_columns(path, names)
    masses = columns.pop(names[-1])
    return _table_of(path, columns, [_number(path, i + 2, mass) for i, mass in enumerate(masses)])


def _read_json(path: Path, names: Sequence[str]) -> Table:
    """Read rows or nested lists."""
    text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{path}: not JSON ({error.msg}, line {error.lineno})") from None
    except (ValueError, RecursionError):
        raise InvalidRequest(f"{path}: lists too deep or numbers too long to be a pmf") from None
    if isinstance(document, Mapping):
        if "pmf" not in document:
            raise InvalidRequest(f'{path}: an object without "pmf"; give rows [x1, x2, y, p] or nested lists')
        document = document["pmf"]
    if not isinstance(document, list) or not document:
        raise InvalidRequest(f"{path}: expected rows [x1, x2, y, p] or nested lists of shape (n1, n2, ny)")
    if all(isinstance(row, Mapping) for row in document):
        missing = [key for key in names for row in document if key not in row]
        if missing:
            raise InvalidRequest(f"{path}: a row without {missing[0]!r}; every row needs {', '.join(names)}")
        document = [[row[key] for key in names] for row in document]
    if all(
        isinstance(row, list) and len(row) == len(names) and not isinstance(row[0], list) for row in document
    ):
        masses = [_number(path, i + 1, row[-1], "row") for i, row in enumerate(document)]
        columns = {name: [str(row[i]) for row in document] for i, name in enumerate(names[:-1])}
        return _table_of(path, columns, masses, "row", 1)
    return _from_array(path, document, len(names) - 2)


def _from_array(path: Path, values: Any, sources: int) -> Table:
    """Convert an array or nested lists with one axis per source and one for Y."""
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind not in "biuf":
            raise TypeError  # the conversion would drop imaginary parts
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{path}: not an array of real numbers of shape (n1, n2, ny)") from None
    if array.ndim != sources + 1:
        axes = ", ".join(f"n{i + 1}" for i in range(sources))
        raise InvalidRequest(f"{path}: shape {array.shape}, expected {sources + 1} axes ({axes}, ny), Y last")
    return Table(array, _digits(array.shape))


def _digits(shape: tuple[int, ...]) -> Symbols:
    """Name the symbols of each axis 0, 1, ...."""
    return tuple(tuple(map(str, range(n))) for n in shape)


def _table_of(
    path: Path,
    columns: Mapping[str, Sequence[str]],
    masses: Sequence[float],
    place: str = "line",
    start: int = 2,
) -> Table:
    """Build a table from the symbols and masses of its outcomes."""
    codes, symbols = encode(path, columns, place, start)
    sizes = [len(s) for s in symbols]
    if math.prod(sizes) > MOST_CELLS:
        raise InvalidRequest(f"{path}: {' x '.join(map(str, sizes))} symbols make too many cells; merge some")
    cells = np.ravel_multi_index(tuple(codes.T), sizes)
    counts = np.bincount(cells, minlength=math.prod(sizes))
    if counts.max() > 1:
        outcome = np.unravel_index(int(np.argmax(counts > 1)), sizes)
        names = ", ".join(s[i] for s, i in zip(symbols, outcome, strict=True))
        raise InvalidRequest(f"{path}: the outcome {names} is given twice; add up its masses")
    values = np.zeros(math.prod(sizes))
    values[cells] = masses
    return Table(values.reshape(sizes), symbols)


def _number(path: Path, line: int, text: Any, place: str = "line") -> float:
    """Parse a probability."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"{path}: {place} {line}: p = {text!r} is not a number; write it as 0.25"
        ) from None
    except OverflowError:
        raise InvalidRequest(f"{path}: {place} {line}: p is beyond float64") from None
