"""`pidlab decompose`, `truth` and `list` as typed in a shell."""

import json
import sys
from pathlib import Path

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


def test_samples_have_a_bias_correction_and_intervals(pidlab, tmp_path):
    cells = np.random.default_rng(0).choice(8, 200, p=gate("and").ravel())
    rows = "".join(f"{x1},{x2},{y}\n" for x1, x2, y in zip(*np.unravel_index(cells, (2, 2, 2)), strict=True))
    (tmp_path / "s.csv").write_text("x1,x2,y\n" + rows)
    code, out, _ = pidlab("decompose", "s.csv", "--samples", "--measure", "imin", "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document)[: len(CONTRACT)] == CONTRACT
    assert document["samples_per_cell"] == 200 / 8
    assert document["corrected"]["synergy"] == pytest.approx(0.5, abs=0.1)
    assert 0.3 < document["low"]["synergy"] < 0.5 < document["high"]["synergy"] < 0.7
    assert document["p_value_total"] < 0.05
    pytest.importorskip("pidlab.info.broja")
    code, out, _ = pidlab("decompose", "s.csv", "--samples")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "200 samples, 25 per cell" in out


CASES = Path(__file__).parent / "files"


def test_counts_are_used_with_weights(pidlab):
    code, out, err = pidlab("decompose", str(CASES / "counts.csv"), "--samples", "--json")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "--weights count" in err
    code, out, _ = pidlab("decompose", str(CASES / "counts.csv"), "--samples", "--weights", "count", "--json")
    document = json.loads(out)
    assert (code, document["samples"]) == (0, 1000)
    assert document["synergy"] == pytest.approx(1.0, abs=1e-3)


def test_continuous_columns_need_bins(pidlab):
    code, out, err = pidlab("decompose", str(CASES / "continuous_200.csv"), "--samples", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--bins" in err
    code, out, _ = pidlab(
        "decompose", str(CASES / "continuous_200.csv"), "--samples", "--bins", "3", "--json"
    )
    assert (code, json.loads(out)["cells"]) == (0, 27)


def test_equal_copies_have_no_unique_information(pidlab):
    _, out, _ = pidlab("decompose", str(CASES / "equal_copies.csv"), "--samples", "--json")
    document = json.loads(out)
    assert document["low"]["unique1"] == document["low"]["unique2"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("thousands_unquoted.csv", "--normalize"), "line 2 has 5 fields, the header 4"),
        (("counts.csv", "--weights", "count"), "--weights count: only for samples; add --samples"),
        (("counts.csv", "--bins", "3"), "--bins 3: only for samples"),
        (("counts.csv", "--columns", "x1,x2"), "--columns x1,x2: expected three different names"),
        (("counts.csv", "--columns", "x1,x1,y"), "expected three different names"),
        (("equal_copies.csv", "--samples", "--columns", "x1,x2,z"), "no column z"),
        (("equal_copies.csv", "--samples", "--bins", "0"), "--bins 0: must be at least 2"),
    ],
)
def test_invalid_files_and_options_are_refused_in_one_line(pidlab, arguments, why):
    code, out, err = pidlab("decompose", str(CASES / arguments[0]), *arguments[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert why in err


def test_numbers_of_equal_value_are_one_symbol(pidlab):
    _, out, _ = pidlab("decompose", str(CASES / "int_float_mix.csv"), "--json")
    assert json.loads(out)["synergy"] == pytest.approx(1.0)


COVARIANCE = np.array([[1.0, 0.6, 0.8], [0.6, 1.0, 0.48], [0.8, 0.48, 1.0]])


def test_a_covariance_is_decomposed(pidlab, tmp_path):
    np.save(tmp_path / "cov.npy", COVARIANCE)
    code, out, _ = pidlab("decompose", "cov.npy", "--gaussian", "1,1,1", "--json")
    document = json.loads(out)
    assert (code, list(document), document["how"]) == (0, CONTRACT, "closed form")
    # I = -1/2 log2(1 - rho^2)
    assert document["mi1"] == pytest.approx(-0.5 * np.log2(1 - 0.36))
    assert document["unique2"] == pytest.approx(0.5 * np.log2(0.64 / 0.36))
    np.savetxt(tmp_path / "cov.csv", COVARIANCE, delimiter=",")
    assert json.loads(pidlab("decompose", "cov.csv", "--gaussian", "1,1,1", "--json")[1]) == document
    code, out, _ = pidlab("decompose", "cov.csv", "--gaussian", "1,1,1")
    assert (code, max(map(len, out.splitlines())) <= 80) == (0, True)


def test_rows_are_decomposed_under_a_gaussian_copula(pidlab, tmp_path):
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(3), COVARIANCE, 4000)
    # increasing transforms change no rank
    np.savetxt(tmp_path / "rows.csv", np.exp(rows), delimiter=",", header="y,x1,x2", comments="")
    code, out, _ = pidlab("decompose", "rows.csv", "--gaussian", "1,1,1", "--samples", "--json")
    document = json.loads(out)
    assert (code, document["samples"]) == (0, 4000)
    for term, truth in (("redundant", 0.3219), ("unique1", 0.0), ("unique2", 0.4150)):
        assert document["low"][term] - 1e-9 <= truth <= document["high"][term] + 1e-9
    code, out, _ = pidlab("decompose", "rows.csv", "--gaussian", "1,1,1", "--samples")
    assert (code, max(map(len, out.splitlines())) <= 80) == (0, True)


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        ("1,0\n0,1\n", ("1,1,1",), "covariance of shape (2, 2): dims (1, 1, 1) need shape (3, 3)"),
        ("1,0,0\n0,1,0\n0,0,0\n", ("1,1,1",), "variances must be positive"),
        ("1,0,x\n0,1,0\n0,0,1\n", ("1,1,1",), "line 1 has a field that is not a number"),
        ("1,0\n0,1,0\n", ("1,1,1",), "line 2 has 3 fields"),
        ("1,0,0\n0,1,0\n0,0,1\n", ("1,1",), "--gaussian 1,1: expected the sizes of Y, X1, X2"),
        ("1,0,0\n0,1,0\n0,0,1\n", ("1,1,0",), "--gaussian 1,1,0: expected the sizes"),
        ("1,0,0\n0,1,0\n0,0,1\n", ("1,1,1", "--bins", "3", "--samples"), "takes no --bins"),
        ("1,0,0\n0,1,0\n0,0,1\n", ("1,1,1", "--measure", "sx"), "--measure broja only"),
        ("1,0,0\n0,1,0\n0,0,1\n", ("1,1,1", "--samples"), "needs more rows than columns"),
        ("0,0,0\n" * 9, ("1,1,1", "--samples"), "column 1 has 1 distinct values in 9 rows"),
        ("nan,0,0\n" * 9, ("1,1,1", "--samples"), "row 1, column 1: not a finite number"),
        ("", ("1,1,1",), "holds no numbers; expected a matrix"),
    ],
)
def test_invalid_gaussian_requests_are_refused_in_one_line(pidlab, tmp_path, text, arguments, why):
    (tmp_path / "t.csv").write_text(text)
    code, out, err = pidlab("decompose", "t.csv", "--gaussian", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert why in err


def test_pointwise_terms_are_listed(pidlab):
    code, out, _ = pidlab("decompose", "and", "--measure", "sx", "--pointwise", "--json")
    document = json.loads(out)
    assert (code, len(document["pointwise"])) == (0, 4)
    for term in ("redundant", "unique1", "unique2", "synergy"):
        mean = sum(row["p"] * row[term] for row in document["pointwise"])
        assert mean == pytest.approx(document[term], abs=1e-12)
    code, out, _ = pidlab("decompose", "and", "--measure", "ccs", "--pointwise")
    assert (code, max(map(len, out.splitlines())) <= 80) == (0, True)
    code, _, err = pidlab("decompose", "and", "--pointwise")
    assert (code, "--measure sx or ccs" in err) == (2, True)


def test_three_sources_have_redundancy_and_union(pidlab, tmp_path):
    rows = "".join(f"{a},{b},{c},{a ^ b ^ c},1\n" for a, b, c in np.ndindex(2, 2, 2))
    (tmp_path / "parity.csv").write_text("x1,x2,x3,y,p\n" + rows)
    arguments = ("decompose", "parity.csv", "--sources", "3", "--measure", "mmi", "--normalize")
    code, out, _ = pidlab(*arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert [document[name] for name in ("redundancy", "union", "synergy", "total")] == pytest.approx(
        [0, 0, 1, 1]
    )
    assert pidlab(*arguments)[0] == 0
    law = np.zeros((2, 2, 2, 2))
    law[0, 0, 0, 0] = law[1, 1, 1, 1] = 0.5
    np.save(tmp_path / "copies.npy", law)
    _, out, _ = pidlab("decompose", "copies.npy", "--sources", "3", "--measure", "gk", "--json")
    assert json.loads(out)["redundancy"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("counts.csv", "--sources", "3", "--measure", "mmi"), "no column x3 or p"),
        (("counts.csv", "--sources", "3", "--measure", "dep"), "not defined for more than two sources"),
        (("counts.csv", "--sources", "9"), "--sources 9: must be 2, 3 or 4"),
        (("counts.csv", "--sources", "3", "--samples"), "takes only --measure"),
        (("and", "--sources", "3", "--measure", "mmi"), "unknown suffix"),
    ],
)
def test_invalid_requests_for_three_sources_are_refused(pidlab, arguments, why):
    path = str(CASES / arguments[0]) if "." in arguments[0] else arguments[0]
    code, out, err = pidlab("decompose", path, *arguments[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert why in err


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
