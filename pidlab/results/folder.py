"""What a sweep left in its folder, read back without torch: its table and how it was made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.results.tables import notebook

TABLE, RECORD = "results.csv", "provenance.json"


@dataclass(frozen=True)
class Results:
    """The results of a sweep.

    Args:
        table: rows as in results.csv, bits throughout.
        record: what provenance.json says: request, versions, failures, seconds.
        directory: where they stand.
        points: how many the sweep has, where the rows are those of some of them.
    """

    table: pd.DataFrame
    record: dict[str, Any]
    directory: Path
    points: int = 0

    @property
    def axis_groups(self) -> list[list[str]]:
        """Columns of the parameters that move together, the direction of most points first."""
        # Records written before version 1.0 name the key "directions".
        return self.record["axis_groups"] if "axis_groups" in self.record else self.record["directions"]

    @property
    def objectives(self) -> list[str]:
        """Every objective, in the order asked for."""
        return list(dict.fromkeys(self.table["objective"].astype(str)))

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by key."""
        return self.record["failed"]

    def _repr_html_(self) -> str:
        return notebook(self.table, self.axis_groups, self.directory, len(self.failures))


def read_results(directory: Path) -> Results:
    """Reads a sweep's folder.

    Raises:
        InvalidRequest: no sweep was finished there, files that are not what they should be, or numbers
            of another result version.
    """
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        plain = directory / TABLE
        path = plain if plain.exists() else directory / f"{TABLE}.gz"
        path = path if path.exists() else plain
        # An older pidlab wrote 1.0 and 0.0 for what is true and false.
        table = pd.read_csv(path, dtype={"run": str, "converged": "boolean"})
        version = record["result_version"]
        Results(table, record, directory).axis_groups  # noqa: B018 - an older record has none
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InvalidRequest(
            f"no results in {directory}: expected a folder that a sweep wrote, with {missing}"
        ) from None
    except OSError as error:
        raise InvalidRequest(f"cannot read {directory} ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"cannot use the results in {directory} ({type(error).__name__}: {error}): the sweep's command, "
            "run again, writes them anew from results.sqlite"
        ) from None
    if version != defaults.RESULT_VERSION:
        raise InvalidRequest(
            f"{directory} holds results of version {version}, this pidlab makes version "
            f"{defaults.RESULT_VERSION}: rerun {' '.join(record.get('command', []))!r} in a new folder"
        )
    return Results(table, record, directory)


def merge_results(found: Sequence[Results]) -> pd.DataFrame:
    """The rows of several sweeps as one table; a run that stands in more than one counts once.

    What is set differently in them, such as `steps`, is a column.

    Raises:
        InvalidRequest: there are none.
    """
    if not found:
        raise InvalidRequest("no results: name a folder that a sweep wrote")
    settings = [_settings(results.record) for results in found]
    tables = [results.table for results in found]
    for name in dict.fromkeys(name for own in settings for name in own):
        held = [own.get(name) for own in settings]
        if any(value != held[0] for value in held) or any(name in table for table in tables):
            tables = [
                table if name in table else table.assign(**{name: np.nan if value is None else value})
                for table, value in zip(tables, held, strict=True)
            ]
    table = pd.concat([part for part in tables if len(part)] or tables[:1], ignore_index=True)
    if "run" not in table:  # of experiments that are no sweeps
        return table
    once = ["run", "readout", "term", "quantity", "probe", *{"step"} & set(table)]
    return table.drop_duplicates(once, ignore_index=True)


def merge_axis_groups(found: Sequence[Results]) -> list[list[str]]:
    """The directions of several sweeps, each once, those of the first sweep first."""
    merged: list[list[str]] = []
    for results in found:
        for axis in results.axis_groups:
            if not any(set(axis) & set(known) for known in merged):
                merged.append(axis)
    return merged


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """What a sweep was run with, by the name that a column of it would have."""
    request = record.get("request", {})
    generator = request.get("generator")
    known = defaults.ATOMS if generator == "atoms" else {}
    about = {"generator": generator, "probes": request.get("probes")}
    # An axis of one value merely sets its parameters, over what the training or the generator says.
    alone = (axis for axis in request.get("axes", ()) if len(axis["values"]) == 1)
    fixed = {name: axis["values"][0] for axis in alone for name in axis["names"]}
    return {**known, **about, **request.get("training", {}), **fixed}
