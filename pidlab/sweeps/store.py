"""The results of a sweep: one SQLite file, to which a finished cohort commits whole."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.results.means import READING, STEP

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Outcome
    from pidlab.sweeps.plan import Run


# Marks a SQLite file as ours ("pidl").
APPLICATION_ID = 0x7069646C

# As the first layout had them: what is made of a file must not change with `ROW_COLUMNS`.
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
# `step` is set in rows of quantity `tracked` alone.
ROW_COLUMNS = (*READING, STEP)

# What is true or false, which SQLite keeps as 1 or 0.
FLAGS = ("headline", "converged")

_HEADER = 100  # bytes that begin every SQLite file

# What makes each schema out of the one before; a new file goes through all of them.
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
    # Written anew, for a constraint of a table cannot be changed; NULLs would all count as different.
    f"""
CREATE TABLE renewed (id INTEGER PRIMARY KEY, run TEXT REFERENCES runs, {", ".join(_FIRST_COLUMNS)}, step);
INSERT INTO renewed SELECT id, run, {", ".join(_FIRST_COLUMNS)}, NULL FROM captured;
DROP TABLE captured;
ALTER TABLE renewed RENAME TO captured;
CREATE UNIQUE INDEX captured_once ON captured (run, readout, term, quantity, probe, coalesce(step, -1));
""",
)
SCHEMA = len(_STEPS)


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Opens a results file at the newest schema.

    Args:
        path: the file; made where there is none, unless `reading`.
        reading: leaves the file as it is; one of an older schema is brought forward in memory.

    Raises:
        InvalidRequest: the file is no database, damaged, not one of pidlab, or of a later schema. It
            is left as it is.
    """
    if reading and not path.is_file():
        raise InvalidRequest(f"no results in {path.parent}: expected a folder that a sweep wrote")
    with clearly(path):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if reading else 'rwc'}"
        db = sqlite3.connect(uri, uri=True)
        try:
            return _newest(db, path, reading)
        except BaseException:
            db.close()
            raise


@contextmanager
def clearly(path: Path) -> Generator[None]:
    """Says what is wrong with a file, or with the disk below it, in one line.

    Raises:
        InvalidRequest: instead of SQLite's own errors, and of those of reading what stands in the file.
    """
    try:
        yield
    except InvalidRequest:
        raise
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            mend = "finished cohorts are kept; make room, then the same command goes on"
        elif code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            mend = "another process is writing to it; wait for it, then the same command goes on"
        else:
            mend = "restore it from a copy, or choose another --out"
        raise InvalidRequest(f"cannot use {path} as results ({error}): {mend}") from None


def _newest(db: sqlite3.Connection, path: Path, reading: bool) -> sqlite3.Connection:
    ours, schema, tables = _identity(db)
    if 0 < path.stat().st_size < _HEADER:  # SQLite takes a lone byte for an empty database
        raise sqlite3.DatabaseError("file is not a database")
    if tables == 0 and (ours, schema) == (0, 0) and not reading:
        db.execute("PRAGMA journal_mode = WAL")
    elif ours != APPLICATION_ID:
        raise InvalidRequest(f"{path} is a database, but not of pidlab: choose another --out")
    elif not 1 <= schema <= SCHEMA:
        raise InvalidRequest(
            f"{path} has schema {schema}, this version reads up to {SCHEMA}: use a newer pidlab, or choose "
            "another --out"
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
    """Goes from the schema that the file has now to the newest, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    _, schema, _ = _identity(db)  # as it is under the lock: another process may have been first
    for step in _STEPS[schema:]:
        for statement in step.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.commit()


def _identity(db: sqlite3.Connection) -> tuple[int, int, int]:
    asked = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    ours, schema, tables = (db.execute(one).fetchone()[0] for one in asked)
    return ours, schema, tables


STATES = ("planned", "done", "failed")
# Runs in the order in which they are asked for.
_ASKED = "asked CROSS JOIN runs USING (key) ORDER BY place"
# Of a run in the store; a plan sets them, a cohort's commit the rest.
_PLANNED = ("key", "specification", "objective", "seed", "point", *TERMS)


class Store:
    """Runs with their state (`planned`, `done` or `failed`) and their rows. One process writes.

    Args:
        path: the file; made where there is none, and brought forward where an older pidlab made it.
        reading: writes nothing, and may be used while a sweep writes.

    Raises:
        InvalidRequest: the file is no database, damaged, not one of pidlab, or of a later schema; any
            method, where the file or the disk below it fails. What was committed stays as it is.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._db = connect(path, reading=reading)
        self._clearly = lambda: clearly(path)

    def plan(self, runs: Iterable[Run]) -> None:
        """Adds runs that are not there yet as planned; of all of them it keeps where they stand.

        As long as the file is open these are the runs that are asked for, in their order.
        """
        values = ", ".join("?" * len(_PLANNED))
        # A run may stand in several sweeps of one folder: it keeps every parameter that one of them varies.
        renewed = ", ".join(f"{term} = excluded.{term}" for term in TERMS)
        upsert = (
            f"INSERT INTO runs (state, {', '.join(_PLANNED)}) VALUES ('planned', {values}) ON CONFLICT (key) "
            f"DO UPDATE SET point = json_patch(coalesce(point, '{{}}'), excluded.point), {renewed}"
        )
        with self._clearly(), self._db:
            self._db.execute("PRAGMA temp_store = MEMORY")
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (place INTEGER PRIMARY KEY, key TEXT)")
            self._db.execute("DELETE FROM asked")
            for place, values in enumerate(_planned(runs)):
                self._db.execute(upsert, values)
                self._db.execute("INSERT INTO asked VALUES (?, ?)", (place, values[0]))

    def states(self) -> dict[str, str]:
        """The state of every run that is over, by key."""
        with self._clearly():
            return dict(self._db.execute("SELECT key, state FROM runs WHERE state != 'planned'"))

    def specification(self, key: str) -> dict[str, Any]:
        """What a run that is done was asked for with.

        Raises:
            InvalidRequest: there is no such run, or it is not done.
        """
        with self._clearly():
            found = self._db.execute("SELECT specification, state FROM runs WHERE key = ?", (key,)).fetchone()
            if found is None:
                raise InvalidRequest(f"no run {key!r}: expected a key from the column run of results.csv")
            text, state = found
            if state != "done":
                raise InvalidRequest(f"run {key} is {state}: expected one that is done")
            return json.loads(text)

    def counts(self) -> dict[str, int]:
        """How many runs there are in every state."""
        with self._clearly():
            found = dict(self._db.execute("SELECT state, count(*) FROM runs GROUP BY state"))
            return {state: found.get(state, 0) for state in STATES}

    def open(self, *, failed: bool = False) -> bytearray:
        """A 1 for every run asked for that is planned, or `failed` if these count, at its place; else a 0."""
        states = ("planned", "failed") if failed else ("planned",)
        query = f"SELECT state IN ({', '.join('?' * len(states))}) FROM {_ASKED}"
        with self._clearly():
            return bytearray(found for (found,) in self._db.execute(query, states))

    def failures(self) -> dict[str, str]:
        """Why runs that are asked for failed, by key, in the order in which they were stored."""
        query = "SELECT key, reason FROM runs WHERE state = 'failed' AND key IN (SELECT key FROM asked)"
        with self._clearly():
            return dict(self._db.execute(f"{query} ORDER BY rowid"))

    def reasons(self) -> list[dict[str, Any]]:
        """Every reason of failure with its objective, how many runs it took and one of them."""
        query = (
            "SELECT reason, objective, count(*), min(key) FROM runs WHERE state = 'failed' "
            "GROUP BY reason, objective ORDER BY count(*) DESC, reason"
        )
        names = ("reason", "objective", "runs", "run")
        with self._clearly():
            return [dict(zip(names, row, strict=True)) for row in self._db.execute(query)]

    def commit(self, outcome: Outcome) -> None:
        """Adds a finished cohort of planned runs in one transaction."""
        places = ", ".join("?" * (len(ROW_COLUMNS) + 1))
        with self._clearly(), self._db:
            cursor = self._db.execute(
                "INSERT INTO cohorts (objective, members, program, seconds) VALUES (?, ?, ?, ?)",
                (
                    outcome.objective,
                    len(outcome.keys),
                    outcome.program,
                    json.dumps(dict(outcome.seconds)),
                ),
            )
            self._db.executemany(
                "UPDATE runs SET cohort = ?, state = ?, reason = ? WHERE key = ?",
                [
                    (
                        cursor.lastrowid,
                        "failed" if key in outcome.failed else "done",
                        outcome.failed.get(key),
                        key,
                    )
                    for key in outcome.keys
                ],
            )
            self._db.executemany(
                f"INSERT INTO captured (run, {', '.join(ROW_COLUMNS)}) VALUES ({places})",
                [
                    (key, *(row.get(c) if c == "step" else row[c] for c in ROW_COLUMNS))
                    for key in outcome.keys
                    for row in outcome.rows.get(key, ())
                ],
            )

    def rows(
        self, keys: Iterable[str], columns: Sequence[str] = ROW_COLUMNS
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of every run of `keys`, as `columns`, which are names or expressions of SQL."""
        query = f"SELECT {', '.join(columns)} FROM captured WHERE run = ? ORDER BY id"
        with self._clearly():
            for key in keys:
                yield self._db.execute(query, (key,)).fetchall()

    def asked(self) -> Iterator[tuple[Any, ...]]:
        """Every run that is asked for, in order: key, objective, seed, terms."""
        with self._clearly():
            yield from self._db.execute(f"SELECT key, objective, seed, {', '.join(TERMS)} FROM {_ASKED}")

    def any_asked(self, condition: str) -> bool:
        """Whether a row of a run that is asked for meets a condition of SQL."""
        query = f"SELECT EXISTS (SELECT 1 FROM asked JOIN captured ON run = key WHERE {condition})"
        with self._clearly():
            return bool(self._db.execute(query).fetchone()[0])

    def parameters(self) -> list[str]:
        """The columns of every parameter that a sweep of this file varied, in order of appearance."""
        query = "SELECT DISTINCT j.key FROM runs, json_each(runs.point) AS j"
        with self._clearly():
            return [name for (name,) in self._db.execute(query) if name not in TERMS]

    def runs(self, parameters: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Every run: key, objective, seed, terms, `parameters`."""
        query = f"SELECT key, objective, seed, {', '.join(TERMS)}, point FROM runs ORDER BY rowid"
        with self._clearly():
            last, found = None, {}
            for *run, point in self._db.execute(query):
                if point != last:  # runs of one point follow each other
                    last, found = point, json.loads(point or "{}")
                yield (*run, *(found.get(name) for name in parameters))

    def tracked(self) -> bool:
        """Whether any row belongs to a step of training."""
        with self._clearly():
            query = "SELECT EXISTS (SELECT 1 FROM captured WHERE step IS NOT NULL)"
            return bool(self._db.execute(query).fetchone()[0])

    def lacking_truth(self) -> int:
        """How many runs an older pidlab stored without the decomposition of their generator."""
        with self._clearly():
            return self._db.execute("SELECT count(*) FROM runs WHERE point IS NULL").fetchone()[0]

    def seconds(self) -> list[dict[str, Any]]:
        """Objective, members, program and wall time by activity of every cohort, in order."""
        query = "SELECT objective, members, program, seconds FROM cohorts ORDER BY id"
        with self._clearly():
            return [
                {"objective": o, "members": m, "program": p, "seconds": json.loads(s)}
                for o, m, p, s in self._db.execute(query)
            ]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def _planned(runs: Iterable[Run]) -> Iterator[tuple[Any, ...]]:
    last, point = None, ""
    for run in runs:
        if run.point is not last:  # runs of one point follow each other
            last, point = run.point, json.dumps(run.point)
        text = run.text
        yield (run.key, text, run.objective, run.seed, point, *run.truth.values())


def total_seconds(cohorts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Wall time by activity over cohorts."""
    total: defaultdict[str, float] = defaultdict(float)
    for cohort in cohorts:
        for activity, spent in cohort["seconds"].items():
            total[activity] += spent
    return dict(total)
