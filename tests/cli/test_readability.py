"""`pidlab readability` as typed in a shell."""

import json

import pandas as pd
import pytest

from pidlab.cli import main

pytestmark = pytest.mark.usefixtures("few_rows")


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pidlab", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code or 0


def test_results_contain_the_objective_and_the_untrained_floor(monkeypatch, tmp_path, capsys):
    arguments = (
        "--objective",
        "cross",
        "--seeds",
        "1",
        "--steps",
        "5",
        "--probes",
        "quick",
        "--sigma",
        "0,1",
    )
    assert run(monkeypatch, "readability", *arguments, "--out", str(tmp_path), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "readability.csv")
    assert len(document["rows"]) == len(table)
    assert set(table["objective"]) == {"untrained", "cross"}
    assert list(table.columns)[:13] == [
        *("run", "objective", "seed", "readout", "term", "quantity", "truth"),
        *("captured", "low", "high", "probe", "headline", "converged"),
    ]
    assert list(table.columns)[-2:] == ["sigma", "rows"]
    assert set(table["sigma"]) == {0.0, 1.0}
    for name in ("readability.pdf", "readability.svg", "readability.png", "provenance.json"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--unique", "0..1"), "at one point"),
        (("--sigma", "-1"), "sigma -1"),
        (("--probes", "magic"), "unknown probes"),
    ],
)
def test_invalid_requests_are_refused_before_training(monkeypatch, tmp_path, capsys, arguments, why):
    options = ("--objective", "untrained", "--steps", "1", "--seeds", "1")
    assert run(monkeypatch, "readability", *options, *arguments, "--out", str(tmp_path)) == 2
    err = capsys.readouterr().err
    assert why in err
    assert "training" not in err
