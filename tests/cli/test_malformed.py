"""Requests that are wrong, from a file, and results that are damaged: a line, a code, nothing touched."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pidlab.cli import main

LISTED = Path(__file__).with_name("malformed.txt").read_text(encoding="utf-8").splitlines()
MALFORMED = [line.split(" => ", 1) for line in LISTED if line and not line.startswith("#")]
MINE = """
import torch
answer = 42
class Mine(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
    def forward(self, batch):
        return self.encoders[0](batch.x1).sum()
"""


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Types a command; gives its code and what it said on stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def type_(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return type_


def accepted(*_, **__):
    raise AssertionError("a malformed request was accepted")


def test_the_list_has_enough_requests():
    asked = [arguments for arguments, _ in MALFORMED]
    assert len(set(asked)) == len(asked) >= 150


@pytest.mark.parametrize(("arguments", "says"), MALFORMED, ids=[a for a, _ in MALFORMED])
def test_malformed_requests_are_refused_in_one_line(typed, tmp_path, monkeypatch, arguments, says):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("class Loss(:")
    (tmp_path / "text.csv").write_text("this is no table")
    for name in ("bytes.npy", "bytes.npz", "bytes.json"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    monkeypatch.setattr("pidlab.sweeps.run_sweep", accepted)
    before = contents(tmp_path)
    code, out, err = typed(*(argument.replace("~", " ") for argument in arguments.split(" ")))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert contents(tmp_path) == before


SWEEP = "sweep --synergy 0 --objective untrained --seeds 1 --steps 1 --batch 16 --probes quick --device cpu"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pidlab", *SWEEP.split(), "--out", str(directory)])
        with pytest.raises(SystemExit):
            main()
    with closing(sqlite3.connect(directory / "results.sqlite")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (directory / "results.sqlite").read_bytes()


# A page of SQLite has 4096 bytes; the first holds the identity and the tables' definitions.
CUTS = (1, 50, 99, 100, 512, 4095, 4096, 4097, 8192, 12288)
FLIPS = (0, 5, 15, 16, 18, 28, 44, 47, 56, 60, 63, 68, 71, 100, 101, 103, 105, 108, 110)


@pytest.mark.parametrize(
    ("kind", "at"), [("cut", n) for n in CUTS] + [("flip", n) for n in FLIPS] + [("nothing", 0)]
)
@pytest.mark.parametrize("command", [f"{SWEEP} --out there", "status there", "export there"])
def test_damaged_results_are_refused_and_not_changed(typed, tmp_path, monkeypatch, sound, command, kind, at):
    data = bytearray(sound)
    if kind == "cut":
        del data[at:]
    elif kind == "flip":
        data[at] ^= 0xFF
    file = tmp_path / "there" / "results.sqlite"
    file.parent.mkdir()
    file.write_bytes(data)
    monkeypatch.setattr("pidlab.sweeps.execute._run_cohort", accepted)
    code, _, err = typed(*command.split())
    if code == 0:  # the bytes stand for nothing that is read
        assert kind != "cut"
        assert "error" not in err
    else:
        assert code == 2
        assert kind != "nothing"
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert file.read_bytes() == data
