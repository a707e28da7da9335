"""Results of a sweep as read from its folder: the table and its provenance."""

import hashlib
import json
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.io import refuse_special
from pidlab.results.means import ACCURACIES, BASELINES, READING, RUN, TRAINED
from pidlab.results.record import check_record
from pidlab.results.tables import notebook

TABLE, RECORD = "results.csv", "provenance.json"
# Columns that hold numbers, and the one that marks the probe whose value is reported.
NUMBERS, HEADLINE = ("seed", "truth", "captured"), "headline"
# Key of a record for the checksums of its files.
CHECKSUMS = "checksums"


def seal(record: Mapping[str, Any], directory: Path, files: Iterable[str]) -> dict[str, Any]:
    """Return a record with the checksums (SHA-256) of its own contents and of files that belong to it.

    Args:
        record: JSON data.
        directory: Folder of the record.
        files: Paths of the files in the folder.

    Example:
        >>> sorted(seal({"runs": 3}, Path(), [])["checksums"])
        ['provenance.json']
    """
    plain = json.loads(json.dumps(record))  # as it is read back
    sums = {name: _file_digest(directory / name) for name in files}
    return plain | {CHECKSUMS: {RECORD: _record_digest(plain), **sums}}


def check_seal(record: Mapping[str, Any], directory: Path, ignored: Collection[str] = ()) -> None:
    """Check that a record and its files are as they were written; older records have no checksums.

    Args:
        record: A record that `seal` returned.
        directory: Its folder.
        ignored: Files that are not checked.

    Raises:
        ValueError: If the record or a file has changed.
        FileNotFoundError: If a file is missing.
    """
    if CHECKSUMS not in record:
        return
    sums = record[CHECKSUMS]
    if not isinstance(sums, dict):
        raise ValueError(f"{CHECKSUMS}: expected a dictionary")
    if sums.get(RECORD) != _record_digest(record):
        raise ValueError(f"{RECORD} does not match its checksum")
    for name in sums.keys() - {RECORD, *ignored}:
        if sums[name] != _file_digest(directory / name):
            raise ValueError(f"{name} does not match its checksum in {RECORD}")


def _record_digest(record: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in record.items() if name != CHECKSUMS}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    # Git may check text files out with other line ends.
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


@dataclass(frozen=True)
class Results:
    """Results of a sweep.

    Args:
        table: Rows as in results.csv; information in bits.
        record: Contents of provenance.json: request, versions, failures, seconds.
        directory: Folder of the results.
        points: Number of points of the sweep, if the table holds only some of them.
    """

    table: pd.DataFrame
    record: dict[str, Any]
    directory: Path
    points: int = 0

    @property
    def axis_groups(self) -> list[list[str]]:
        """Columns of the parameters that vary together, the axis with most points first."""
        # Records written before version 1.0 use the key "directions".
        return self.record["axis_groups"] if "axis_groups" in self.record else self.record["directions"]

    @property
    def objectives(self) -> list[str]:
        """All objectives, in the order of the request."""
        return list(dict.fromkeys(self.table["objective"].astype(str)))

    @property
    def failures(self) -> dict[str, str]:
        """Reasons of failed runs, by run key."""
        return self.record["failed"]

    def _repr_html_(self) -> str:
        return notebook(self.table, self.axis_groups, self.directory, len(self.failures))


def read_results(directory: Path) -> Results:
    """Read the folder of a sweep.

    Args:
        directory: Folder with provenance.json and results.csv or results.csv.gz.

    Returns:
        The results.

    Raises:
        InvalidRequest: If the folder holds no finished sweep, a file cannot be used, or the numbers are of
            another result version.
    """
    with _explain_damage(directory):
        record = _read_record(directory)
        compressed = directory / f"{TABLE}.gz"
        path = directory / TABLE
        if not path.exists() and compressed.exists():
            path = compressed
        refuse_special(path)
        if path.name not in record.get(CHECKSUMS, {path.name: ""}):
            raise ValueError(f"{path.name} does not belong to {RECORD}")
        # Older versions wrote `converged` as 1.0 and 0.0, which the dtype "boolean" reads as well.
        table = pd.read_csv(path, dtype={"run": str, "converged": "boolean", TRAINED: "boolean"})
        check_record(record)
        _check_rows(table, record)
        # Older versions did not store accuracies and `trained`; floors and ceilings are optional.
        absent = [name for name in (*ACCURACIES, *BASELINES) if name not in table]
        table = table.assign(**dict.fromkeys(absent, np.nan))
        if TRAINED not in table:
            table[TRAINED] = pd.Series(pd.NA, table.index, "boolean")
        version = record["result_version"]
        results = Results(table, record, directory)
        _ = results.axis_groups, results.failures  # raises KeyError for an incomplete record
    if version not in defaults.READABLE_VERSIONS:
        raise InvalidRequest(
            f"{directory}: results of version {version}, but this pidlab needs version "
            f"{defaults.RESULT_VERSION}; rerun {' '.join(record.get('command', []))!r} in a new folder"
        )
    return results


def check_files(directory: Path) -> None:
    """Check the files of a folder against the checksums of its record, if there are any.

    Args:
        directory: Folder of the results of a sweep or another command.

    Raises:
        InvalidRequest: If the record or a file has changed.
    """
    if (directory / RECORD).exists():
        with _explain_damage(directory):
            _read_record(directory)


def _read_record(directory: Path) -> dict[str, Any]:
    """Read the record of a folder and check its checksums."""
    record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise TypeError(f"{RECORD} does not hold an object")
    check_seal(record, directory)
    return record


@contextmanager
def _explain_damage(directory: Path) -> Generator[None]:
    """Turn errors in the block, which reads a folder, into an `InvalidRequest` of one line."""
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InvalidRequest(
            f"{directory}: no results, {missing} is missing; name a folder that a sweep wrote"
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"{directory}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequest(
            f"{directory}: the results cannot be used ({type(error).__name__}: {error}); rerun the command "
            "that wrote them to write them again"
        ) from None


def read_sweep(directory: Path) -> Results:
    """Read the folder of a sweep, whose table figures are drawn from.

    Args:
        directory: Folder with provenance.json and results.csv or results.csv.gz.

    Returns:
        The results.

    Raises:
        InvalidRequest: As `read_results`, and if the table lacks a column, or a column has another type.
    """
    results = read_results(directory)
    table = results.table
    missing = [name for name in (*RUN, *READING) if name not in table]
    if missing:
        raise InvalidRequest(
            f"{directory}: not the table of a sweep (no column {', '.join(missing)}); give a folder that "
            "`pidlab sweep` wrote"
        )
    for name in (*NUMBERS, HEADLINE) if len(table) else ():
        is_valid = pd.api.types.is_bool_dtype if name == HEADLINE else pd.api.types.is_numeric_dtype
        if not is_valid(table[name]):
            raise InvalidRequest(
                f"{directory}: the column {name} of {TABLE} has values of another type; rerun the command of "
                "the sweep to write it again"
            )
    return results


def _check_rows(table: pd.DataFrame, record: dict[str, Any]) -> None:
    """Check that no row was deleted or added since the table was written.

    Raises:
        ValueError: If the number of rows is not that of the record.
    """
    written = record.get("rows")  # older records do not have it
    if written is not None and len(table) != written:
        raise ValueError(f"{TABLE} has {len(table)} rows, but {written} were written")


def merge_results(results: Sequence[Results]) -> pd.DataFrame:
    """Merge the rows of several sweeps into one table.

    A run that occurs in several sweeps is kept once. A setting that differs between sweeps, such as
    `steps`, becomes a column.

    Args:
        results: Results of at least one sweep.

    Raises:
        InvalidRequest: If there are none, or they are of several result versions.
    """
    if not results:
        raise InvalidRequest("results: none given; name a folder that a sweep wrote")
    versions = {sweep.record.get("result_version"): sweep.directory for sweep in results}
    if len(versions) > 1:
        described = " and ".join(f"{version} ({where})" for version, where in versions.items())
        raise InvalidRequest(f"results of versions {described} cannot be combined; rerun the older one")
    settings = [_settings(sweep.record) for sweep in results]
    tables = [sweep.table for sweep in results]
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = [setting.get(name) for setting in settings]
        if any(value != values[0] for value in values) or any(name in table for table in tables):
            tables = [
                table if name in table else table.assign(**{name: np.nan if value is None else value})
                for table, value in zip(tables, values, strict=True)
            ]
    table = pd.concat([part for part in tables if len(part)] or tables[:1], ignore_index=True)
    if "run" not in table:  # tables of experiments other than sweeps
        return table
    identity = ["run", "readout", "term", "quantity", "probe", *{"step"} & set(table)]
    return table.drop_duplicates(identity, ignore_index=True)


def merge_axis_groups(results: Sequence[Results]) -> list[list[str]]:
    """Merge the axis groups of several sweeps; those of the first sweep come first."""
    merged: list[list[str]] = []
    for sweep in results:
        for group in sweep.axis_groups:
            if not any(set(group) & set(known) for known in merged):
                merged.append(group)
    return merged


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a sweep by the name of the column that would hold them."""
    request = record.get("request", {})
    generator = request.get("generator")
    bits = defaults.ATOMS if generator == "atoms" else {}
    general = {"generator": generator, "probes": request.get("probes")}
    # An axis with one value sets its parameters and takes precedence over training and generator.
    single = (axis for axis in request.get("axes", ()) if len(axis["values"]) == 1)
    fixed = {name: axis["values"][0] for axis in single for name in axis["names"]}
    return {**bits, **general, **request.get("training", {}), **fixed}
