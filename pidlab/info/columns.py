"""Columns of CSV files: symbols and numbers."""

import csv
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from pidlab.errors import InvalidRequest

# Texts that stand for missing values, as in pandas.read_csv.
MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | frozenset(("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Codes such as 007 are labels: 7 is a different one.
CODE = re.compile(r"[+-]?0\d")


def read_columns(path: Path, names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Read named columns of a CSV file separated by commas, semicolons or tabs.

    Args:
        path: Path of the file.
        names: Names of the columns in the header.

    Returns:
        The texts of each named column, and the names of the other columns.

    Raises:
        InvalidRequest: If the file is not CSV, a column is missing or ambiguous, or a row does not have the
            number of fields of the header.
    """
    lines = _read_lines(path)
    header = [name.strip() for name in lines[0]] if lines else []
    _check_header(path, header, names)
    rows = [row for row in lines[1:] if row]
    if not rows:
        raise InvalidRequest(f"{path}: no rows below the header; expected one row per outcome or sample")
    for number, row in enumerate(lines[1:], 2):
        if row and len(row) != len(header):
            surplus = "; quote values that contain the separator" if len(row) > len(header) else ""
            raise InvalidRequest(
                f"{path}: line {number} has {len(row)} fields, the header {len(header)}{surplus}"
            )
    columns = {name: [row[header.index(name)] for row in rows] for name in names}
    return columns, [name for name in header if name not in names]


def read_matrix(path: Path) -> Float[np.ndarray, "n d"]:
    """Read a CSV file of numbers with or without a header.

    Args:
        path: Path of the file.

    Returns:
        The numbers, shape (n, d).

    Raises:
        InvalidRequest: If the file is not CSV, or a field is not a number.
    """
    lines = _read_lines(path)
    has_header = bool(lines) and not any(NUMBER.fullmatch(text.strip()) for text in lines[0])
    rows = []
    for number, line in list(enumerate(lines, 1))[has_header:]:
        if line and len(line) != len(lines[0]):
            raise InvalidRequest(f"{path}: line {number} has {len(line)} fields, line 1 {len(lines[0])}")
        try:
            rows += [[float(text) for text in line]] if line else []
        except ValueError:
            raise InvalidRequest(f"{path}: line {number} has a field that is not a number") from None
    if not rows:
        raise InvalidRequest(f"{path}: holds no numbers; expected a matrix")
    return np.array(rows, dtype=np.float64)


def _read_lines(path: Path) -> list[list[str]]:
    """Read the fields of each line; the first line decides between commas, semicolons and tabs."""
    # utf-8-sig, because spreadsheets start a CSV file with a byte order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=first.count)
        try:
            return list(csv.reader(file, delimiter=delimiter, skipinitialspace=True))
        except csv.Error as error:
            raise InvalidRequest(f"{path}: not a CSV file ({error})") from None


def _check_header(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    """Check that each name occurs once in the header."""
    missing = [name for name in names if name not in header]
    if missing and header and all(NUMBER.fullmatch(name) for name in header):
        raise InvalidRequest(f"{path}: the first line holds data; add the header line {','.join(names)}")
    if missing:
        present = f"it has {', '.join(header)}" if header else "it is empty"
        raise InvalidRequest(
            f"{path}: no column {' or '.join(missing)} ({present}); name the columns {','.join(names)}"
        )
    repeated = [name for name in names if header.count(name) > 1]
    if repeated:
        raise InvalidRequest(f"{path}: column {repeated[0]} occurs twice; rename one of them")


def encode(
    path: Path, columns: Mapping[str, Sequence[str]], place: str = "line", start: int = 2
) -> tuple[Int[np.ndarray, "n columns"], tuple[tuple[str, ...], ...]]:
    """Replace the symbols of each column by their indices.

    Numbers of equal value are one symbol (0 and 0.0), except in columns of codes such as 007.

    Args:
        path: Path of the file, for messages.
        columns: Texts of each column by name.
        place: Unit of position in messages.
        start: Position of the first row.

    Returns:
        The indices, shape (n, columns), and the symbols of each column: numbers by value, then words.

    Raises:
        InvalidRequest: If a value is missing.
    """
    codes, symbols = [], []
    for name, texts in columns.items():
        raw, unique = pd.factorize(np.asarray(texts, dtype=object))
        stripped = [str(text).strip() for text in unique]
        for i, text in enumerate(stripped):
            if text in MISSING:
                row = int(np.argmax(raw == i)) + start
                value = f" ({text})" if text else ""
                raise InvalidRequest(
                    f"{path}: {place} {row}: {name} is missing{value}; remove the row or rename the category"
                )
        keys = _keys(stripped)
        ordered = sorted(set(keys))
        index = {key: i for i, key in enumerate(ordered)}
        # The shortest spelling names a number, hence the order of the pairs.
        pairs = sorted(zip(keys, stripped, strict=True), key=lambda pair: (-len(pair[1]), pair[1]))
        spelling = dict(pairs)
        codes.append(np.array([index[key] for key in keys])[raw])
        symbols.append(tuple(spelling[key] for key in ordered))
    return np.stack(codes, axis=1), tuple(symbols)


def _keys(texts: Sequence[str]) -> list[tuple[int, Decimal, str]]:
    """Return a key per text that is equal for equal symbols and sorts numbers before words."""
    has_codes = any(CODE.match(text) for text in texts)
    is_number = [not has_codes and NUMBER.fullmatch(text) is not None for text in texts]
    # Decimals compare without rounding, so that long integers stay apart.
    return [
        (0, Decimal(text), "") if numeric else (1, Decimal(0), text)
        for text, numeric in zip(texts, is_number, strict=True)
    ]
