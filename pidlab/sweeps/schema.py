"""The layout of a results file, how older layouts become it, and what is said of a file that is not one."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.tables.columns import READING, STEP

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
