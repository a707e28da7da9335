"""Where studies are: ./studies first, then those that came with the package."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest, nearest
from pidlab.results.folder import (
    RECORD,
    TABLE,
    Results,
    read_results,
)
from pidlab.studies.schema import Study

# Tables of more bytes are compressed.
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Named:
    """A study with its name and file."""

    name: str
    path: Path
    study: Study

    def rerun(self, profile: str) -> str:
        """The command that makes its results again."""
        shown = self.path if self.path.parent.name not in ("studies", "shipped") else self.name
        return f"pidlab study run {shown} --profile {profile}"


def write_json(path: Path, value: Any) -> None:
    """Writes JSON; what is not finite becomes null."""
    text = json.dumps(finite(value), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_table(directory: Path, table: pd.DataFrame) -> None:
    """Writes results.csv, compressed where it is large; the same table gives the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    data = table.to_csv(index=False).encode()
    plain, small = directory / TABLE, directory / f"{TABLE}.gz"
    for path in (plain, small):
        path.unlink(missing_ok=True)
    if len(data) > MOST_BYTES:
        small.write_bytes(gzip.compress(data, mtime=0))
    else:
        plain.write_bytes(data)


def kept(table: pd.DataFrame, probes: Iterable[str]) -> pd.DataFrame:
    """The rows that are kept: headlines, what is no information about a target, and these probes' rows."""
    named = table["probe"].isin(list(probes)) if "probe" in table else False
    other = table["quantity"] != "mi" if "quantity" in table else True
    return table[table.get("headline", pd.Series(True, table.index)).astype(bool) | other | named]


def record_of(directory: Path) -> dict[str, Any] | None:
    """What the last run of a study left as its record; None where there was none."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "study" in record else None


def sound_record(named: Named, directory: Path) -> dict[str, Any]:
    """The record of results that are of this study as it stands in its file, and of this version.

    Raises:
        InvalidRequest: there are none, or they are of another version or another file; says what differs.
    """
    record = record_of(directory)
    if record is None:
        raise InvalidRequest(f"{named.name} was not run: no results in {directory}; {named.rerun('quick')}")
    stale = differs(named, record)
    if stale:
        raise InvalidRequest(f"{directory} holds results of {stale}; rerun: {named.rerun(record['profile'])}")
    return record


def differs(named: Named, record: Mapping[str, Any]) -> str | None:
    """What results are of, where it is not this version and this file."""
    version = record["result_version"]
    if version != defaults.RESULT_VERSION:
        return f"version {version}, this pidlab makes version {defaults.RESULT_VERSION}"
    now = json.loads(json.dumps(named.study.asked(record["profile"])))
    for place, then, there in _changes(record["asked"], now, ()):
        return f"another {named.path}: {place} was {then}, is {there}"
    return None


def results_of(directory: Path, experiment: str) -> Results:
    """The rows of an experiment that are kept.

    Raises:
        InvalidRequest: they are not there, or not what they should be.
    """
    return read_results(directory / experiment)


def _changes(then: Any, now: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            yield from _changes(then.get(key, "nothing"), now.get(key, "nothing"), (*path, str(key)))
    elif then != now:
        yield ".".join(path), _short(then), _short(now)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def finite(value: Any) -> Any:
    """The value with null for every number that is not finite, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value.item() if isinstance(value, np.generic) else value


_PACKAGE = Path(__file__).parent


def folders() -> list[Path]:
    """Folders that may hold studies, the first one found counts."""
    shipped = _PACKAGE / "shipped"  # in an installed package; a checkout has them at its top
    return [Path("studies"), shipped, _PACKAGE.parents[1] / "studies"]


def studies() -> dict[str, Path]:
    """Every study that can be named, by its name."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(name: str) -> Path:
    """The file of a study that is named or given as a path.

    Raises:
        InvalidRequest: there is none.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise InvalidRequest(f"no study {name}: expected a .toml file")
        return Path(name)
    known = studies()
    if name not in known:
        hint = nearest(name, known) if known else "there is none in ./studies; give a path to a .toml file"
        raise InvalidRequest(f"unknown study {name!r}: {hint}")
    return known[name]
