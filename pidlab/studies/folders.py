"""Study files and their stored results: where they are, how they are written and read."""

import gzip
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest, nearest
from pidlab.io import atomic_write, refuse_special
from pidlab.results.folder import CHECKSUMS, RECORD, TABLE, Results, check_seal, read_results, seal
from pidlab.results.stored import PLACES
from pidlab.studies.schema import KINDS, Study, read_study
from pidlab.studies.settings import PROFILES

# Verdicts on the claims.
CLAIMS = "claims.json"
# Larger tables are compressed.
MAX_PLAIN_BYTES = 200_000


@dataclass(frozen=True)
class NamedStudy:
    """A study with its name and file."""

    name: str
    path: Path
    study: Study

    def command(self, profile: str) -> str:
        """Return the command that runs the study.

        Args:
            profile: quick, laptop or paper.
        """
        shown = self.path if self.path.parent.name not in ("studies", "shipped") else self.name
        return f"pidlab study run {shown} --profile {profile}"


def write_json(path: Path, value: Any) -> None:
    """Write JSON, with null for numbers that are not finite.

    Args:
        path: The file.
        value: JSON data.
    """
    with atomic_write(path) as file:
        file.write(json.dumps(replace_nonfinite(value), indent=2, allow_nan=False) + "\n")


def write_record(directory: Path, record: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write provenance.json with its checksum and those of the files that it belongs to.

    Args:
        directory: Folder to write to.
        record: JSON data.
        files: Paths of the files in the folder.
    """
    write_json(directory / RECORD, seal(replace_nonfinite(record), directory, files))


def seal_again(directory: Path) -> None:
    """Compute the checksums of a study's record again after its claims were judged again."""
    record = read_record(directory)
    if record is not None and CHECKSUMS in record:  # older records have none
        files = [name for name in record.pop(CHECKSUMS) if name != RECORD]
        write_record(directory, record, files)


def write_table(directory: Path, table: pd.DataFrame) -> str:
    """Write results.csv, compressed if it is large. The same table gives the same bytes.

    Args:
        directory: Folder to write to.
        table: The rows.

    Returns:
        Name of the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = table.to_csv(index=False).encode()
    paths = [directory / TABLE, directory / f"{TABLE}.gz"]
    if len(data) > MAX_PLAIN_BYTES:
        data = gzip.compress(data, mtime=0)
        paths.reverse()
    with atomic_write(paths[0], "wb") as file:
        file.write(data)
    paths[1].unlink(missing_ok=True)
    return paths[0].name


def rows_to_keep(table: pd.DataFrame, probes: Iterable[str]) -> pd.DataFrame:
    """Return headline rows, rows of other quantities than information, and the rows of some probes.

    Args:
        table: Rows of an experiment.
        probes: Probes whose rows are kept.
    """
    named = table["probe"].isin(list(probes)) if "probe" in table else False
    other = table["quantity"] != "mi" if "quantity" in table else True
    return table[table.get("headline", pd.Series(True, table.index)).astype(bool) | other | named]


def read_record(directory: Path) -> dict[str, Any] | None:
    """Return the record of the last run of a study, None if there is none or it has an invalid field.

    Args:
        directory: Folder of the study's results.
    """
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        valid = isinstance(record["study"], str) and record["profile"] in PROFILES
        valid &= isinstance(record["asked"], dict) and isinstance(record["result_version"], int)
        # A figure's name becomes a path, so a record may not contain any text.
        valid &= all(re.fullmatch(r"[\w.-]+", name) for name in record["figures"])
        valid &= isinstance(record.get(CHECKSUMS, {}), dict) and isinstance(record.get("command", []), list)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if valid else None


def check_record(named: NamedStudy, directory: Path) -> dict[str, Any]:
    """Return the record of results that belong to this version and to the present study file.

    Args:
        named: The study.
        directory: Folder of its results.

    Raises:
        InvalidRequest: If there are no results, or they belong to another version or study file.
    """
    record = read_record(directory)
    if record is None:
        raise InvalidRequest(f"{named.name}: no results in {directory}; run {named.command('quick')}")
    command = named.command(record["profile"])
    if damage := find_damage(record, directory, ignored=(CLAIMS,)):
        raise InvalidRequest(f"{directory}: {damage}; rerun: {command}")
    if difference := find_difference(named, record):
        raise InvalidRequest(f"{directory}: results of {difference}; rerun: {command}")
    return record


def find_damage(record: Mapping[str, Any], directory: Path, ignored: Collection[str] = ()) -> str | None:
    """Return which file of a study is missing or has changed since it was written, None if none has.

    This is also the case after a run of the study that was stopped while it wrote its results.

    Args:
        record: The record of the study.
        directory: Its folder.
        ignored: Files that are not checked.
    """
    try:
        check_seal(record, directory, ignored)
    except OSError as error:
        return f"cannot read {error.filename} ({error.strerror})"
    except ValueError as error:
        return str(error)
    return None


def find_difference(named: NamedStudy, record: Mapping[str, Any]) -> str | None:
    """Return what the results of a record belong to, None if it is this version and study file.

    Args:
        named: The study.
        record: The record of its results.
    """
    version = record["result_version"]
    if version != defaults.RESULT_VERSION:
        return f"version {version}, this pidlab computes version {defaults.RESULT_VERSION}"
    now = json.loads(json.dumps(named.study.specification(record["profile"])))
    for key, then, value in _changes(record["asked"], now, ()):
        return f"another {named.path}: {key} was {then}, is {value}"
    return None


def _changes(then: Any, now: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            yield from _changes(then.get(key, "nothing"), now.get(key, "nothing"), (*path, str(key)))
    elif then != now:
        yield ".".join(path), _shorten(then), _shorten(now)


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def read_experiment(directory: Path, experiment: str) -> Results:
    """Return the stored results of an experiment.

    Args:
        directory: Folder of the study's results.
        experiment: Name of the experiment.

    Raises:
        InvalidRequest: If they are missing or damaged.
    """
    return read_results(directory / experiment)


def replace_nonfinite(value: Any) -> Any:
    """Return JSON data with None for every number that is not finite.

    Args:
        value: JSON data, which may hold numpy numbers.

    Example:
        >>> replace_nonfinite({"loss": float("nan"), "steps": [1, 2]})
        {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): replace_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value.item() if isinstance(value, np.generic) else value


def results_folder(name: str, figures: Path) -> Path:
    """Return the folder of a study's results: that in a folder of figures, or that which comes with pidlab.

    Args:
        name: Name of the study.
        figures: Folder with the results of studies.
    """
    places = [figures, *PLACES]
    return next((place / name for place in places if (place / name / RECORD).exists()), figures / name)


_PACKAGE = Path(__file__).parent


def study_files(figures: Path | None = None) -> dict[str, Path]:
    """Return the files of all known studies, by name.

    These are the studies in ./studies, in the package, in the working directory, and those with results in a
    folder of figures.

    Args:
        figures: Folder with the results of studies.
    """
    # An installed package has the studies in `shipped`, a checkout at its top.
    folders = [Path("studies"), _PACKAGE / "shipped", _PACKAGE.parents[1] / "studies"]
    paths = [path for folder in folders for path in sorted(folder.glob("*.toml"))]
    paths += [path for path in sorted(Path().glob("*.toml")) if _has_experiment(path)]
    for folder in sorted(figures.glob("*")) if figures else []:
        # The command of the record ends in the path of the study.
        words = [str(word) for word in (read_record(folder) or {}).get("command", [])]
        paths += [Path(word) for word in words if word.endswith(".toml") and Path(word).is_file()]
    files: dict[str, Path] = {}
    for path in paths:
        files.setdefault(path.stem, path)
    return dict(sorted(files.items()))


def _has_experiment(path: Path) -> bool:
    """Return whether a TOML file has a table of an experiment, as opposed to pyproject.toml."""
    try:
        refuse_special(path)
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return any(isinstance(data.get(kind), list) for kind in KINDS)


def load_study(name: str) -> NamedStudy:
    """Read a study.

    Args:
        name: Name of a study, or path of a .toml file.

    Raises:
        InvalidRequest: If there is none, it is invalid, or its file name cannot name a folder.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InvalidRequest(f"{name}: no such study; give the path of a .toml file")
    else:
        known = study_files()
        if name not in known:
            hint = nearest(name, known) if known else "./studies has none; give the path of a .toml file"
            raise InvalidRequest(f"unknown study {name!r}: {hint}")
        path = known[name]
    if path.stem.startswith("."):  # `...toml` would write to the parent folder
        raise InvalidRequest(f"{path}: the file name must not start with a dot; rename the file")
    return NamedStudy(path.stem, path, read_study(path))
