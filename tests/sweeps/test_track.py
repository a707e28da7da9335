"""Captured bits along training, from the request to the file."""

import dataclasses
import sqlite3
import sys
from contextlib import closing
from io import StringIO

import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.cli import main
from pidlab.defaults import Training
from pidlab.probes.row import make_row
from pidlab.results.folder import Results, merge_results
from pidlab.sweeps import Request, run_sweep
from pidlab.sweeps import store as schema
from pidlab.sweeps.execute import Outcome
from pidlab.sweeps.store import Store

pytestmark = pytest.mark.usefixtures("few_rows")

ASKED = Request(
    objectives=("untrained", "simclr"),
    seeds=2,
    training=Training(steps=8, batch=32, hidden=16),
    probes="quick",
)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    return run_sweep(dataclasses.replace(ASKED, track=3), tmp_path_factory.mktemp("tracked"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_sweep(ASKED, tmp_path_factory.mktemp("plain"))


def test_there_is_a_headline_for_every_readout_target_and_step(tracked):
    rows = pd.read_csv(tracked.directory / "results.csv")
    along = rows[rows["quantity"] == "tracked"]
    assert sorted(set(along["step"])) == [0, 3, 8]
    assert along["headline"].all()
    assert (along.groupby(["run", "readout", "term", "step"]).size() == 1).all()
    assert len(along) == 4 * 3 * 4 * 3  # runs, readouts, targets, steps
    assert rows.loc[rows["quantity"] == "mi", "step"].isna().all()
    assert set(rows["quantity"]) == {"mi", "tracked"}


def test_tracking_changes_no_other_number(tracked, plain):
    kept = tracked.table[tracked.table["quantity"] == "mi"].drop(columns="step").reset_index(drop=True)
    same = plain.table
    assert set(kept["run"]).isdisjoint(same["run"])
    pd.testing.assert_frame_equal(kept.drop(columns="run"), same.drop(columns="run"), check_exact=True)
    assert "step" not in (plain.directory / "results.csv").read_text().splitlines()[0].split(",")


def test_the_last_checkpoint_equals_quick_probes_after_training(tracked):
    at = ["objective", "seed", "readout", "term", "captured", "low", "high", "probe"]
    table = tracked.table
    last = table[table["step"] == 8][at].reset_index(drop=True)
    end = table[(table["quantity"] == "mi") & table["headline"]][at].reset_index(drop=True)
    pd.testing.assert_frame_equal(last, end, check_exact=True)


def test_every_objective_starts_as_the_untrained_one(tracked):
    table = tracked.table[tracked.table["readout"] == "z12"]
    first = table[(table["step"] == 0)].groupby(["seed", "term"])["captured"]
    assert (first.nunique() == 1).all()
    untrained = table[(table["objective"] == "untrained") & (table["quantity"] == "tracked")]
    assert (untrained.groupby(["seed", "term"])["captured"].nunique() == 1).all()


def test_export_writes_what_the_sweep_writes(tracked, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pidlab", "export", str(tracked.directory)])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == (tracked.directory / "results.csv").read_text()
    monkeypatch.setattr(sys, "argv", ["pidlab", "export", str(tracked.directory), "--format", "json"])
    with pytest.raises(SystemExit):
        main()
    frame = pd.read_json(StringIO(capsys.readouterr().out), orient="records")
    assert list(frame.columns) == list(tracked.table.columns)


def test_the_same_sweep_twice_counts_every_step_once(tracked):
    results = Results(tracked.table, {}, tracked.directory)
    assert len(merge_results([results, results])) == len(results.table)


def test_tracked_and_untracked_runs_share_a_folder(tmp_path):
    asked = dataclasses.replace(ASKED, objectives=("untrained",))
    first = run_sweep(asked, tmp_path)
    run_sweep(dataclasses.replace(asked, track=2), tmp_path)
    pd.testing.assert_frame_equal(run_sweep(asked, tmp_path).table, first.table, check_exact=True)


def filled(path):
    """A file of schema 2 with two rows of a run."""
    with closing(schema.connect(path)) as db, db:
        db.execute("INSERT INTO cohorts VALUES (1, 'o', 1, 'vmap', '{}')")
        db.execute("INSERT INTO runs (key, state, cohort) VALUES ('k', 'done', 1)")
        names = schema._FIRST_COLUMNS
        for term in ("redundant", "synergy"):
            values = make_row("z12", term, 1.0, (0.5, 0.48, 0.52), "mlp")
            db.execute(
                f"INSERT INTO captured (run, {', '.join(names)}) VALUES ('k'{', ?' * len(names)})",
                [values[name] for name in names],
            )
    return path


def test_a_file_of_schema_2_is_migrated(tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(schema, "_STEPS", schema._STEPS[:2])
        older.setattr(schema, "SCHEMA", 2)
        older.setattr(schema, "_check", lambda db: None)
        path = filled(tmp_path / "results.sqlite")
        before = path.read_bytes()
    with closing(Store(path, reading=True)) as store:
        (found,) = store.rows(["k"])
        assert len(found) == 2
    assert path.read_bytes() == before
    with closing(Store(path)) as store:
        (found,) = store.rows(["k"], ["term"])
        assert found == [("redundant",), ("synergy",)]
        assert not store.tracked()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)


def outcome(*rows):
    return Outcome("o", "vmap", {}, ["k"], {"k": rows}, {})


def test_a_row_is_unique_at_every_step(tmp_path):
    mine = make_row("z12", "synergy", 1.0, (0.5, 0.48, 0.52), "mlp", quantity="tracked")
    with closing(Store(tmp_path / "results.sqlite")) as store:
        store._db.execute("INSERT INTO runs (key, state) VALUES ('k', 'planned')")
        store.commit(outcome(mine | {"step": 0}, mine | {"step": 1}, mine))
        for twice in (mine | {"step": 1}, mine):
            with pytest.raises(InvalidRequest, match="UNIQUE"):
                store.commit(outcome(twice))
        assert store.tracked()
        (found,) = store.rows(["k"], ["step"])
        assert found == [(0,), (1,), (None,)]
