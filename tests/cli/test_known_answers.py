"""Parts of the examination replace their own rows and leave the others, and what fails is said."""

import json

import pandas as pd
import pytest

from pidlab.cli import main
from pidlab.cli.validation import estimators_faults, estimators_markdown


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pidlab", "known-answers", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def probed(level, within):
    row = {"level": level, "case": "mod3", "readout": "z12", "term": "synergy", "truth": 1.2, "captured": 1.1}
    row |= {"low": 1.09, "high": 1.11, "probe": "mlp", "headline": True, "converged": False, "excess": 0.0}
    return pd.DataFrame([row | {"tolerance": 0.03, "within": within}])


def estimated(name, error):
    row = {"task": "1v1", "estimator": name, "truth": 0.5, "estimate": 0.5 + error, "low": 0.4, "high": 0.6}
    row |= {"error": error, "least": -0.07, "most": 0.07, "within": abs(error) < 0.07, "above": False}
    return pd.DataFrame([row])


def test_parts_replace_their_own_rows_only(monkeypatch, tmp_path, capsys):
    within = {"quick": False, "exam": True}
    monkeypatch.setattr(
        "pidlab.validation.examination.examine", lambda level, seed, cases: probed(level, within[level])
    )
    out = ("--out", str(tmp_path))
    assert run(monkeypatch, "--part", "exam", *out) == 0
    assert run(monkeypatch, "--part", "quick", "--case", "mod3", *out) == 0
    assert pd.read_csv(tmp_path / "table.csv")["level"].tolist() == ["quick", "exam"]
    assert pd.read_csv(tmp_path / "levels.csv")["within"].tolist() == [0, 1]
    within["exam"] = False
    capsys.readouterr()
    assert run(monkeypatch, "--part", "exam", *out, "--json") == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)["outside"]) == 1
    assert "mod3 z12 synergy: 1.1000 for 1.2000 ± 0.030, flagged" in said.err
    assert len(pd.read_csv(tmp_path / "table.csv")) == 2
    parts = json.loads((tmp_path / "provenance.json").read_text())["parts"]
    assert set(parts) == {"quick", "exam"}
    assert parts["quick"]["cases"] == ["mod3"]
    assert "quick" in parts["quick"]["command"]


def test_coverage_outside_of_what_95_percent_allow_is_a_fault(monkeypatch, tmp_path, capsys):
    rates = {"case": "awgn", "readout": "z1", "term": "unique1", "truth": 0.5, "replicates": 400}
    rows = pd.DataFrame([rates | {"probe": "exact posterior"}, rates | {"probe": "linear"}])
    for exact, code in ((0.95, 0), (0.9, 1), (0.99, 1)):
        monkeypatch.setattr(
            "pidlab.validation.examination.coverage",
            lambda replicates, seed, held=exact: rows.assign(coverage=[held, 0.1]),
        )
        assert run(monkeypatch, "--part", "coverage", "--out", str(tmp_path)) == code
        said = capsys.readouterr().out
        assert (f"awgn z1 unique1: {exact:.3f} of 400 intervals" in said) == bool(code)


def test_estimators_are_tabled_and_only_one_is_gated(monkeypatch, tmp_path, capsys):
    errors = {"infonce": 0.01, "cca": -0.3}
    monkeypatch.setattr(
        "pidlab.validation.estimator_tasks.examine_estimators",
        lambda names, seed, say: pd.concat([estimated(name, errors[name]) for name in names]),
    )
    out = ("--part", "estimators", "--out", str(tmp_path))
    assert run(monkeypatch, *out, "--estimator", "cca") == 0
    assert run(monkeypatch, *out, "--estimator", "infonce") == 0
    table = (tmp_path / "estimators.md").read_text()
    assert "| 1v1 | 0.500 | -0.070 … +0.070 | 0.510 [0.400, 0.600] ✓ | 0.200 [0.400, 0.600] ✗ |" in table
    errors["infonce"] = 0.2
    assert run(monkeypatch, *out, "--estimator", "infonce") == 1
    assert "outside its gate: infonce on 1v1" in capsys.readouterr().out


def test_tasks_without_a_gate_have_no_verdict():
    table = estimated("infonce", -0.5).assign(within=None, least=float("nan"), most=float("nan"))
    assert estimators_faults(table) == []
    assert "| 1v1 | 0.500 |  | 0.000 [0.400, 0.600] |" in estimators_markdown(table)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--part", "exams"), "did you mean 'exam'"),
        (("--part", "quick", "--case", "al"), "did you mean 'all'"),
        (("--part", "estimators", "--estimator", "kgs"), "did you mean 'ksg'"),
        (("--part", "coverage", "--replicates", "1"), "1 replicates"),
    ],
)
def test_wrong_requests_are_refused(monkeypatch, tmp_path, capsys, arguments, why):
    assert run(monkeypatch, *arguments, "--out", str(tmp_path)) == 2
    assert why in capsys.readouterr().err
