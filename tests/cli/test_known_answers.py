"""`pidlab known-answers`: parts replace their own rows only, and violated limits are reported."""

import json

import pandas as pd
import pytest

from pidlab.cli import main


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pidlab", "known-answers", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code or 0


def probed(level, within):
    row = {"level": level, "case": "mod3", "readout": "z12", "term": "synergy", "truth": 1.2, "captured": 1.1}
    row |= {"low": 1.09, "high": 1.11, "probe": "mlp", "headline": True, "converged": False, "excess": 0.0}
    return pd.DataFrame([row | {"tolerance": 0.03, "within": within}])


def test_parts_replace_their_own_rows_only(monkeypatch, tmp_path, capsys):
    within = {"quick": False, "exam": True}
    monkeypatch.setattr(
        "pidlab.validation.examination.examine",
        lambda level, seed, cases, workers: probed(level, within[level]),
    )
    out = ("--out", str(tmp_path))
    assert run(monkeypatch, "--part", "exam", *out) == 0
    assert run(monkeypatch, "--part", "quick", "--case", "mod3", *out) == 0
    assert pd.read_csv(tmp_path / "table.csv")["level"].tolist() == ["quick", "exam"]
    assert pd.read_csv(tmp_path / "levels.csv")["within"].tolist() == [0, 1]
    within["exam"] = False
    capsys.readouterr()
    assert run(monkeypatch, "--part", "exam", *out, "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["outside"]) == 1
    assert "mod3 z12 synergy: 1.1000 for 1.2000 ± 0.030, flagged" in captured.err
    assert len(pd.read_csv(tmp_path / "table.csv")) == 2
    parts = json.loads((tmp_path / "provenance.json").read_text())["parts"]
    assert set(parts) == {"quick", "exam"}
    assert parts["quick"]["cases"] == ["mod3"]
    assert "quick" in parts["quick"]["command"]


def test_coverage_outside_its_limits_is_reported(monkeypatch, tmp_path, capsys):
    rates = {"case": "awgn", "readout": "z1", "term": "unique1", "truth": 0.5, "replicates": 400}
    rows = pd.DataFrame([rates | {"probe": "exact posterior"}, rates | {"probe": "linear"}])
    for exact, code in ((0.95, 0), (0.9, 1), (0.99, 1)):
        monkeypatch.setattr(
            "pidlab.validation.examination.coverage",
            lambda replicates, seed, workers, rate=exact: rows.assign(coverage=[rate, 0.1]),
        )
        assert run(monkeypatch, "--part", "coverage", "--out", str(tmp_path)) == code
        out = capsys.readouterr().out
        assert (f"awgn z1 unique1: {exact:.3f} of 400 intervals" in out) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--part", "exams"), "did you mean 'exam'"),
        (("--part", "quick", "--case", "al"), "did you mean 'all'"),
        (("--workers", "0"), "--workers 0: must be at least 1"),
        (("--part", "coverage", "--replicates", "1"), "--replicates 1: must be at least 2"),
    ],
)
def test_invalid_requests_are_refused(monkeypatch, tmp_path, capsys, arguments, why):
    assert run(monkeypatch, *arguments, "--out", str(tmp_path)) == 2
    assert why in capsys.readouterr().err
