"""Loss curves, row counts and environments in the store."""

import dataclasses
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pidlab import InvalidRequest, fit
from pidlab.cli import main
from pidlab.defaults import Training
from pidlab.plots.kinds import draw
from pidlab.results.folder import read_results
from pidlab.results.loss_curves import has_moved, moved_runs
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import execute as cohort_module
from pidlab.sweeps import run as run_module
from pidlab.sweeps.execute import CURVE_POINTS, Silent, pack_losses, unpack_losses
from pidlab.sweeps.plan import Runs
from pidlab.sweeps.run import read_losses
from pidlab.sweeps.store import Store

pytestmark = pytest.mark.usefixtures("few_rows")

REQUEST = Request(
    objectives=("untrained", "cross"),
    seeds=2,
    training=Training(steps=6, batch=16, hidden=8),
    probes="quick",
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("swept")
    run_sweep(REQUEST, directory)
    return directory


@pytest.fixture
def folder(swept, tmp_path):
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    return tmp_path


def change(folder, statement):
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize("steps", [1, 7, CURVE_POINTS, CURVE_POINTS + 1, 5 * CURVE_POINTS])
def test_a_curve_holds_means_over_blocks_of_steps(steps):
    losses = np.linspace(0, 1, steps) ** 2
    at, means = unpack_losses(pack_losses(losses), steps)
    assert len(at) == len(means) <= CURVE_POINTS
    assert at[-1] == steps - 1
    starts = [0, *(at[:-1] + 1)]
    expected = [losses[a : b + 1].mean() for a, b in zip(starts, at, strict=True)]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_every_trained_run_keeps_its_losses(folder):
    with closing(Store(folder / "results.sqlite", reading=True)) as store:
        table = read_losses(store)
    assert set(table["objective"]) == {"cross"}
    assert len(table) == 2 * 6
    run = next(run for run in Runs(REQUEST) if run.objective == "cross" and run.seed == 1)
    live = fit("cross", run.generator, 1, steps=6, batch=16, hidden=8)
    stored = table[table["run"] == run.key]["loss"].to_numpy()
    assert stored.tolist() == live.losses.flatten().tolist()


def test_losses_have_the_parameters_of_the_sweep_and_can_be_drawn(tmp_path):
    axes = (Axis(("cross.temperature",), (0.1, 0.2)),)
    request = dataclasses.replace(REQUEST, axes=axes, objectives=("cross",), seeds=1)
    run_sweep(request, tmp_path)
    with closing(Store(tmp_path / "results.sqlite", reading=True)) as store:
        table = read_losses(store)
    assert table.groupby("cross.temperature")["step"].count().to_dict() == {0.1: 6, 0.2: 6}
    figure, shown = draw("loss", table)
    assert len(figure.axes) == 2
    assert shown["mean"].to_numpy() == pytest.approx(table["loss"].to_numpy())
    assert shown["trained"].all()


@pytest.mark.parametrize(
    ("losses", "moved"),
    [([3.0, 2.0, 1.0], True), ([1.0] * 40, False), ([1.0, 1.1, 0.9, 1.0] * 20, False)],
)
def test_a_loss_that_ends_within_noise_of_its_first_value_has_not_moved(losses, moved):
    assert has_moved(np.array(losses)) is moved
    assert moved_runs(pd.DataFrame({"run": "a", "loss": losses})) == {"a": moved}


def test_an_interrupted_sweep_writes_what_is_finished(tmp_path):
    class Stops(Silent):
        def cohort(self, number):
            if number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(REQUEST, tmp_path, progress=Stops())
    results = read_results(tmp_path)
    assert set(results.table["objective"]) == {"untrained"}
    assert results.record["unfinished"] == 2
    run_sweep(REQUEST, tmp_path)
    assert read_results(tmp_path).record["unfinished"] == 0


def test_a_store_without_loss_curves_gives_an_empty_table(tmp_path):
    with closing(Store(tmp_path / "results.sqlite")) as store:
        assert list(read_losses(store).columns) == ["run", "objective", "seed", "step", "loss"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM captured WHERE id = 3", "of .* rows"),
        ("UPDATE captured SET captured = captured + 0.1 WHERE id = 3", "row of run .* its checksum"),
        ("UPDATE captured SET captured = 'much' WHERE id = 3", "row of run .* its checksum"),
        ("UPDATE runs SET rows = 1000 WHERE rowid = 1", "record 1 of runs does not match its checksum"),
        ("UPDATE runs SET state = 'dune' WHERE rowid = 2", "record 2 of runs does not match"),
        ("UPDATE runs SET checksum = NULL, state = 'dune' WHERE rowid = 2", "a run has the state 'dune'"),
        ("UPDATE cohorts SET seconds = '{}' WHERE id = 1", "record 1 of cohorts does not match"),
        ("DELETE FROM runs WHERE rowid = 4", "3 finished runs are left, but 4 were stored"),
        ("DELETE FROM cohorts WHERE id = 2", "4 finished runs are left, but 2 were stored"),
    ],
)
def test_changed_records_are_refused(folder, statement, message):
    change(folder, statement)
    with pytest.raises(InvalidRequest, match=f"cannot use .*{message}.*restore it from a copy"):
        run_sweep(REQUEST, folder)


def test_a_store_with_missing_rows_is_not_exported(folder, monkeypatch, capsys):
    change(folder, "DELETE FROM captured WHERE id = 3")
    monkeypatch.setattr(sys, "argv", ["pidlab", "export", str(folder), "--out", str(folder / "rows.csv")])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert "rows): restore it from a copy" in capsys.readouterr().err
    assert not (folder / "rows.csv").exists()


def test_a_reader_may_be_dropped_after_its_store_is_closed(folder):
    store = Store(folder / "results.sqlite", reading=True)
    losses = store.losses()
    next(losses)
    store.close()
    losses.close()  # an exception here would be printed when the reader is deleted


def test_rows_of_a_store_without_checksums_must_be_numbers(folder):
    change(folder, "UPDATE runs SET checksum = NULL, row_checksum = NULL")
    change(folder, "UPDATE captured SET captured = 'much' WHERE id = 3")
    with pytest.raises(InvalidRequest, match="has a value that is not a number"):
        run_sweep(REQUEST, folder)


def test_resuming_in_another_environment_is_reported(tmp_path, monkeypatch):
    folder = tmp_path
    with monkeypatch.context() as patch:
        patch.setattr(cohort_module, "environment", lambda _: "torch 1.0, AVX")
        run_sweep(replace(REQUEST, objectives=("untrained",)), folder)
    notes, progress = [], Silent()
    monkeypatch.setattr(progress, "note", notes.append, raising=False)
    result = run_sweep(REQUEST, folder, progress=progress)
    here = run_module.environment("cpu")
    assert notes[0].startswith(f"2 finished runs were computed with torch 1.0, AVX, new runs use {here}")
    assert result.record["environments"] == {"torch 1.0, AVX": 2, here: 2}
