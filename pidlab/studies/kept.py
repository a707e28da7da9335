"""Parts of an experiment that are kept as they are made, so that one that was stopped goes on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pidlab import defaults

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress


@dataclass(frozen=True)
class Kept:
    """Finished parts in a folder, each with what was asked of it.

    Args:
        directory: where they stand.
        progress: who is told which part is made.
    """

    directory: Path
    progress: "Progress | None"

    def part(self, name: str, asked: Mapping[str, Any], run: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The rows of a part; those that are kept if the same was asked."""
        rows, record = self.directory / f"{name}.csv", self.directory / f"{name}.json"
        wanted = {**asked, "version": defaults.RESULT_VERSION}
        if not (rows.exists() and record.exists() and json.loads(record.read_text("utf-8")) == wanted):
            if self.progress is not None:
                self.progress.note(f"making {name}")
            found = run()
            self.directory.mkdir(parents=True, exist_ok=True)
            record.unlink(missing_ok=True)
            found.to_csv(rows, index=False)
            record.write_text(json.dumps(wanted), encoding="utf-8")
        return pd.read_csv(rows, dtype={"run": str})  # what was kept, so that a rerun gives the same bytes
