"""Tests of estimators of mutual information as an experiment of a study, and of their figure."""

import math

import numpy as np
import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.plots.estimation import estimation_figure
from pidlab.studies.folders import NamedStudy
from pidlab.studies.run_study import run_study
from pidlab.studies.schema import read_study

TEXT = """\
title = "Are the estimators right?"
[profiles.quick]
seeds = 2
steps = 2
[[estimation]]
dimensions = [1, 3]
nats = [0.5, 1]
hidden = 8
batch = 8
[[figure]]
name = "estimates"
kind = "estimation"
[[claim]]
claim = 'value(column="estimate", estimator="nce", critic="exact") <= 3 everywhere'
source = "log2 8"
[[claim]]
claim = 'value(column="jeffreys_nats", estimator="nce", critic="exact") >= 1.7 at dimension=1, nats=0.5'
source = "e - 1"
"""


def study(path, text=TEXT):
    path.write_text(text)
    return NamedStudy("estimates", path, read_study(path))


def test_a_study_runs_resumes_and_states_bits_and_nats(tmp_path, monkeypatch):
    named = study(tmp_path / "estimates.toml")
    first = run_study(named, "quick", tmp_path / "runs", tmp_path / "figures")
    assert [claim.met for claim in first.claims] == [True, True]
    table = pd.read_csv(tmp_path / "figures/estimates/estimation/results.csv")
    assert len(table) == 2 * 2 * 2 * 5
    for name in ("truth", "jeffreys", "estimate"):
        np.testing.assert_allclose(table[name] * math.log(2), table[f"{name}_nats"])
    assert (tmp_path / "figures/estimates/estimates.png").is_file()

    def fails(*_, **__):
        raise AssertionError("a finished part was computed again")

    monkeypatch.setattr("pidlab.validation.estimators.estimate", fails)
    again = run_study(named, "quick", tmp_path / "runs", tmp_path / "figures")
    assert [claim.met for claim in again.claims] == [True, True]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("nats = [0.5, 1]", "nats = [0]", "greater than 0"),
        ("hidden = 8", "hiden = 8", "did you mean 'hidden'"),
        ("dimension=1, nats=0.5", "dimension=2, nats=0.5", "dimension = 2.0 is not computed, only 1, 3"),
        ('estimator="nce", critic="exact") <= 3', 'estimator="cna", critic="exact") <= 3', "not computed"),
    ],
)
def test_invalid_studies_are_refused(old, new, says, tmp_path):
    assert old in TEXT
    with pytest.raises(InvalidRequest, match=says):
        study(tmp_path / "estimates.toml", TEXT.replace(old, new))


def rows(dimensions, levels):
    return pd.DataFrame(
        [
            {"dimension": d, "nats": nats, "estimator": estimator, "critic": critic, "seed": seed}
            | {"truth": nats / math.log(2), "jeffreys": 3 * nats, "estimate": nats + seed}
            for d in dimensions
            for nats in levels
            for estimator, critic in (("nce", "exact"), ("nce", "trained"), ("club", "trained"))
            for seed in (0, 1, 2)
        ]
    )


def test_the_figure_has_a_panel_per_dimension_with_means_over_seeds():
    figure, shown = estimation_figure(rows((20, 50), (2.0, 4.0)))
    assert [panel.get_title() for panel in figure.axes] == ["20 dimensions", "50 dimensions"]
    np.testing.assert_allclose(shown["mean"], shown["nats"] + 1)
    lines = [container.lines[0] for container in figure.axes[0].containers]
    np.testing.assert_allclose([line.get_ydata() for line in lines], [[3.0, 5.0]] * 3)


def test_the_figure_of_one_information_has_the_dimension_as_its_axis():
    figure, _ = estimation_figure(rows((1, 10, 100), (2.32,)))
    (panel,) = figure.axes
    assert panel.get_xlabel() == "dimension of Z"
    np.testing.assert_allclose(panel.containers[0].lines[0].get_xdata(), [1, 10, 100])
