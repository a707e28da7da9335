"""Tests of readability as an experiment of a study."""

import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.results.folder import read_results
from pidlab.studies.folders import NamedStudy
from pidlab.studies.run_study import run_study
from pidlab.studies.schema import read_study
from pidlab.sweeps.run_readability import train_and_probe

pytestmark = pytest.mark.usefixtures("few_rows")

TEXT = """\
title = "What survives noise?"
[profiles.quick]
batch = 16
hidden = 8
[[readability]]
axes = { dim = [2, 8] }
objectives = ["untrained", "cross"]
sigmas = [0, 1.6]
steps = 3
[[figure]]
name = "noise"
kind = "readability"
[[claim]]
claim = 'captured(objective=untrained, term=redundant, sigma=1.6) <= \
captured(objective=untrained, term=redundant, sigma=0) + 0.02 everywhere'
source = "data processing; the error of 4096 test rows is below 0.02 bits"
"""


def study(tmp_path, text=TEXT):
    path = tmp_path / "noisy.toml"
    path.write_text(text)
    return NamedStudy("noisy", path, read_study(path))


def test_a_study_is_probed_through_noise_and_resumes(tmp_path, monkeypatch):
    trained = []

    def counted(cohort, sigmas, parts):
        trained.append(cohort.objective)
        return train_and_probe(cohort, sigmas, parts)

    monkeypatch.setattr("pidlab.sweeps.run_readability.train_and_probe", counted)
    named, folders = study(tmp_path), (tmp_path / "runs", tmp_path / "figures")
    (claim,) = run_study(named, "quick", *folders).claims
    assert claim.met
    assert len(claim.points) == 2  # an argument for sigma leaves the widths as points
    rows = read_results(tmp_path / "figures/noisy/readability").table
    headlines = rows[rows["headline"]]
    assert headlines.groupby(["dim", "sigma", "objective", "term"]).size().eq(1).all()
    assert set(rows["sigma"]) == {0.0, 1.6}
    assert set(pd.read_csv(tmp_path / "figures/noisy/noise.csv")["dim"]) == {2, 8}
    assert trained == ["untrained", "cross"] * 2
    before = (tmp_path / "figures/noisy/readability/results.csv").read_bytes()
    run_study(named, "quick", *folders)
    assert len(trained) == 4
    assert (tmp_path / "figures/noisy/readability/results.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sigmas = [0, 1.6]", "sigmas = [-1]", "greater than or equal to 0"),
        ("steps = 3", "track = 3", "noise is added after training only"),
        ("sigma=1.6", "sigma=0.4", "sigma = 0.4 is not computed"),
    ],
)
def test_invalid_settings_are_refused_when_the_file_is_read(tmp_path, old, new, says):
    with pytest.raises(InvalidRequest, match=says):
        study(tmp_path, TEXT.replace(old, new))
