"""`pidlab decompose`, `truth` and `list` as typed in a shell."""

import json
import sys

import numpy as np
import pytest

from pidlab.cli import main
from pidlab.info import MEASURES, gate, gates

CONTRACT = ["redundant", "unique1", "unique2", "synergy", "total", "mi1", "mi2", "co_information", "gap"]
CONTRACT += ["measure", "how"]
AND = "x1,x2,y,p\nno,0,0,3\nno,1,0,3\nyes,0,0,3\nyes,1,1,3\n"


@pytest.fixture
def pidlab(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


def test_json_has_exactly_the_keys_of_the_contract(pidlab):
    code, out, err = pidlab("decompose", "and", "--measure", "imin", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == CONTRACT
    assert document["redundant"] == pytest.approx(0.311278, abs=1e-6)
    assert document["measure"] == "imin"


def test_broja_is_the_default_measure(pidlab):
    pytest.importorskip("pidlab.info.broja")
    _, out, _ = pidlab("decompose", "and", "--json")
    document = json.loads(out)
    assert list(document) == CONTRACT
    assert document["measure"] == "broja"
    assert document["synergy"] == pytest.approx(0.5, abs=1e-8)
    assert document["gap"] <= 1e-9


@pytest.mark.parametrize("what", ["and", "xor", "erase"])
def test_tables_fit_80_columns(pidlab, what):
    pytest.importorskip("pidlab.info.broja")
    code, out, _ = pidlab("decompose", what, "--measure", "sx")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(f"{what}: {gates()[what]}")
    assert all(name in out for name in MEASURES)
    assert "-0.000000" not in out
    assert "I(X1;Y|X2) = U1 + S" in out


def test_counts_need_normalize(pidlab, tmp_path):
    (tmp_path / "and.csv").write_text(AND)
    code, out, err = pidlab("decompose", "and.csv", "--measure", "mmi", "--json")
    assert (code, out) == (2, "")
    assert "and.csv: probabilities sum to 12" in err
    assert "--normalize" in err
    code, out, _ = pidlab("decompose", "and.csv", "--measure", "mmi", "--json", "--normalize")
    assert code == 0
    assert json.loads(out)["total"] == pytest.approx(0.811278, abs=1e-6)


def test_samples_have_a_bias_correction_and_a_null(pidlab, tmp_path):
    cells = np.random.default_rng(0).choice(8, 200, p=gate("and").ravel())
    rows = "".join(f"{x1},{x2},{y}\n" for x1, x2, y in zip(*np.unravel_index(cells, (2, 2, 2)), strict=True))
    (tmp_path / "s.csv").write_text("x1,x2,y\n" + rows)
    code, out, _ = pidlab("decompose", "s.csv", "--samples", "--measure", "imin", "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document)[: len(CONTRACT)] == CONTRACT
    assert document["samples_per_cell"] == 200 / 8
    assert document["corrected"]["synergy"] == pytest.approx(0.5, abs=0.1)
    assert document["null_high"]["synergy"] < 0.1
    assert document["p_value"]["synergy"] < 0.05
    pytest.importorskip("pidlab.info.broja")
    code, out, _ = pidlab("decompose", "s.csv", "--samples")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "200 samples, 25 per cell" in out


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_plot_writes_a_figure(pidlab, tmp_path, suffix):
    pytest.importorskip("pidlab.info.broja")
    code, out, err = pidlab("decompose", "xor", "--measure", "sx", "--json", "--plot", f"xor.{suffix}")
    assert code == 0
    assert json.loads(out)["redundant"] < 0
    assert err == f"drew xor.{suffix}\n"
    assert (tmp_path / f"xor.{suffix}").stat().st_size > 1000
    code, _, err = pidlab("decompose", "xor", "--plot", f"nowhere/xor.{suffix}")
    assert code == 2
    assert "cannot be written" in err


def test_truth_compares_design_and_solver(pidlab):
    pytest.importorskip("pidlab.info.broja")
    arguments = ["truth", "--redundant", ".5", "--unique", ".3", "--synergy", "1"]
    code, out, _ = pidlab(*arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document) == [*CONTRACT, "solver"]
    assert (document["redundant"], document["how"]) == (0.5, "design")
    for name in CONTRACT[:8]:
        assert document["solver"][name] == pytest.approx(document[name], abs=1e-8)
    code, out, _ = pidlab(*arguments)
    assert max(map(len, out.splitlines())) <= 80
    assert "solver" in out


def test_truth_reports_a_law_too_large_for_the_solver(pidlab):
    code, out, err = pidlab("truth", "--redundant", "3", "--unique", "2", "--json")
    assert code == 0
    assert list(json.loads(out)) == CONTRACT
    assert "too many to assemble" in err


def test_gates_and_measures_are_listed(pidlab):
    _, out, _ = pidlab("list", "gates", "--json")
    assert {entry["name"]: entry["about"] for entry in json.loads(out)} == dict(gates())
    _, out, _ = pidlab("list", "measures", "--json")
    assert [entry["name"] for entry in json.loads(out)] == list(MEASURES)
    _, out, _ = pidlab("list", "measures")
    assert "non-negative, additive" in out
