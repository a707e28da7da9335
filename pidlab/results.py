"""What a sweep left in its folder, read back without torch: its table and how it was made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest

TABLE, RECORD = "results.csv", "provenance.json"


@dataclass(frozen=True)
class Results:
    """The results of a sweep.

    Args:
        table: rows as in results.csv, bits throughout.
        record: what provenance.json says: request, versions, failures, seconds.
        directory: where they stand.
    """

    table: pd.DataFrame
    record: dict[str, Any]
    directory: Path

    @property
    def directions(self) -> list[list[str]]:
        """Columns of the parameters that move together, the direction of most points first."""
        return self.record["directions"]

    @property
    def objectives(self) -> list[str]:
        """Every objective, in the order asked for."""
        return list(dict.fromkeys(self.table["objective"].astype(str)))

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by key."""
        return self.record["failed"]


def read(directory: Path) -> Results:
    """Reads a sweep's folder.

    Raises:
        InvalidRequest: no sweep was finished there, files that are not what they should be, or numbers
            of another result version.
    """
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        table = pd.read_csv(directory / TABLE, dtype={"run": str})
        version = record["result_version"]
        Results(table, record, directory).directions  # noqa: B018 - an older record has none
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


def together(found: Sequence[Results]) -> pd.DataFrame:
    """The rows of several sweeps as one table; a run that stands in more than one counts once."""
    table = pd.concat([results.table for results in found], ignore_index=True)
    return table.drop_duplicates(["run", "readout", "term", "quantity", "probe"], ignore_index=True)
