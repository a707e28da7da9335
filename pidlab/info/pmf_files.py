"""Distributions and samples from files."""

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from pidlab.errors import InvalidRequest
from pidlab.info.gates import ALIASES, gate, gates
from pidlab.info.pmf import as_pmf

Symbols: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

VARIABLES = ("x1", "x2", "y")
MASS = "p"

# Cells of the largest table of counts.
MOST_CELLS = 2**24


@dataclass(frozen=True, eq=False)
class Table:
    """Probabilities or counts of all outcomes, with the names of their symbols.

    Args:
        values: Probabilities or counts, shape (n1, n2, ny).
        symbols: Symbols of X1, X2 and Y in the order of the axes.
    """

    values: Float[np.ndarray, "n1 n2 ny"]
    symbols: Symbols


def load_pmf(reference: str, normalize: bool = False) -> Table:
    """Return the pmf of a gate or a file.

    Args:
        reference: Name of a gate, or path of a file.
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        The pmf with its symbols.

    Raises:
        InvalidRequest: If the reference is neither a gate nor a readable file (see `read_pmf`).

    Example:
        >>> load_pmf("rdn").values[0, 0].tolist()
        [0.5, 0.0]
    """
    if reference not in (*gates(), *ALIASES):
        if Path(reference).suffix or Path(reference).exists():
            return read_pmf(reference, normalize)
        try:
            gate(reference)
        except InvalidRequest as error:
            raise InvalidRequest(f"{error} For a file, give the path of a .csv, .json or .npy") from None
    pmf = gate(reference)
    return Table(pmf, _digits(pmf.shape))


def read_pmf(path: Path | str, normalize: bool = False) -> Table:
    """Read a joint pmf from a file; its suffix determines the format.

    `.csv`: columns x1, x2, y, p with any symbols, one row per outcome; missing outcomes have probability 0.
    `.json`: rows `[x1, x2, y, p]` or `{"x1":, "x2":, "y":, "p":}`, or nested lists of shape (n1, n2, ny),
    alone or as `"pmf"` of an object. `.npy`: an array of shape (n1, n2, ny), never unpickled.

    Args:
        path: Path of the file.
        normalize: Whether to accept counts or weights and divide them by their sum.

    Returns:
        The pmf with its symbols.

    Raises:
        InvalidRequest: If the file cannot be read, does not have the format of its suffix, or holds no pmf.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], Table]] = {".csv": _read_csv, ".json": _read_json, ".npy": _read_npy}
    if path.suffix.lower() not in readers:
        raise InvalidRequest(f"{path}: unknown suffix; name it .csv, .json or .npy")
    table = _read(path, readers[path.suffix.lower()])
    try:
        pmf = as_pmf(table.values, normalize)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None
    if pmf.ndim != 3:
        raise InvalidRequest(f"{path}: shape {pmf.shape}, expected 3 axes (n1, n2, ny)")
    return Table(pmf, table.symbols)


def read_samples(path: Path | str) -> tuple[Int[np.ndarray, "n 3"], Table]:
    """Read samples from a CSV file with columns x1, x2, y (any symbols), one row per sample.

    Args:
        path: Path of the file.

    Returns:
        The symbol indices of each sample, shape (n, 3), and the counts of all outcomes.

    Raises:
        InvalidRequest: If the file cannot be read, a column or value is missing, or there are no rows.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InvalidRequest(f"{path}: samples are read from a .csv file with columns {', '.join(VARIABLES)}")
    rows = _read(path, lambda p: _csv_rows(p, VARIABLES))
    codes, symbols = _encode(path, rows)
    counts = np.zeros([len(s) for s in symbols])
    np.add.at(counts, tuple(codes.T), 1.0)
    return codes, Table(counts, symbols)


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    """Call a reader; report errors of the file system and of the encoding."""
    try:
        return read(path)
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path}: not a text file; a {path.suffix} file holds UTF-8 text") from None


def _read_csv(path: Path) -> Table:
    """Read rows x1, x2, y, p."""
    rows = _csv_rows(path, (*VARIABLES, MASS))
    return _table_of(
        path, [row[:3] for row in rows], [_number(path, i + 2, row[3]) for i, row in enumerate(rows)]
    )


def _csv_rows(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the values of the named columns, row by row."""
    # utf-8-sig, because spreadsheets start a CSV file with a byte order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = list(reader)
        except csv.Error as error:
            raise InvalidRequest(f"{path}: not a CSV file ({error})") from None
    missing = [name for name in columns if name not in header]
    if missing:
        present = f"it has {', '.join(header)}" if header else "it is empty"
        raise InvalidRequest(
            f"{path}: no column {' or '.join(missing)} ({present}); the header needs {','.join(columns)}"
        )
    repeated = [name for name in columns if header.count(name) > 1]
    if repeated:
        raise InvalidRequest(f"{path}: column {repeated[0]} occurs twice; rename one of them")
    if not rows:
        raise InvalidRequest(f"{path}: no rows below the header; expected one row per outcome or sample")
    selected = []
    for i, row in enumerate(rows):
        values = tuple((row[name] or "").strip() for name in columns)
        if "" in values:
            raise InvalidRequest(f"{path}: line {i + 2} has no {columns[values.index('')]}")
        selected.append(values)
    return selected


def _read_json(path: Path) -> Table:
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
        missing = [key for key in (*VARIABLES, MASS) for row in document if key not in row]
        if missing:
            raise InvalidRequest(f"{path}: a row without {missing[0]!r}; every row needs x1, x2, y and p")
        document = [[row[key] for key in (*VARIABLES, MASS)] for row in document]
    if all(isinstance(row, list) and len(row) == 4 and not isinstance(row[0], list) for row in document):
        masses = [_number(path, i + 1, row[3], "row") for i, row in enumerate(document)]
        return _table_of(path, [tuple(map(str, row[:3])) for row in document], masses)
    return _from_array(path, document)


def _read_npy(path: Path) -> Table:
    """Read an array without unpickling objects."""
    try:
        values = np.load(path, allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("not one array")
    except (ValueError, EOFError) as error:
        why = (
            "holds Python objects, which are never unpickled"
            if "pickle" in str(error).lower()
            else "not a .npy file"
        )
        if not path.read_bytes().startswith(b"\x93NUMPY"):
            why = "not a .npy file"
        raise InvalidRequest(f"{path}: {why}; write it with numpy.save(path, pmf)") from None
    return _from_array(path, values)


def _from_array(path: Path, values: Any) -> Table:
    """Convert an array or nested lists of shape (n1, n2, ny)."""
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind not in "biuf":
            raise TypeError  # the conversion would drop imaginary parts
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{path}: not an array of real numbers of shape (n1, n2, ny)") from None
    if array.ndim != 3:
        raise InvalidRequest(f"{path}: shape {array.shape}, expected 3 axes (n1, n2, ny), Y last")
    return Table(array, _digits(array.shape))


def _digits(shape: tuple[int, ...]) -> Symbols:
    """Name the symbols of each axis 0, 1, ...."""
    first, second, third = (tuple(map(str, range(n))) for n in shape)
    return first, second, third


def _table_of(path: Path, outcomes: Sequence[tuple[str, ...]], masses: Sequence[float]) -> Table:
    """Build a table from outcomes and their masses."""
    codes, symbols = _encode(path, outcomes)
    values = np.zeros([len(s) for s in symbols])
    seen: set[tuple[str, ...]] = set()
    for outcome, cell, mass in zip(outcomes, codes, masses, strict=True):
        if outcome in seen:
            raise InvalidRequest(
                f"{path}: the outcome {', '.join(outcome)} is given twice; add up its masses"
            )
        seen.add(outcome)
        values[tuple(cell)] = mass
    return Table(values, symbols)


def _encode(path: Path, outcomes: Iterable[tuple[str, ...]]) -> tuple[Int[np.ndarray, "n 3"], Symbols]:
    """Replace symbols by their indices; return them with the sorted symbols of each column."""
    columns = list(zip(*outcomes, strict=True))
    first, second, third = (tuple(sorted(set(column), key=_order)) for column in columns)
    sizes = [len(symbols) for symbols in (first, second, third)]
    if math.prod(sizes) > MOST_CELLS:
        raise InvalidRequest(
            f"{path}: {' x '.join(map(str, sizes))} symbols make too many cells; bin continuous columns"
        )
    numbers = [{symbol: i for i, symbol in enumerate(s)} for s in (first, second, third)]
    codes = [[number[symbol] for symbol in column] for number, column in zip(numbers, columns, strict=True)]
    return np.array(codes).T, (first, second, third)


def _order(symbol: str) -> tuple[int, float, str]:
    """Return a sort key: numbers by value, before words."""
    try:
        value = float(symbol)
    except ValueError:
        return (1, 0.0, symbol)
    return (0, value, symbol) if value == value else (1, 0.0, symbol)


def _number(path: Path, line: int, text: Any, place: str = "line") -> float:
    """Parse a probability."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{path}: {place} {line}: p = {text!r} is not a number") from None
    except OverflowError:
        raise InvalidRequest(f"{path}: {place} {line}: p is beyond float64") from None
