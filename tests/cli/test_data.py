import errno
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from feature_bank_files import write_banks

from pidlab.cli import main
from pidlab.generators import generators

BIG = 10**9


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a command; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run_(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run_


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "atoms", "--samples", str(2**63), "--out", "a.npz"),
        ("generate", "atoms", "--samples", "1" + "0" * 400, "--out", "a.npz"),
        ("generate", "gate('and')", "--samples", str(10**12), "--out", "a.npz"),
        ("picture", "trifeature", "--samples", str(BIG), "--out", "a.png"),
        ("truth", "--generator", f"atoms(width={BIG})"),
        ("truth", "--generator", f"atoms(depth={BIG**3})"),
        ("truth", "--generator", f"three(width={BIG})"),
        ("truth", "--generator", f"gate('and', width={BIG})"),
        ("truth", "--generator", f"factorcl(width={BIG * 1000})"),
        ("truth", "--generator", f"liang2023(lift={BIG * 1000})"),
        ("truth", "--generator", f"disentangledssl(hidden={BIG * 1000})"),
        ("truth", "--generator", f"synib(width={BIG})"),
        ("truth", "--generator", f"trifeature(size={BIG})"),
        ("truth", "--generator", "atoms(width=1" + "0" * 400 + ")"),
        ("truth", "--generator", "atoms(unique1=1" + "0" * 400 + ")"),
        ("truth", "--generator", "atoms(world=1e300)"),
    ],
)
def test_requests_beyond_the_memory_are_refused_in_one_line(run, tmp_path, arguments):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 400
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_file(run, tmp_path, monkeypatch):
    def savez(file, **_):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    code, _, err = run("generate", "gate('and')", "--samples", "10", "--out", "a.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert "No space left" in err

    def save(_, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pidlab.plots.style.save", save)
    code, _, err = run("picture", "trifeature", "--samples", "2", "--out", "a.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "No space left" in err
    assert list(tmp_path.iterdir()) == []


def test_a_failing_plug_in_is_reported_and_the_others_are_listed(run, monkeypatch):
    def load():
        raise ImportError("no module named 'missing'")

    points = [SimpleNamespace(name="bad", value="bad:Bad", load=load)]
    monkeypatch.setattr("pidlab.registry.entry_points", lambda group: points)
    generators.cache_clear()
    try:
        code, out, err = run("list", "generators")
        assert code == 0
        assert "atoms" in out
        assert "warning: the plug-in 'bad' cannot be loaded: ImportError" in err
        code, out, err = run("truth", "--generator", "bad")
        assert (code, err.count("\n")) == (2, 1)
        assert "the plug-in of generator 'bad' cannot be loaded" in err
    finally:
        generators.cache_clear()


def test_plant_writes_pairs_with_the_bounds_of_their_truth(tmp_path, run):
    write_banks(tmp_path / "banks.npz")
    plant = ("plant", "banks.npz", "--unique", "0.5", "--out", "pairs.npz")
    code, out, _ = run(*plant, "--samples", "300", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["arrays"]["x1"] == [300, 6]
    assert document["truth"]["unique1"] == 0.5
    low, high = document["truth"]["bounds"]["unique1"]
    assert low < 0.5 < high
    assert document["truth"]["targets"]["redundant"]["low"]["x1x2"] < 1.0
    rows = np.load("pairs.npz")
    names = rows["factor_names"].tolist()
    classes = np.load("banks.npz")["c1"][rows["factors"][:, names.index("row1")].astype(int)]
    assert len(set(classes)) <= 8
    code, _, err = run(*plant)
    assert (code, err.count("\n")) == (2, 1)
    assert "the file exists" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unique", "0..1"], "plant takes one number; ranges are for sweep"),
        (["--redundant", "2"], "has 16 symbols"),
        (["--split", "all"], "unknown split 'all'"),
        (["--law", "modular"], "law = 'modular'"),
    ],
)
def test_pairs_that_cannot_be_planted_are_refused_in_one_line(tmp_path, run, arguments, message):
    write_banks(tmp_path / "banks.npz")
    code, _, err = run("plant", "banks.npz", "--out", "pairs.npz", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "pairs.npz").exists()


def test_truth_shows_the_bounds(tmp_path, run):
    write_banks(tmp_path / "banks.npz")
    truth = ("truth", "--generator", "planted('banks.npz')")
    code, out, _ = run(*truth, "--json")
    assert code == 0
    document = json.loads(out)
    low, high = document["bounds"]["redundant"]
    assert 0 <= low < high == document["redundant"] == 1.0
    code, out, _ = run(*truth)
    assert (code, "bounds" in out) == (0, True)


def test_truth_of_many_modalities_shows_the_sets_that_add_information(run):
    code, out, _ = run("truth", "--generator", "parity(4, reliability1=0.5, reliability=0.9)")
    assert code == 0
    header = next(line for line in out.splitlines() if "target" in line)
    assert [name.strip() for name in header.split("┃")[3:-1]] == ["X1", "X2,X3,X4", "X1,X2,X3,X4"]
    assert "each set that has more than its subsets" in " ".join(out.split())
