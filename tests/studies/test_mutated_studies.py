"""Tests that damaged study files are refused in one line."""

import json
import random
import sys
from pathlib import Path

import pytest

from pidlab.cli import main

MUTATIONS = 500
VALUES = [
    "-1",
    "0",
    "1e400",
    "nan",
    "true",
    '"x"',
    '""',
    "[]",
    "{}",
    "[[1]]",
    '"0..0"',
    "1979-05-27",
    '"\\u0000"',
]


def mutate(text, draw):
    """Return a study file with one to three random changes."""
    for _ in range(draw.randint(1, 3)):
        lines = text.split("\n")
        i = draw.randrange(len(lines))
        kind = draw.randrange(8)
        if kind == 0:
            del lines[i]
        elif kind == 1:
            lines.insert(i, lines[draw.randrange(len(lines))])
        elif kind == 2:  # another value
            key, equals, _ = lines[i].partition("=")
            lines[i] = key + equals + draw.choice(VALUES)
        elif kind == 3:  # a part of the file
            lines = lines[:i]
        elif kind == 4:  # another key
            key, equals, value = lines[i].partition("=")
            lines[i] = key[::-1] + equals + value
        else:
            text = "\n".join(lines)
            place = draw.randrange(len(text) + 1)
            character = draw.choice("\"'[]{}=,.#\n0aé\x00" + text[:50])
            text = text[:place] + character * draw.choice([0, 1, 1, 50]) + text[place + draw.randint(0, 5) :]
            continue
        text = "\n".join(lines)
    return text


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "run"])
def test_mutated_studies_are_accepted_or_refused_in_one_line(command, tmp_path, monkeypatch, capsys):
    sources = [path.read_text() for path in sorted(Path("studies").glob("*.toml"))]
    monkeypatch.chdir(tmp_path)

    class Reached(Exception):  # noqa: N818 - not an error: the study is valid
        pass

    def stop(*_, **__):
        raise Reached

    # A valid study would train; validation ends where the first experiment would run.
    monkeypatch.setattr("pidlab.studies.run_study.tune", stop)
    for kind in ("experiments._run_sweep", "experiments._run_readability", "known_answers._examine"):
        monkeypatch.setattr(f"pidlab.studies.{kind}", stop)
    monkeypatch.setattr("pidlab.studies.oracle_experiment._run", stop)
    monkeypatch.setattr("pidlab.studies.estimation._run", stop)
    draw, counts = random.Random(0), {"accepted": 0, "refused": 0}
    for number in range(MUTATIONS):
        path = tmp_path / "mutated.toml"
        path.write_text(mutate(draw.choice(sources), draw), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["pidlab", "study", command, "mutated.toml"])
        try:
            with pytest.raises(SystemExit) as exit_:
                main()
        except Reached:
            counts["accepted"] += 1
            capsys.readouterr()
            continue
        out, err = capsys.readouterr()
        assert (exit_.value.code, out, err.count("\n")) == (2, "", 1), (number, path.read_text(), err)
        assert err.startswith("error: ")
        counts["accepted" if "no results in" in err else "refused"] += 1
        assert {file.name for file in tmp_path.iterdir()} == {"mutated.toml"}
    with capsys.disabled():
        print(f"{command}: {json.dumps(counts)}")
    assert counts["refused"] > MUTATIONS / 5
