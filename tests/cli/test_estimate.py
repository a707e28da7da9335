"""`pidlab estimate`: bits from a user's arrays; invalid files are refused in one line."""

import json
import zipfile

import numpy as np
import pytest
import torch

from pidlab.cli import main
from pidlab.probes import finite_probes

ROWS = 600


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pidlab", "estimate", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Train MLPs for few steps; the tests below read their targets without."""
    monkeypatch.setattr(finite_probes, "MIN_STEPS", 60)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (5, ROWS))
    noise = 0.1 * rng.normal(size=(2, ROWS, 3))
    r, u, _, a, b = bits
    return {
        "z1": np.column_stack([r, u, a]) + noise[0],
        "z2": np.column_stack([r, 0 * r, b]) + noise[1],
        "y": np.column_stack([r, u, a ^ b]),
    }


def test_cross_fitted_bits_as_json(tmp_path, capsys, monkeypatch, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    code, out, _ = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    rows = json.loads(out)
    assert code == 0
    assert set(rows[0]) == {
        "target",
        "readout",
        "captured",
        "low",
        "high",
        "probe",
        "converged",
        "headline",
        "accuracy",
        "balanced_accuracy",
    }
    best = {(r["readout"], r["target"]): r["captured"] for r in rows if r["headline"]}
    assert len(best) == 9
    expected = {
        ("z1", 0): 1,
        ("z1", 1): 1,
        ("z1", 2): 0,
        ("z2", 0): 1,
        ("z2", 1): 0,
        ("z12", 0): 1,
        ("z12", 1): 1,
    }
    for key, bits in expected.items():
        assert best[key] == pytest.approx(bits, abs=0.03), key
    assert best["z12", 2] > 0.8  # an XOR needs more rows
    assert all(r["low"] <= r["captured"] <= r["high"] <= 1.01 for r in rows)


def test_only_the_test_rows_of_the_user_are_scored(tmp_path, capsys, monkeypatch, arrays):
    held = {f"{name}_test": values[450:] for name, values in arrays.items()}
    # The labels of the scored rows are noise, so that no probe can read them.
    held["y_test"] = np.random.default_rng(1).integers(0, 2, (150, 3))
    np.savez(tmp_path / "a.npz", **{n: v[:450] for n, v in arrays.items()}, **held)
    code, out, _ = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert code == 0
    assert all(r["captured"] < 0.02 for r in json.loads(out))


@pytest.mark.parametrize("given", ["z12", "z12_test"])
def test_z12_needs_z12_test_and_conversely(tmp_path, capsys, monkeypatch, arrays, given):
    held = {f"{name}_test": values for name, values in arrays.items()}
    fused = np.flip(np.concatenate([arrays["z1"], arrays["z2"]], axis=1), axis=1)
    np.savez(tmp_path / "a.npz", **arrays, **held, **{given: fused})
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert (code, out) == (2, "")
    assert "z12 and z12_test" in err


def test_the_text_calls_the_scores_a_lower_bound(tmp_path, capsys, monkeypatch, arrays):
    arrays["y"] = arrays["y"][:, 0]
    arrays["y"][: ROWS - 100] = 0
    np.savez(tmp_path / "a.npz", **arrays)
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.npz")
    assert code == 0
    assert "ground truth unknown" in out
    assert "a lower bound" in out
    assert "rarest class" in err


def broken(arrays, **changed):
    return {name: value for name, value in (arrays | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z2": None}, "no array 'z2'"),
        ({"z1": np.ones((5, 2))}, "5 rows"),
        ({"z1": np.full((ROWS, 3), np.nan)}, "not finite"),
        ({"z1": np.full((ROWS, 3), np.inf)}, "not finite"),
        ({"z1": np.float64(1)}, "shape"),
        ({"y": np.zeros(ROWS, dtype=int)}, "1 class"),
        ({"y": np.arange(ROWS)}, "has 1 rows; merge rare"),
        ({"y": np.linspace(0, 1, ROWS)}, "whole numbers"),
        ({"y": np.zeros((ROWS, 0), dtype=int)}, "expected class labels"),
        ({"y": np.where(np.arange(ROWS) < 300, np.inf, 0.0)}, "not finite"),
        (
            {"y": np.zeros(0, dtype=int), "z1": np.ones((0, 2)), "z2": np.ones((0, 2))},
            "expected class labels",
        ),
        ({"z1": np.ones((ROWS, 0))}, "numbers of shape (n, d)"),
        ({"z1": np.full((ROWS, 3), 1e200)}, "beyond float32"),
        ({"z1": np.zeros((ROWS, 3), dtype="M8[s]")}, "give numbers of shape"),
        ({"z1": np.array([{}] * ROWS, dtype=object)}, "never loaded"),
        ({"z1": np.array(["a"] * ROWS)[:, None]}, "give numbers of shape"),
        ({"y_test": np.zeros(5, dtype=int)}, "no 'z1_test'"),
        ({"groups": np.zeros(5)}, "groups: has shape (5,)"),
        ({"groups": np.arange(ROWS) % 3}, "groups: there are 3; give at least 5"),
    ],
)
def test_invalid_files_are_refused_in_one_line(tmp_path, capsys, monkeypatch, arrays, change, message):
    np.savez(tmp_path / "a.npz", **broken(arrays, **change))
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_files_that_are_not_archives_are_refused(tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "single.npy", np.ones(3))
    (tmp_path / "words.npz").write_text("hello")
    with zipfile.ZipFile(tmp_path / "zipped.npz", "w") as archive:
        for name in ("z1", "z2", "y"):
            archive.writestr(name, "no array")
    np.savez_compressed(tmp_path / "damaged.npz", z1=np.arange(1000))
    data = bytearray((tmp_path / "damaged.npz").read_bytes())
    data[100:120] = bytes(20)
    (tmp_path / "damaged.npz").write_bytes(data)
    for name in ("single.npy", "words.npz", "absent.npz", "zipped.npz", "damaged.npz"):
        code, _, err = run(capsys, monkeypatch, tmp_path / name)
        assert code == 2
        assert err.count("\n") == 1


def test_negative_seeds_are_refused(tmp_path, capsys, monkeypatch, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    code, _, err = run(capsys, monkeypatch, tmp_path / "a.npz", "--seed", "-1")
    assert (code, err) == (2, "error: --seed -1: must be at least 0\n")


def test_every_number_type_and_byte_order_is_read(tmp_path, capsys, monkeypatch, arrays):
    kinds = {"z1": np.longdouble, "z2": ">f4", "y": ">i2"}
    np.savez(tmp_path / "a.npz", **{name: values.astype(kinds[name]) for name, values in arrays.items()})
    code, out, _ = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert code == 0
    assert max(r["captured"] for r in json.loads(out)) > 0.99


def test_constant_columns_capture_nothing(tmp_path, capsys, monkeypatch, arrays):
    arrays["z1"] = np.ones((ROWS, 2))
    np.savez(tmp_path / "a.npz", **arrays)
    _, out, _ = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert all(abs(r["captured"]) < 0.01 for r in json.loads(out) if r["readout"] == "z1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-rows", "10"], "--max-rows 10: must be at least 1000"),
        (["--blocks"], "--blocks: the rows already have groups"),
    ],
)
def test_invalid_options_are_refused_in_one_line(tmp_path, capsys, monkeypatch, arrays, options, message):
    np.savez(tmp_path / "a.npz", **arrays, groups=np.arange(ROWS))
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.npz", *options, "--json")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_test_rows_of_one_class_are_refused_in_one_line(tmp_path, capsys, monkeypatch, arrays):
    arrays["y"] = arrays["y"][:, 0]
    held_out = {f"{name}_test": values[arrays["y"] == 1] for name, values in arrays.items()}
    np.savez(tmp_path / "a.npz", **arrays, **held_out)
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.npz", "--json")
    assert (code, out) == (2, "")
    assert "y_test: target 0 has only class 1" in err


def test_a_torch_file_gives_the_rows_of_the_same_npz_file(tmp_path, capsys, monkeypatch, arrays):
    few = {name: values[:200] for name, values in arrays.items()}
    few["y"] = few["y"][:, 0]
    np.savez(tmp_path / "a.npz", **few)
    torch.save({name: torch.as_tensor(values) for name, values in few.items()}, tmp_path / "a.pt")
    outputs = [run(capsys, monkeypatch, tmp_path / name, "--json") for name in ("a.npz", "a.pt")]
    assert outputs[0][0] == 0
    assert outputs[0] == outputs[1]
