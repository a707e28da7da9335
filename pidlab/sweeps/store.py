"""The results of a sweep: one SQLite file, to which a finished cohort commits whole."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest

# Marks a SQLite file as ours ("pidl"), and its layout.
APPLICATION_ID, SCHEMA = 0x7069646C, 1

ROW_COLUMNS = (
    "readout",
    "term",
    "quantity",
    "truth",
    "captured",
    "low",
    "high",
    "probe",
    "headline",
    "converged",
)

_TABLES = f"""
CREATE TABLE cohorts (id INTEGER PRIMARY KEY, objective TEXT, members INTEGER, program TEXT, seconds TEXT);
CREATE TABLE runs (
    key TEXT PRIMARY KEY, cohort INTEGER REFERENCES cohorts, specification TEXT, state TEXT, reason TEXT
);
CREATE TABLE captured (
    id INTEGER PRIMARY KEY, run TEXT REFERENCES runs, {", ".join(ROW_COLUMNS)},
    UNIQUE (run, readout, term, quantity, probe)
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA};
"""


class Store:
    """Runs with their state (`done` or `failed`) and their rows. One process writes.

    Args:
        path: the file; made where there is none.

    Raises:
        InvalidRequest: the file is no database, not one of pidlab, or of another schema. It is left
            as it is.
    """

    def __init__(self, path: Path) -> None:
        try:
            new = not path.exists() or path.stat().st_size == 0
            self._db = sqlite3.connect(path)
            identity = [
                self._db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version")
            ]
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if new or (tables == 0 and identity == [0, 0]):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.executescript(f"BEGIN; {_TABLES} COMMIT;")
            elif identity[0] != APPLICATION_ID:
                raise InvalidRequest(f"{path} is a database, but not of pidlab: choose another --out")
            elif identity[1] != SCHEMA:
                raise InvalidRequest(
                    f"{path} has schema {identity[1]}, this version reads {SCHEMA}: choose another --out"
                )
        except sqlite3.Error as error:
            raise InvalidRequest(f"cannot use {path} as results ({error}): choose another --out") from None

    def states(self) -> dict[str, str]:
        """The state of every run that is over, by key."""
        return dict(self._db.execute("SELECT key, state FROM runs"))

    def failures(self, keys: Iterable[str]) -> dict[str, str]:
        """Why runs failed, by key."""
        wanted = set(keys)
        failed = self._db.execute("SELECT key, reason FROM runs WHERE state = 'failed'")
        return {key: reason for key, reason in failed if key in wanted}

    def commit(
        self,
        objective: str,
        program: str,
        seconds: Mapping[str, float],
        specifications: Mapping[str, Mapping[str, Any]],
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        failed: Mapping[str, str],
    ) -> None:
        """Adds a finished cohort in one transaction.

        Args:
            objective: what it trained.
            program: how.
            seconds: wall time by activity.
            specifications: of every run, by key.
            rows: captured rows of the runs that are done, by key.
            failed: reasons of those that are not.
        """
        places = ", ".join("?" * (len(ROW_COLUMNS) + 1))
        with self._db:
            cursor = self._db.execute(
                "INSERT INTO cohorts (objective, members, program, seconds) VALUES (?, ?, ?, ?)",
                (objective, len(specifications), program, json.dumps(dict(seconds))),
            )
            for key, specification in specifications.items():
                state = "failed" if key in failed else "done"
                values = (
                    key,
                    cursor.lastrowid,
                    json.dumps(specification, sort_keys=True),
                    state,
                    failed.get(key),
                )
                self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", values)
                self._db.executemany(
                    f"INSERT INTO captured (run, {', '.join(ROW_COLUMNS)}) VALUES ({places})",
                    [(key, *(row[c] for c in ROW_COLUMNS)) for row in rows.get(key, ())],
                )

    def rows(self, keys: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """The captured rows of runs, by key."""
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
        query = f"SELECT run, {', '.join(ROW_COLUMNS)} FROM captured ORDER BY id"
        for run, *values in self._db.execute(query):
            if run in found:
                found[run].append(dict(zip(ROW_COLUMNS, values, strict=True)))
        return found

    def seconds(self) -> list[dict[str, Any]]:
        """Objective, members, program and wall time by activity of every cohort, in order."""
        query = "SELECT objective, members, program, seconds FROM cohorts ORDER BY id"
        return [
            {"objective": o, "members": m, "program": p, "seconds": json.loads(s)}
            for o, m, p, s in self._db.execute(query)
        ]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()
