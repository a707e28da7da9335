"""Distributions and samples of a user's own, from files."""

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

# Cells of the largest table that is built.
MOST_CELLS = 2**24


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers per outcome, as a file gives them.

    Args:
        values: probabilities or counts, shape (n1, n2, ny).
        symbols: what the file calls the symbols of X1, X2 and Y, in order.
    """

    values: Float[np.ndarray, "n1 n2 ny"]
    symbols: Symbols


def load_pmf(reference: str, normalize: bool = False) -> Table:
    """The pmf that a gate's name or a file's name stands for.

    Raises:
        InvalidRequest: neither a gate nor such a file, or see `read_pmf`.
    """
    if reference not in (*gates(), *ALIASES):
        if Path(reference).suffix or Path(reference).exists():
            return read_pmf(reference, normalize)
        try:
            gate(reference)
        except InvalidRequest as error:
            raise InvalidRequest(f"{error} Or name a .csv, .json or .npy file") from None
    pmf = gate(reference)
    return Table(pmf, _digits(pmf.shape))


def read_pmf(path: Path | str, normalize: bool = False) -> Table:
    """A joint pmf from a file, by the ending of its name.

    `.csv`: columns x1, x2, y, p with any symbols, a row per outcome; outcomes not named have none.
    `.json`: rows `[x1, x2, y, p]` or `{"x1":, "x2":, "y":, "p":}`, or the array itself as nested lists
    (n1, n2, ny); also as the `"pmf"` of an object. `.npy`: the array (n1, n2, ny); never unpickled.

    Args:
        path: the file.
        normalize: accept counts or weights and divide by their sum.

    Raises:
        InvalidRequest: a file that cannot be read, is not what its name says, or holds no pmf.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], Table]] = {".csv": _read_csv, ".json": _read_json, ".npy": _read_npy}
    if path.suffix.lower() not in readers:
        raise InvalidRequest(f"{path}: cannot tell what it is; name it .csv, .json or .npy")
    table = _opened(path, readers[path.suffix.lower()])
    try:
        pmf = as_pmf(table.values, normalize)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None
    if pmf.ndim != 3:
        raise InvalidRequest(f"{path}: an array of shape {pmf.shape}, expected 3 axes (n1, n2, ny)")
    return Table(pmf, table.symbols)


def read_samples(path: Path | str) -> tuple[Int[np.ndarray, "n 3"], Table]:
    """Samples from a CSV of columns x1, x2, y (any symbols), a row per sample.

    Returns:
        The samples as symbol numbers, and the counts of every outcome.

    Raises:
        InvalidRequest: a file that cannot be read, a missing column or value, or no rows.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InvalidRequest(f"{path}: samples are read from a .csv with the columns {', '.join(VARIABLES)}")
    rows = _opened(path, lambda p: _csv_rows(p, VARIABLES))
    codes, symbols = _coded(path, rows)
    counts = np.zeros([len(s) for s in symbols])
    np.add.at(counts, tuple(codes.T), 1.0)
    return codes, Table(counts, symbols)


def _opened(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path}: not a text file, as {path.suffix} should be") from None


def _read_csv(path: Path) -> Table:
    rows = _csv_rows(path, (*VARIABLES, MASS))
    return _filled(
        path, [row[:3] for row in rows], [_number(path, i + 2, row[3]) for i, row in enumerate(rows)]
    )


def _csv_rows(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    # utf-8-sig: spreadsheets begin a CSV with a byte order mark.
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
        have = f"it has {', '.join(header)}" if header else "it is empty"
        raise InvalidRequest(
            f"{path}: no column {' or '.join(missing)} ({have}); the first line names {','.join(columns)}"
        )
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise InvalidRequest(f"{path}: column {twice[0]} stands there twice; which one is meant?")
    if not rows:
        raise InvalidRequest(f"{path}: no rows below the header")
    found = []
    for i, row in enumerate(rows):
        values = tuple((row[name] or "").strip() for name in columns)
        if "" in values:
            raise InvalidRequest(f"{path}: line {i + 2} has no {columns[values.index('')]}")
        found.append(values)
    return found


def _read_json(path: Path) -> Table:
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
        lacking = [key for key in (*VARIABLES, MASS) for row in document if key not in row]
        if lacking:
            raise InvalidRequest(f"{path}: a row without {lacking[0]!r}; every row needs x1, x2, y and p")
        document = [[row[key] for key in (*VARIABLES, MASS)] for row in document]
    if all(isinstance(row, list) and len(row) == 4 and not isinstance(row[0], list) for row in document):
        masses = [_number(path, i + 1, row[3], "row") for i, row in enumerate(document)]
        return _filled(path, [tuple(map(str, row[:3])) for row in document], masses)
    return _from_array(path, document)


def _read_npy(path: Path) -> Table:
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
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind not in "biuf":
            raise TypeError  # numpy would drop what is imaginary
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{path}: not an array of real numbers of shape (n1, n2, ny)") from None
    if array.ndim != 3:
        raise InvalidRequest(f"{path}: an array of shape {array.shape}, expected 3 axes (n1, n2, ny), Y last")
    return Table(array, _digits(array.shape))


def _digits(shape: tuple[int, ...]) -> Symbols:
    first, second, third = (tuple(map(str, range(n))) for n in shape)
    return first, second, third


def _filled(path: Path, outcomes: Sequence[tuple[str, ...]], masses: Sequence[float]) -> Table:
    codes, symbols = _coded(path, outcomes)
    values = np.zeros([len(s) for s in symbols])
    seen: set[tuple[str, ...]] = set()
    for outcome, cell, mass in zip(outcomes, codes, masses, strict=True):
        if outcome in seen:
            raise InvalidRequest(
                f"{path}: the outcome {', '.join(outcome)} is given twice; add its masses up"
            )
        seen.add(outcome)
        values[tuple(cell)] = mass
    return Table(values, symbols)


def _coded(path: Path, outcomes: Iterable[tuple[str, ...]]) -> tuple[Int[np.ndarray, "n 3"], Symbols]:
    columns = list(zip(*outcomes, strict=True))
    first, second, third = (tuple(sorted(set(column), key=_order)) for column in columns)
    sizes = [len(symbols) for symbols in (first, second, third)]
    if math.prod(sizes) > MOST_CELLS:
        raise InvalidRequest(
            f"{path}: {' x '.join(map(str, sizes))} symbols make too many cells: bin continuous columns"
        )
    numbers = [{symbol: i for i, symbol in enumerate(s)} for s in (first, second, third)]
    codes = [[number[symbol] for symbol in column] for number, column in zip(numbers, columns, strict=True)]
    return np.array(codes).T, (first, second, third)


def _order(symbol: str) -> tuple[int, float, str]:
    """Numbers by value, before words."""
    try:
        value = float(symbol)
    except ValueError:
        return (1, 0.0, symbol)
    return (0, value, symbol) if value == value else (1, 0.0, symbol)


def _number(path: Path, line: int, text: Any, place: str = "line") -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{path}: {place} {line}: p = {text!r} is not a number") from None
    except OverflowError:
        raise InvalidRequest(f"{path}: {place} {line}: p is beyond what float64 holds") from None
