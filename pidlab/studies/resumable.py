"""A store of computed parts of an experiment, from which a rerun resumes."""

import gzip
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.io import atomic_write
from pidlab.workers import compute

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress


@dataclass(frozen=True)
class Parts:
    """Tables in a folder, one compressed CSV file per part.

    A file name ends in a digest of everything that the part depends on, so a changed specification is another
    part. The compression has a checksum: a damaged file counts as missing and is computed again.

    Args:
        directory: Folder of the files; None keeps nothing.
        progress: Receives a line when a part is computed.
    """

    directory: Path | None
    progress: "Progress | None" = None

    def compute(
        self, name: str, specification: Mapping[str, Any], run: Callable[[], pd.DataFrame]
    ) -> pd.DataFrame:
        """Return a part, from the folder if it was computed before.

        Args:
            name: Start of the file name.
            specification: Everything that the part depends on, as JSON data.
            run: Computes the part.
        """
        table = self.load(name, specification)
        if table is None:
            if self.progress is not None:
                self.progress.note(f"computing {name}")
            table = run()
            self.save(name, specification, table)
            # Read back, so that the first run and a resumed one have the same column types.
            table = self.load(name, specification)
        return table if table is not None else pd.DataFrame()

    def compute_all(
        self, parts: Sequence[tuple[str, Mapping[str, Any], Callable[[], pd.DataFrame]]], workers: int
    ) -> list[pd.DataFrame | Exception]:
        """Return several parts, or the exception that one raised; worker processes compute what is missing.

        Args:
            parts: Arguments of `compute` for every part.
            workers: Number of worker processes.
        """
        results: dict[int, pd.DataFrame | Exception] = {}
        missing = [
            i for i, (name, specification, _) in enumerate(parts) if self.load(name, specification) is None
        ]
        if missing and self.progress is not None:
            self.progress.note(f"computing {len(missing)} of {len(parts)} parts")
        for done in compute([parts[i][2] for i in missing], workers):
            name, specification, _ = parts[missing[done.number]]
            if done.error is None:
                self.save(name, specification, done.value)
            results[missing[done.number]] = done.value if done.error is None else done.error
        for i, (name, specification, _) in enumerate(parts):
            if not isinstance(results.get(i), Exception):
                # Read back, so that the first run and a resumed one have the same column types.
                table = self.load(name, specification)
                results[i] = results[i] if table is None else table
        return [results[i] for i in range(len(parts))]

    def load(self, name: str, specification: Mapping[str, Any]) -> pd.DataFrame | None:
        """Return a part that was saved; None if there is none.

        Args:
            name: Start of the file name.
            specification: Everything that the part depends on, as JSON data.
        """
        path = self._path(name, specification)
        if path is None or not path.exists():
            return None
        try:
            return pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())), dtype={"run": str})
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError):
            return None

    def save(self, name: str, specification: Mapping[str, Any], table: pd.DataFrame) -> None:
        """Save a part.

        Args:
            name: Start of the file name.
            specification: Everything that the part depends on, as JSON data.
            table: Its rows.

        Raises:
            InvalidRequest: If the folder cannot be written to.
        """
        path = self._path(name, specification)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "wb") as file:
                file.write(gzip.compress(table.to_csv(index=False).encode(), mtime=0))
        except OSError as error:
            raise InvalidRequest(
                f"{path.parent}: cannot be written to ({error.strerror}); choose another --out"
            ) from None

    def _path(self, name: str, specification: Mapping[str, Any]) -> Path | None:
        from pidlab.sweeps.request import digest

        if self.directory is None:
            return None
        key = digest({**specification, "version": defaults.RESULT_VERSION})
        return self.directory / f"{name}-{key}.csv.gz"
