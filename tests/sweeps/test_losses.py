"""Loss curves, row counts and environments in the store."""

import dataclasses
import io
import json
import math
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
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.plots.kinds import draw
from pidlab.report import write_report
from pidlab.results.folder import read_results
from pidlab.results.means import RUN, TRAINED
from pidlab.results.tables import captured_table, to_markdown
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
    assert not shown["not_trained"].any()


def exported(folder, capsys, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["pidlab", "export", str(folder), *options])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (0, None)
    return capsys.readouterr().out


def flags(table):
    """Return the flag of each run by objective and seed; it must be the same in all of its rows."""
    assert (table.groupby("run")["trained"].nunique(dropna=False) == 1).all()
    once = table.drop_duplicates("run")
    values = [None if pd.isna(value) else bool(value) for value in once["trained"]]
    return dict(zip(zip(once["objective"], once["seed"], strict=True), values, strict=True))


# Loss curves of the runs of `cross` that a test writes into the store, and their flags.
NOISE = np.random.default_rng(0).normal(scale=0.1, size=100)
CURVES = {
    "learns": (np.linspace(3.0, 1.0, 100) + NOISE, True),
    "stays": (5.0 + NOISE, False),
    "falls to chance": (np.maximum(np.linspace(6.0, 0.0, 100), math.log(16)) + NOISE, False),
    "is too short": (np.linspace(3.0, 1.0, 6), None),
}


@pytest.mark.parametrize(("curve", "trained"), CURVES.values(), ids=CURVES)
def test_every_table_flags_runs_that_are_not_trained(folder, capsys, monkeypatch, curve, trained):
    keys = {run.seed: run.key for run in Runs(REQUEST) if run.objective == "cross"}
    before = (folder / "results.csv").read_text()
    steps = "json_set(specification, '$.training.steps', 100)"
    change(folder, f"UPDATE runs SET checksum = NULL, specification = {steps} WHERE key = '{keys[1]}'")
    change(folder, f"UPDATE runs SET losses = x'{pack_losses(curve).hex()}' WHERE key = '{keys[1]}'")
    wanted = {("untrained", 0): None, ("untrained", 1): None, ("cross", 0): None, ("cross", 1): trained}
    result = run_sweep(REQUEST, folder)
    assert flags(result.table) == flags(read_results(folder).table) == wanted
    rows = json.loads(exported(folder, capsys, monkeypatch, "--format", "json"))
    assert flags(pd.DataFrame(rows)) == wanted
    assert {row["trained"] for row in rows} == {None, trained}
    assert exported(folder, capsys, monkeypatch) == (folder / "results.csv").read_text()
    # No other number changes.
    others = [pd.read_csv(io.StringIO(text)).drop(columns="trained") for text in (before, open_csv(folder))]
    pd.testing.assert_frame_equal(*others)
    page, table = report(folder), captured_table(result.table)
    assert (">1 of 1<" in page, ">0 of 1<" in page) == (trained is True, trained is False)
    assert [row.trained for row in table.rows if row.objective == "cross"] == [
        "" if trained is None else f"{int(trained)} of 1"
    ]
    assert ("trained" in to_markdown(table).split()) is (trained is False)


def open_csv(folder):
    return (folder / "results.csv").read_text()


def report(folder):
    """Return the text of the report page."""
    return write_report(read_results(folder), folder).read_text()


def test_losses_and_their_figure_flag_runs_that_are_not_trained(folder, capsys, monkeypatch):
    key = next(run.key for run in Runs(REQUEST) if run.objective == "cross")
    steps = "json_set(specification, '$.training.steps', 100)"
    stuck = pack_losses(CURVES["stays"][0]).hex()
    change(
        folder,
        f"UPDATE runs SET checksum = NULL, specification = {steps}, losses = x'{stuck}' WHERE key = '{key}'",
    )
    losses = pd.read_csv(io.StringIO(exported(folder, capsys, monkeypatch, "--losses")), dtype={"run": str})
    assert flags(losses) == {("cross", 0): False, ("cross", 1): None}
    with closing(Store(folder / "results.sqlite", reading=True)) as store:
        figure, shown = draw("loss", read_losses(store))
    assert figure.axes[0].get_title().endswith("not trained: 1 of 2 seeds")
    assert shown["not_trained"].max() == 1


def test_runs_without_losses_have_an_empty_flag(folder):
    change(folder, "UPDATE runs SET checksum = NULL, losses = NULL")
    assert set(flags(run_sweep(REQUEST, folder).table).values()) == {None}


def test_an_older_table_without_the_flag_is_read(folder):
    path, record = folder / "results.csv", json.loads((folder / "provenance.json").read_text())
    pd.read_csv(path, dtype=str).drop(columns="trained").to_csv(path, index=False)
    del record["checksums"]
    (folder / "provenance.json").write_text(json.dumps(record))
    assert set(flags(read_results(folder).table).values()) == {None}


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
        assert list(read_losses(store).columns) == [*RUN, "step", "loss", *TERMS, TRAINED]


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
