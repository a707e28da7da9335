"""Store of a sweep: one SQLite file with its runs and their rows, committed cohort by cohort."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.results.loss_curves import chance_of, is_trained
from pidlab.results.means import READING, STEP

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Outcome
    from pidlab.sweeps.plan import Run


# Marks a SQLite file as one of pidlab ("pidl").
APPLICATION_ID = 0x7069646C

# Columns of the first schema, repeated here because old schemas must not change with `ROW_COLUMNS`.
_FIRST_COLUMNS = (
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
# `step` is set only in rows of quantity `tracked`, accuracies only in rows of a probe.
ROW_COLUMNS = (*READING, STEP)

STATES = ("planned", "done", "failed")

# Columns of truth values, which SQLite stores as 1 and 0.
FLAGS = ("headline", "converged")

_HEADER = 100  # bytes of the header of every SQLite file

# Statements that make each schema from the one before; a new file runs all of them.
_STEPS = (
    f"""
CREATE TABLE cohorts (id INTEGER PRIMARY KEY, objective TEXT, members INTEGER, program TEXT, seconds TEXT);
CREATE TABLE runs (
    key TEXT PRIMARY KEY, cohort INTEGER REFERENCES cohorts, specification TEXT, state TEXT, reason TEXT
);
CREATE TABLE captured (
    id INTEGER PRIMARY KEY, run TEXT REFERENCES runs, {", ".join(_FIRST_COLUMNS)},
    UNIQUE (run, readout, term, quantity, probe)
);
PRAGMA application_id = {APPLICATION_ID};
""",
    f"""
ALTER TABLE runs ADD COLUMN objective TEXT;
ALTER TABLE runs ADD COLUMN seed INTEGER;
ALTER TABLE runs ADD COLUMN point TEXT;
{"".join(f"ALTER TABLE runs ADD COLUMN {term} REAL;" for term in TERMS)}
UPDATE runs SET
    objective = json_extract(specification, '$.objective'), seed = json_extract(specification, '$.seed');
CREATE INDEX runs_by_state ON runs (state, reason, objective);
""",
    # SQLite cannot change a constraint, so the table is copied. `coalesce` because NULLs count as different.
    f"""
CREATE TABLE renewed (id INTEGER PRIMARY KEY, run TEXT REFERENCES runs, {", ".join(_FIRST_COLUMNS)}, step);
INSERT INTO renewed SELECT id, run, {", ".join(_FIRST_COLUMNS)}, NULL FROM captured;
DROP TABLE captured;
ALTER TABLE renewed RENAME TO captured;
CREATE UNIQUE INDEX captured_once ON captured (run, readout, term, quantity, probe, coalesce(step, -1));
""",
    """
ALTER TABLE cohorts ADD COLUMN environment TEXT;
ALTER TABLE runs ADD COLUMN rows INTEGER;
ALTER TABLE runs ADD COLUMN losses BLOB;
""",
    """
ALTER TABLE captured ADD COLUMN accuracy REAL;
ALTER TABLE captured ADD COLUMN balanced_accuracy REAL;
""",
    """
ALTER TABLE cohorts ADD COLUMN retried INTEGER;
ALTER TABLE cohorts ADD COLUMN checksum INTEGER;
ALTER TABLE runs ADD COLUMN row_checksum INTEGER;
ALTER TABLE runs ADD COLUMN checksum INTEGER;
""",
)
SCHEMA = len(_STEPS)

# Columns that `checksum` covers, by table. `row_checksum` covers the rows of a run in `captured`.
_CHECKED = {
    "cohorts": ("id", "objective", "members", "program", "seconds", "environment", "retried"),
    "runs": (
        *("key", "cohort", "specification", "state", "reason", "objective", "seed", "point", *TERMS),
        *("rows", "losses", "row_checksum"),
    ),
}


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open a results file at the newest schema.

    Args:
        path: The file, which is created if it does not exist and `reading` is false.
        reading: Do not change the file; an older schema is migrated in memory.

    Raises:
        InvalidRequest: If the file is not a database, is damaged, is not of pidlab, or has a later schema.
            The file is not changed.
    """
    if reading and not path.is_file():
        raise InvalidRequest(f"no results in {path.parent}: give the folder of a sweep")
    with clearly(path):
        db = _open_for_reading(path) if reading else _open(path, "mode=rwc")
        try:
            db = _newest(db, path, reading)
            db.create_function("checksum", -1, _checksum, deterministic=True)
            db.create_function("trained", 3, _trained, deterministic=True)
            _check(db)
            return db
        except BaseException:
            db.close()
            raise


def _open(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True)


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a file without writing to its folder, where SQLite would leave a shared-memory file."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return _open(path, "immutable=1")
    if os.access(path.parent, os.W_OK):  # a sweep is running, or was killed: the log belongs to the results
        return _open(path, "mode=ro")
    # Without locks and in exclusive mode, SQLite keeps the index of the log in memory instead of a file.
    db = _open(path, f"mode=ro&vfs={'unix' if os.name == 'posix' else 'win32'}-none")
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _checksum(*values: Any) -> int:
    """Return the CRC-32 of values as SQLite holds them."""
    return zlib.crc32(repr(values).encode("utf-8", "backslashreplace"))


def _trained(losses: bytes | None, objective: str, batch: int | None) -> bool | None:
    """Return whether training changed the loss of a run; None without a loss curve."""
    if losses is None:
        return None
    return is_trained(np.frombuffer(losses, "<f4"), chance_of(objective, batch) if batch else None)


def _check(db: sqlite3.Connection) -> None:
    """Check that runs and cohorts are as they were written.

    Files of older schemas have no checksums; only their structure is checked.

    Raises:
        ValueError: If a record has changed or is missing.
    """
    for table, columns in _CHECKED.items():
        (found,) = db.execute(f"PRAGMA integrity_check({table})").fetchone()
        if found != "ok":
            raise ValueError(f"damaged: {found}")
        changed = f"SELECT rowid FROM {table} WHERE checksum != checksum({', '.join(columns)}) LIMIT 1"
        if found := db.execute(changed).fetchone():
            raise ValueError(f"damaged: record {found[0]} of {table} does not match its checksum")
    states = ", ".join(f"'{state}'" for state in STATES)
    if found := db.execute(f"SELECT state FROM runs WHERE state NOT IN ({states}) LIMIT 1").fetchone():
        raise ValueError(f"damaged: a run has the state {found[0]!r}")
    # A run that failed and was retried belongs to two cohorts. One statement, because a sweep may be running.
    query = (
        "SELECT total(members) - total(retried), count(*) - count(retried), "
        "(SELECT count(*) FROM runs WHERE state != 'planned') FROM cohorts"
    )
    stored, unknown, found = db.execute(query).fetchone()
    if unknown == 0 and found != stored:
        raise ValueError(f"damaged: {found} finished runs are left, but {stored:.0f} were stored")


@contextmanager
def clearly(path: Path) -> Generator[None]:
    """Turn errors of SQLite and of the file's contents into an `InvalidRequest` of one line.

    Args:
        path: The file.

    Raises:
        InvalidRequest: If the block raises such an error.
    """
    try:
        yield
    except InvalidRequest:
        raise
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            hint = "finished cohorts are kept; make room, then rerun the same command to resume"
        elif code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            hint = "another process is writing to it; wait for it, then rerun the same command to resume"
        else:
            hint = "restore it from a copy, or choose another --out"
        raise InvalidRequest(f"cannot use {path} as results ({error}): {hint}") from None


def _newest(db: sqlite3.Connection, path: Path, reading: bool) -> sqlite3.Connection:
    application, schema, tables = _identity(db)
    if 0 < path.stat().st_size < _HEADER:  # SQLite opens a file of one byte as an empty database
        raise sqlite3.DatabaseError("file is not a database")
    if tables == 0 and (application, schema) == (0, 0):
        if reading:  # a sweep was stopped before its first statement
            raise InvalidRequest(f"no results in {path.parent} yet: rerun the command of the sweep")
        db.execute("PRAGMA journal_mode = WAL")
    elif application != APPLICATION_ID:
        raise InvalidRequest(f"{path}: a database, but not of pidlab; choose another --out")
    elif not 1 <= schema <= SCHEMA:
        raise InvalidRequest(
            f"{path}: has schema {schema}, but this pidlab reads up to {SCHEMA}; use a newer pidlab, or "
            "choose another --out"
        )
    if not reading:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"damaged: {found}")
    elif schema < SCHEMA:
        file, db = db, sqlite3.connect(":memory:")
        file.backup(db)
        file.close()
    if schema < SCHEMA:
        _migrate(db)
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Migrate a file to the newest schema in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    _, schema, _ = _identity(db)  # read again under the lock: another process may have migrated it
    for step in _STEPS[schema:]:
        for statement in step.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.commit()


def _identity(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the application id, the schema and the number of tables of a file."""
    queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    application, schema, tables = (db.execute(query).fetchone()[0] for query in queries)
    return application, schema, tables


# The runs of the request, in its order.
_ASKED_RUNS = "asked CROSS JOIN runs USING (key)"
_ASKED = f"{_ASKED_RUNS} ORDER BY place"
# Whether training changed the loss of a run, as SQL.
_TRAINED = (
    "trained(losses, json_extract(specification, '$.objective'), "
    "json_extract(specification, '$.training.batch'))"
)
# Columns of a run that `plan` sets; `commit` sets the others.
_PLANNED = ("key", "specification", "objective", "seed", "point", *TERMS)


class Store:
    """Runs with their state (`planned`, `done` or `failed`) and their rows; one process may write.

    Args:
        path: The file. It is created if it does not exist, and migrated if an older pidlab made it.
        reading: Write nothing. Reading is possible while a sweep writes.

    Raises:
        InvalidRequest: If the file is not a database, is damaged, is not of pidlab, or has a later schema.
            Every method raises it if the file or its disk fails; committed rows are kept.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._db = connect(path, reading=reading)
        self._clearly = lambda: clearly(path)

    def plan(self, runs: Iterable[Run]) -> None:
        """Add the runs of a request that the store does not hold yet, as planned.

        Until the store is closed or `plan` is called again, these are the requested runs, in this order.

        Args:
            runs: The runs of the request.
        """
        values = ", ".join("?" * len(_PLANNED))
        # A run can belong to several sweeps of one folder: it keeps the parameters that any of them varies.
        updates = ", ".join(f"{term} = excluded.{term}" for term in TERMS)
        upsert = (
            f"INSERT INTO runs (state, {', '.join(_PLANNED)}) VALUES ('planned', {values}) ON CONFLICT (key) "
            f"DO UPDATE SET point = json_patch(coalesce(point, '{{}}'), excluded.point), {updates}"
        )
        with self._clearly(), self._db:
            self._db.execute("PRAGMA temp_store = MEMORY")
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (place INTEGER PRIMARY KEY, key TEXT)")
            self._db.execute("DELETE FROM asked")
            for place, values in enumerate(_planned(runs)):
                self._db.execute(upsert, values)
                self._db.execute("INSERT INTO asked VALUES (?, ?)", (place, values[0]))
            self._seal("runs", "key IN (SELECT key FROM asked)")

    def _seal(self, table: str, condition: str, values: Sequence[Any] = ()) -> None:
        """Compute the checksums of records that were changed."""
        columns = ", ".join(_CHECKED[table])
        self._db.execute(f"UPDATE {table} SET checksum = checksum({columns}) WHERE {condition}", values)

    def states(self) -> dict[str, str]:
        """Return the state of every run that is done or failed, by key."""
        with self._clearly():
            return dict(self._db.execute("SELECT key, state FROM runs WHERE state != 'planned'"))

    def specification(self, key: str) -> dict[str, Any]:
        """Return the specification of a finished run.

        Args:
            key: Key of the run.

        Raises:
            InvalidRequest: If there is no such run, or it is not done.
        """
        with self._clearly():
            found = self._db.execute("SELECT specification, state FROM runs WHERE key = ?", (key,)).fetchone()
            if found is None:
                raise InvalidRequest(f"no run {key!r}: give a key from the column run of results.csv")
            text, state = found
            if state != "done":
                raise InvalidRequest(f"run {key} is {state}: give a run that is done")
            return json.loads(text)

    def counts(self) -> dict[str, int]:
        """Count the runs of every state."""
        with self._clearly():
            found = dict(self._db.execute("SELECT state, count(*) FROM runs GROUP BY state"))
            return {state: found.get(state, 0) for state in STATES}

    def open(self, *, failed: bool = False) -> bytearray:
        """Return a byte for every requested run: 1 if it remains to be trained, 0 if not.

        Args:
            failed: Whether failed runs remain to be trained.
        """
        states = ("planned", "failed") if failed else ("planned",)
        query = f"SELECT state IN ({', '.join('?' * len(states))}) FROM {_ASKED}"
        with self._clearly():
            return bytearray(found for (found,) in self._db.execute(query, states))

    def failures(self) -> dict[str, str]:
        """Return the reason of every requested run that failed, by key, in the order of the store."""
        query = "SELECT key, reason FROM runs WHERE state = 'failed' AND key IN (SELECT key FROM asked)"
        with self._clearly():
            return dict(self._db.execute(f"{query} ORDER BY rowid"))

    def reasons(self) -> list[dict[str, Any]]:
        """Return every reason of failure with its objective, its number of runs and one of their keys."""
        query = (
            "SELECT reason, objective, count(*), min(key) FROM runs WHERE state = 'failed' "
            "GROUP BY reason, objective ORDER BY count(*) DESC, reason"
        )
        names = ("reason", "objective", "runs", "run")
        with self._clearly():
            return [dict(zip(names, row, strict=True)) for row in self._db.execute(query)]

    def commit(self, outcome: Outcome) -> None:
        """Add the outcome of a cohort of planned runs in one transaction.

        Args:
            outcome: The outcome.
        """
        places = ", ".join("?" * (len(ROW_COLUMNS) + 1))
        with self._clearly(), self._db:
            cursor = self._db.execute(
                "INSERT INTO cohorts (objective, members, program, seconds, environment) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    outcome.objective,
                    len(outcome.keys),
                    outcome.program,
                    json.dumps(dict(outcome.seconds)),
                    outcome.environment,
                ),
            )
            self._db.executemany(
                f"INSERT INTO captured (run, {', '.join(ROW_COLUMNS)}) VALUES ({places})",
                [
                    (key, *(row[c] if c in _FIRST_COLUMNS else row.get(c) for c in ROW_COLUMNS))
                    for key in outcome.keys
                    for row in outcome.rows.get(key, ())
                ],
            )
            retried = 0
            for key in outcome.keys:
                rows = self._rows(key)
                (before,) = self._db.execute("SELECT state FROM runs WHERE key = ?", (key,)).fetchone()
                retried += before != "planned"
                self._db.execute(
                    "UPDATE runs SET cohort = ?, state = ?, reason = ?, rows = ?, losses = ?, "
                    "row_checksum = ? WHERE key = ?",
                    (
                        cursor.lastrowid,
                        "failed" if key in outcome.failed else "done",
                        outcome.failed.get(key),
                        len(rows),
                        outcome.losses.get(key),
                        _checksum(rows),
                        key,
                    ),
                )
                self._seal("runs", "key = ?", (key,))
            self._db.execute("UPDATE cohorts SET retried = ? WHERE id = ?", (retried, cursor.lastrowid))
            self._seal("cohorts", "id = ?", (cursor.lastrowid,))

    def check_rows(self) -> None:
        """Check that the rows of all runs are complete and as they were written.

        Raises:
            InvalidRequest: If rows are missing, or a value has changed or has the wrong type.
        """
        numbers = [ROW_COLUMNS.index(name) for name in ("truth", "captured", "low", "high")]
        query = "SELECT key, rows, row_checksum FROM runs WHERE state != 'planned'"
        with self._clearly():
            for key, count, checksum in self._db.execute(query):
                rows = self._rows(key)
                if count is not None and len(rows) != count:
                    raise ValueError(f"run {key} has {len(rows)} of {count} rows")
                if checksum not in (None, _checksum(rows)):
                    raise ValueError(f"a row of run {key} does not match its checksum")
                if not all(isinstance(row[i], int | float | None) for row in rows for i in numbers):
                    raise ValueError(f"run {key} has a value that is not a number")

    def _rows(self, key: str) -> list[tuple[Any, ...]]:
        query = f"SELECT {', '.join(ROW_COLUMNS)} FROM captured WHERE run = ? ORDER BY id"
        return self._db.execute(query, (key,)).fetchall()

    def environments(self) -> dict[str, int]:
        """Count the finished runs that were requested, by the environment that computed them."""
        query = (
            f"SELECT environment, count(*) FROM {_ASKED_RUNS} JOIN cohorts ON cohort = cohorts.id "
            "WHERE state = 'done' AND environment IS NOT NULL GROUP BY environment"
        )
        with self._clearly():
            return dict(self._db.execute(query))

    def losses(self) -> Iterator[tuple[str, str, int, int, bytes]]:
        """Yield key, objective, seed, number of steps and loss curve of every trained run."""
        query = (
            "SELECT key, objective, seed, json_extract(specification, '$.training.steps'), losses "
            "FROM runs WHERE losses IS NOT NULL ORDER BY rowid"
        )
        # `yield from` would close the cursor of a generator that is dropped after the store is closed.
        with self._clearly():
            for row in self._db.execute(query):  # noqa: UP028
                yield row

    def rows(
        self, keys: Iterable[str], columns: Sequence[str] = ROW_COLUMNS
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of every run.

        Args:
            keys: Keys of the runs.
            columns: Columns, or expressions in SQL.
        """
        query = f"SELECT {', '.join(columns)} FROM captured WHERE run = ? ORDER BY id"
        with self._clearly():
            for key in keys:
                yield self._db.execute(query, (key,)).fetchall()

    def asked(self) -> Iterator[tuple[Any, ...]]:
        """Yield key, objective, seed, terms and flag `trained` of every requested run, in order."""
        query = f"SELECT key, objective, seed, {', '.join(TERMS)}, {_TRAINED} FROM {_ASKED}"
        with self._clearly():
            for *run, trained in self._db.execute(query):
                yield (*run, as_flag(trained))

    def any_asked(self, condition: str) -> bool:
        """Return whether any row of a requested run meets a condition.

        Args:
            condition: Expression in SQL.
        """
        query = f"SELECT EXISTS (SELECT 1 FROM asked JOIN captured ON run = key WHERE {condition})"
        with self._clearly():
            return bool(self._db.execute(query).fetchone()[0])

    def parameters(self) -> list[str]:
        """Return the columns of all parameters that a sweep of this file varied, in order of appearance."""
        query = "SELECT DISTINCT j.key FROM runs, json_each(runs.point) AS j"
        with self._clearly():
            return [name for (name,) in self._db.execute(query) if name not in TERMS]

    def runs(self, parameters: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield key, objective, seed, terms, flag `trained` and parameters of every run.

        Args:
            parameters: Columns of the parameters.
        """
        query = f"SELECT key, objective, seed, {', '.join(TERMS)}, {_TRAINED}, point FROM runs ORDER BY rowid"
        with self._clearly():
            last, values = None, {}
            for *run, trained, point in self._db.execute(query):
                if point != last:  # runs of one point follow each other
                    last, values = point, json.loads(point or "{}")
                yield (*run, as_flag(trained), *(values.get(name) for name in parameters))

    def tracked(self) -> bool:
        """Return whether any row belongs to a checkpoint during training."""
        with self._clearly():
            query = "SELECT EXISTS (SELECT 1 FROM captured WHERE step IS NOT NULL)"
            return bool(self._db.execute(query).fetchone()[0])

    def lacking_truth(self) -> int:
        """Count the runs that an older pidlab stored without their ground truth."""
        with self._clearly():
            return self._db.execute("SELECT count(*) FROM runs WHERE point IS NULL").fetchone()[0]

    def seconds(self) -> list[dict[str, Any]]:
        """Return objective, number of runs, program and wall time by activity of every cohort, in order."""
        query = "SELECT objective, members, program, seconds FROM cohorts ORDER BY id"
        with self._clearly():
            return [
                {"objective": o, "members": m, "program": p, "seconds": json.loads(s)}
                for o, m, p, s in self._db.execute(query)
            ]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _planned(runs: Iterable[Run]) -> Iterator[tuple[Any, ...]]:
    last, point = None, ""
    for run in runs:
        if run.point is not last:  # runs of one point follow each other
            last, point = run.point, json.dumps(run.point)
        text = run.text
        yield (run.key, text, run.label or run.objective, run.seed, point, *run.truth.values())


def as_flag(value: int | None) -> bool | None:
    """Return a truth value that SQLite stores as 1, 0 or NULL."""
    return None if value is None else bool(value)


def total_seconds(cohorts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Sum wall time by activity over cohorts.

    Args:
        cohorts: Records with the key `seconds`.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for cohort in cohorts:
        for activity, spent in cohort["seconds"].items():
            total[activity] += spent
    return dict(total)
