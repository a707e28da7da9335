"""Tests of the examination of the probes as an experiment of a study."""

import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.studies.folders import NamedStudy
from pidlab.studies.known_answers import KnownAnswers
from pidlab.studies.run_study import run_study
from pidlab.studies.schema import Profiles, read_study

TEXT = """\
title = "Are the probes right?"
[[known_answers]]
levels = ["quick", "standard"]
cases = ["all", "noSyn"]
replicates = 5
[[figure]]
name = "exam"
kind = "known-answers"
[[claim]]
claim = 'captured() <= truth() + value(column="tolerance") everywhere'
source = "data processing"
[[claim]]
claim = 'captured(case=all, term=synergy, readout=z12, probe=linear) == 0.25 within 0.01 everywhere'
source = "the constants above"
[[claim]]
claim = 'captured(quantity=coverage, probe="exact posterior") >= 0.92 at level=coverage'
source = "the constants above"
"""


@pytest.fixture(autouse=True)
def computed(monkeypatch):
    """Replace the examination by constants; return the list of computed parts."""
    parts = []

    def examine(level, seed, cases, workers):
        parts.append(level)
        rows = [
            {"level": level, "case": case, "readout": readout, "term": term, "truth": 1.0, "probe": probe}
            | {"captured": 0.75 if probe == "mlp" else 0.25, "low": 0.2, "high": 0.8, "converged": None}
            | {"headline": probe == "mlp", "tolerance": 0.01, "within": None, "excess": 0.0}
            for case in cases
            for readout in ("z1", "z12")
            for term in ("redundant", "synergy")
            for probe in ("linear", "mlp")
        ]
        return pd.DataFrame(rows)

    def coverage(replicates, **_):
        parts.append("coverage")
        held = [("all", "z1", "redundant", 0.95), ("noSyn", "z12", "synergy", 0.9)]
        rows = [
            {"case": case, "readout": readout, "term": term, "truth": 0.5, "coverage": rate, "probe": probe}
            for case, readout, term, rate in held
            for probe in ("exact posterior", "linear")
        ]
        return pd.DataFrame(rows).assign(above=0.0, below=0.0, replicates=replicates)

    monkeypatch.setattr("pidlab.validation.examination.examine", examine)
    monkeypatch.setattr("pidlab.validation.examination.coverage", coverage)
    return parts


@pytest.fixture
def run(tmp_path):
    def run_(text=TEXT):
        path = tmp_path / "exam.toml"
        path.write_text(text)
        named = NamedStudy("exam", path, read_study(path))
        return run_study(named, "quick", tmp_path / "runs", tmp_path / "figures").claims

    return run_


def test_claims_are_judged_at_every_case_level_readout_and_term(run):
    bound, linear, covered = run()
    assert (len(bound.points), bound.met) == (2 * 2 * 2 * 2, True)
    assert (len(linear.points), linear.met) == (2, True)
    # Only the rows of the coverage; one of them is below the bound.
    assert [(p.at["case"], p.left, p.met) for p in covered.points] == [
        ("all", 0.95, True),
        ("noSyn", 0.9, False),
    ]


def test_only_missing_parts_are_computed(run, computed):
    run()
    assert computed == ["quick", "standard", "coverage"]
    run(TEXT.replace("replicates = 5", "replicates = 6"))
    assert computed[3:] == ["coverage"]
    run(TEXT.replace('"standard"]', '"exam"]'))
    assert computed[4:] == ["exam"]  # the coverage of the first run is still stored
    run(TEXT.replace('"all", ', '"all", "mod3", '))
    assert computed[5:] == ["quick", "standard", "coverage"]


def test_damaged_parts_are_computed_again(run, computed, tmp_path):
    run()
    first = (tmp_path / "figures/exam/known-answers/results.csv").read_bytes()
    files = sorted((tmp_path / "runs").rglob("*.csv.gz"))
    assert len(files) == 3
    for size, file in enumerate(files):
        file.write_bytes(file.read_bytes()[: size * 20])
    run()
    assert len(computed) == 6
    assert (tmp_path / "figures/exam/known-answers/results.csv").read_bytes() == first


def test_invalid_settings_are_refused(run, computed):
    with pytest.raises(InvalidRequest, match="unknown known case 'al': did you mean 'all'"):
        run(TEXT.replace('"all", ', '"al", '))
    with pytest.raises(InvalidRequest, match="case = 'noSin' is not computed"):
        run(TEXT.replace("case=all", "case=noSin"))
    with pytest.raises(InvalidRequest, match="should be greater than or equal to 2"):
        run(TEXT.replace("replicates = 5", "replicates = 1"))
    assert computed == []


def test_all_cases_are_examined_by_default():
    asked = KnownAnswers().specification(Profiles().of("laptop"))
    assert asked == {"levels": ["standard"], "replicates": 1000, "fits": 40, "seed": 0}
