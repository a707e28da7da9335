"""What a folder keeps: across versions, failures, and two sweeps at once."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from pidlab import InvalidRequest, defaults
from pidlab.cli import main
from pidlab.defaults import Training
from pidlab.io import lock_folder
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import execute as cohort_module
from pidlab.sweeps.execute import Outcome
from pidlab.sweeps.plan import Runs
from pidlab.sweeps.store import Store

pytestmark = pytest.mark.usefixtures("few_rows")

# Written by the last version of schema 1, with `FIRST`; two of its runs diverge.
SCHEMA_1 = Path(__file__).with_name("schema-1.sqlite")
FIRST = Request(
    axes=(Axis(("unique1", "unique2"), (0.0, 0.5)), Axis(("rate",), (1e-3, 1e30))),
    objectives=("untrained", "simclr"),
    seeds=1,
    training=Training(views="task", steps=4, batch=32, hidden=16),
    probes="quick",
)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(defaults, "RESULT_VERSION", 1)  # that of its rows
    (tmp_path / "results.sqlite").write_bytes(SCHEMA_1.read_bytes())
    return tmp_path


def untrainable(*_, **__):
    raise AssertionError("a finished run was trained again")


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pidlab", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


def test_a_file_of_schema_1_is_read_without_changing_it(stored, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "status", stored)
    assert code == 0
    assert out.startswith("8 runs: 0 planned, 6 done, 2 failed; 4 cohorts\n")
    assert "simclr (2 runs, for example 327dcebab3f74978): loss not finite at step 1" in out
    code, out, err = command(monkeypatch, capsys, "export", stored)
    assert code == 0
    assert "8 runs were stored by an older pidlab without the four terms" in err
    assert len(pd.read_csv(StringIO(out))) == 96
    assert (stored / "results.sqlite").read_bytes() == SCHEMA_1.read_bytes()


def test_a_file_of_schema_1_is_resumed_and_exported_completely(stored, monkeypatch, capsys):
    monkeypatch.setattr(cohort_module, "train", untrainable)
    result = run_sweep(FIRST, stored)
    assert (result.runs, len(result.failures), len(result.table)) == (8, 2, 96)
    code, out, err = command(monkeypatch, capsys, "export", stored)
    assert (code, err) == (0, "")
    # Runs of a first schema stand in the order in which they were trained.
    assert sorted(out.splitlines()) == sorted((stored / "results.csv").read_text().splitlines())
    code, out, _ = command(monkeypatch, capsys, "export", stored, "--format", "json")
    assert code == 0
    columns = list(result.table.columns)
    frame = pd.read_json(StringIO(out), orient="records", dtype=False, precise_float=True)
    assert sorted(frame["captured"]) == sorted(result.table["captured"])
    assert list(frame.columns) == columns


def test_failed_runs_are_retried_only_on_request(stored, monkeypatch):
    trained = []

    def noted(cohort, *_):
        keys = [run.key for run in cohort.runs]
        trained.extend(keys)
        return Outcome(cohort.objective, "none", {}, keys, {}, {})

    monkeypatch.setattr(cohort_module, "_run_cohort", noted)
    before = run_sweep(FIRST, stored).failures
    assert trained == []
    run_sweep(FIRST, stored, retry_failed=True)
    assert sorted(trained) == sorted(before)


def test_a_retried_run_that_succeeds_is_done(tmp_path, monkeypatch):
    asked = replace(FIRST, axes=(), objectives=("simclr",))
    with monkeypatch.context() as patch:
        patch.setattr(cohort_module, "train", untrainable)
        assert len(run_sweep(asked, tmp_path).failures) == 1
    result = run_sweep(asked, tmp_path, retry_failed=True)
    assert not result.failures
    assert len(result.table)
    with closing(Store(tmp_path / "results.sqlite")) as store:
        assert store.counts() == {"planned": 0, "done": 1, "failed": 0}


def test_fail_fast_leaves_later_cohorts_planned(tmp_path, monkeypatch, capsys):
    asked = replace(FIRST, axes=())
    with monkeypatch.context() as patch:
        patch.setattr(cohort_module, "train", untrainable)
        result = run_sweep(asked, tmp_path, fail_fast=True)
    assert (result.runs, len(result.failures), result.planned) == (2, 1, 1)
    code, out, _ = command(monkeypatch, capsys, "status", tmp_path)
    assert code == 0
    assert out.startswith("2 runs: 1 planned, 0 done, 1 failed; 1 cohorts\n")


def test_a_second_sweep_of_a_folder_is_refused_and_changes_nothing(stored, monkeypatch, capsys):
    monkeypatch.chdir(stored)
    with lock_folder(stored):
        before = {p.name: p.read_bytes() for p in stored.iterdir()}
        code, out, err = command(monkeypatch, capsys, "sweep", "--unique", "1", "--out", stored)
        assert {p.name: p.read_bytes() for p in stored.iterdir()} == before
    assert (code, out) == (2, "")
    assert (
        err == f"error: another sweep is writing to {stored}: wait until it ends, or choose another --out\n"
    )
    with lock_folder(stored):
        pass


def test_a_full_disk_is_reported_and_stored_rows_are_kept(stored):
    with closing(Store(stored / "results.sqlite")) as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        more = Request(objectives=("untrained",), seeds=500)
        with pytest.raises(InvalidRequest, match=r"full.*finished cohorts are kept"):
            store.plan(Runs(more))
        assert store.counts() == {"planned": 0, "done": 6, "failed": 2}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_sweep_with_a_line(tmp_path, sent, code):
    arguments = ["sweep", "--unique", "0..1", "--objective", "simclr", "--steps", "100000", "--device", "cpu"]
    # A background job of a shell ignores SIGINT, and so would its children.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from pidlab.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments, "--out", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("cohort 1/")
        time.sleep(0.5)
        process.send_signal(sent)
        err = process.stderr.read()  # until the process ends; 100,000 steps would take many minutes
    assert process.returncode == code
    assert err.endswith("stopped: finished cohorts are kept; rerun the same command to resume\n")
    assert all(line.startswith("cohort ") for line in err.splitlines()[:-1])
    with closing(Store(tmp_path / "results.sqlite", reading=True)) as store:
        assert store.counts() == {"planned": 33, "done": 0, "failed": 0}


def test_reading_leaves_no_files_behind(stored):
    before = {path.name for path in stored.iterdir()}
    with closing(Store(stored / "results.sqlite", reading=True)) as store:
        assert sum(store.counts().values()) == 8
        assert {path.name for path in stored.iterdir()} == before
    assert {path.name for path in stored.iterdir()} == before


def test_a_sweep_that_was_killed_at_its_start_has_no_results_yet(tmp_path, monkeypatch, capsys):
    (tmp_path / "results.sqlite").touch()
    code, out, err = command(monkeypatch, capsys, "status", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"error: no results in {tmp_path} yet: rerun the command of the sweep\n"


def test_a_killed_sweep_in_a_read_only_folder_is_read_with_its_log(tmp_path, monkeypatch):
    request = replace(FIRST, axes=(), objectives=("untrained",))
    copies = tmp_path / "copies"
    copies.mkdir()
    with closing(Store(tmp_path / "results.sqlite")) as store:
        store.plan(Runs(request))
        for path in tmp_path.glob("results.sqlite*"):  # as a kill leaves them
            (copies / path.name).write_bytes(path.read_bytes())
    assert (copies / "results.sqlite-wal").stat().st_size > 0
    before = {path.name: path.read_bytes() for path in copies.iterdir()}
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("tempfile.mkdtemp", untrainable)  # a kill would leave temporary files behind
    with closing(Store(copies / "results.sqlite", reading=True)) as store:
        assert store.counts()["planned"] == 1
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == before


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:9", "scheduler.json"])
def test_a_scheduler_that_does_not_answer_leaves_no_folder(tmp_path, monkeypatch, capsys, scheduler):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pidlab.sweeps.cluster.TIMEOUT", 0.5)
    (tmp_path / "scheduler.json").write_text("{}")
    arguments = ["sweep", "--unique", "1", "--objective", "untrained", "--device", "cpu"]
    code, out, err = command(monkeypatch, capsys, *arguments, "--scheduler", scheduler, "--out", "there")
    assert (code, out) == (2, "")
    assert "no answer" in err
    assert not (tmp_path / "there").exists()


def test_git_runs_no_command_that_the_folder_configures(tmp_path, monkeypatch):
    from pidlab.sweeps.provenance import environment_record

    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    git("init")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "first")
    (tmp_path / "monitor.sh").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "monitor.sh").chmod(0o755)
    git("config", "core.fsmonitor", str(tmp_path / "monitor.sh"))
    (tmp_path / "ran").unlink(missing_ok=True)
    record = environment_record([])
    assert len(record["git"]["commit"]) == 40
    assert record["git"]["modified"] is True
    assert not (tmp_path / "ran").exists()
