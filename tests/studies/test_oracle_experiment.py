"""Tests of the oracle experiment in a study."""

from pathlib import Path

import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.studies import oracle as experiment
from pidlab.studies.folders import NamedStudy
from pidlab.studies.oracle_experiment import ORACLE_COLUMNS as COLUMNS
from pidlab.studies.run_study import run_study
from pidlab.studies.schema import read_study

pytestmark = pytest.mark.usefixtures("few_rows")

TINY = '''\
title = "Does anything happen in two steps?"
[profiles.quick]
seeds = 2
steps = 2
[[oracle]]
name = "task"
views = "task"
objectives = ["cross", "comm( terms = 'joint' )"]
representations = ["R+U", "R+U+S"]
regression = 2
batches = 2
batch = 16
hidden = 8
[oracle.profiles.quick]
fitting = 3
[[oracle]]
name = "noise"
views = "noise"
objectives = ["cross"]
representations = ["R"]
regression = 2
batches = 2
batch = 16
hidden = 8
[[figure]]
name = "losses"
kind = "oracle"
[[claim]]
claim = """value(column=loss, objective=cross, representation="R+U+S")
  < 100 * value(column=loss, objective=cross, representation="R+U")"""
source = "arithmetic"
sweep = "task"
[[claim]]
claim = """value(column=captured_synergy, objective="comm(terms='joint')",
  representation="warm, trained") >= 0.9"""
source = "test"
sweep = "task"
[[claim]]
claim = """value(column=captured_synergy, objective="comm(terms='joint')",
  representation="R+U+S, own fusion") == 0.5 within 0.01"""
source = "the constant above"
sweep = "task"
'''


@pytest.fixture(autouse=True)
def without_probes(monkeypatch):
    """Replace the probes, which have their own tests."""
    row = {"headline": True, "readout": "z12", "captured": 0.5}
    terms = ("redundant", "unique1", "unique2", "synergy")
    monkeypatch.setattr(
        experiment, "capture_cohort", lambda _, gs, *__: [[{**row, "term": t} for t in terms] for _ in gs]
    )


class Notes:
    """A progress object that collects notes."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def named(path, text=TINY):
    path.write_text(text)
    return NamedStudy("tiny", path, read_study(path))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_with_oracles_runs_and_resumes(tmp_path):
    study, notes = named(tmp_path / "tiny.toml"), Notes()
    done = run_study(study, "quick", tmp_path / "runs", tmp_path / "figures", progress=notes)
    assert [one.met for one in done.claims] == [True, False, True]
    assert [one.points[0].seeds for one in done.claims] == [2, 2, 2]
    assert notes.lines[0] == "cross, oracles: 4 runs"
    task = pd.read_csv(tmp_path / "figures/tiny/task/results.csv")
    assert tuple(task) == COLUMNS
    # R+U, R+U+S, scratch, warm, and trained; CoMM also with its own fusion; two seeds
    assert len(task) == 2 * (5 + 6)
    shown = pd.read_csv(tmp_path / "figures/tiny/losses.csv")
    assert set(shown["views"]) == {"task", "noise"}
    assert shown["seeds"].eq(2).all()
    mean = task[(task["objective"] == "cross") & (task["representation"] == "scratch")]["loss"].mean()
    at = (shown["objective"] == "cross") & (shown["representation"] == "scratch") & (shown["views"] == "task")
    assert shown.loc[at, "mean"].item() == pytest.approx(mean)

    first, again = contents(tmp_path / "figures"), Notes()
    run_study(study, "quick", tmp_path / "runs", tmp_path / "figures", progress=again)
    assert again.lines == []
    assert contents(tmp_path / "figures") == first


def test_the_most_specific_setting_is_used(tmp_path):
    specification = named(tmp_path / "tiny.toml").study.specification
    assert specification("quick")["task"] == {
        **{"generator": "atoms", "objectives": ["cross", "comm(terms='joint')"]},
        **{"representations": ["R+U", "R+U+S"], "regression": 2, "fitting": 3, "batches": 2},
        **{"seeds": 2, "steps": 2, "probes": "quick", "batch": 16, "hidden": 8, "views": "task"},
    }
    assert specification("laptop")["task"]["fitting"] is None
    assert specification("laptop")["task"]["seeds"] == 10
    assert specification("quick")["noise"]["views"] == "noise"


def test_a_loss_that_is_not_finite_fails_only_its_objective(tmp_path, monkeypatch):
    real = experiment.oracle

    def fails(objectives, **options):
        if objectives == ["cross"]:
            raise FloatingPointError("cross: the loss is not finite from step 0 on")
        return real(objectives, **options)

    monkeypatch.setattr("pidlab.studies.oracle.oracle", fails)
    text = TINY.replace('name = "noise"', 'name = "noise"\nlayers = 1').replace(
        'objectives = ["cross"]', 'objectives = ["simclr-cross"]'
    )
    done = run_study(named(tmp_path / "tiny.toml", text), "quick", tmp_path / "runs", tmp_path / "figures")
    assert done.failures == {"task": {"cross": "cross: the loss is not finite from step 0 on"}}
    assert [one.met for one in done.claims] == [False, False, True]
    assert "not finite" in done.claims[0].failure


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("regression = 2", "regresion = 2", "did you mean 'regression'"),
        ("steps = 2\n[[oracle]]", "steps = 2\n[[oracle]]\npoints = 3", "unknown key 'points'"),
        ('"R+U", "R+U+S"]', '"R+U", "R+T"]', "'R\\+U\\+S' is not computed"),
        ('representation="R+U+S")', 'representation="scrach")', "'scrach' is not computed"),
        ('representations = ["R"]', 'representations = ["R+T"]', "representation 'R\\+T'"),
        ('views = "noise"', 'views = "magic"', "magic"),
        ('objectives = ["cross"]', 'objectives = ["untrained"]', "no parameters outside its encoders"),
        ('objectives = ["cross"]', 'objectives = ["cros"]', "did you mean 'cross'"),
        ('name = "noise"', 'name = "noise"\ngenerator = "gate(\'and\')"', "generator 'gate': has no oracle"),
        ('name = "noise"', 'name = "noise"\ndim = 1', "dim = 1"),
    ],
)
def test_invalid_studies_are_refused_before_training(tmp_path, monkeypatch, old, new, says):
    assert old in TINY
    monkeypatch.setattr(experiment, "train", None)
    with pytest.raises(InvalidRequest, match=says):
        run_study(
            named(tmp_path / "tiny.toml", TINY.replace(old, new, 1)), "quick", tmp_path / "runs", Path()
        )
