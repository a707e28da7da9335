"""Tests of the retention experiment."""

import pytest

from pidlab.decomposition import TERMS
from pidlab.results.folder import read_results
from pidlab.studies.folders import NamedStudy
from pidlab.studies.oracle import oracle
from pidlab.studies.retention import END, START, TRACKED
from pidlab.studies.run_study import run_study
from pidlab.studies.schema import read_study

pytestmark = pytest.mark.usefixtures("few_rows")

OPTIONS = {"views": "task", "regression": 3, "batch": 16, "hidden": 8}
TINY = """\
title = "What is left after four steps?"
[profiles.quick]
seeds = 2
steps = 4
[[retention]]
views = "task"
objectives = ["cross"]
regression = 3
batch = 16
hidden = 8
fitting = 2
track = 3
[[figure]]
name = "training"
kind = "learning"
[[claim]]
claim = 'captured(objective="cross", term="synergy", quantity="start") <= 2'
source = "arithmetic"
"""


def test_the_first_and_the_last_checkpoint_are_those_of_the_oracle_experiment(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    result = run_study(NamedStudy("tiny", path, read_study(path)), "quick", tmp_path / "runs", tmp_path)
    assert not result.failures
    assert (tmp_path / "tiny" / "training.png").exists()
    assert [claim.verdict for claim in result.claims] == ["supported"]
    table = read_results(tmp_path / "tiny" / "retention").table
    rows = table[table["readout"] == "z12"].set_index(["quantity", "step", "seed", "term"])["captured"]
    expected = oracle(["cross"], seeds=2, steps=4, fitting=2, representations=("R",), batches=2, **OPTIONS)
    for name, quantity, step in (("warm", START, 0), ("warm, trained", END, 4)):
        for _, row in expected[expected["representation"] == name].iterrows():
            for term in TERMS:
                value = row[f"captured_{term}"]
                assert rows[quantity, step, row["seed"], term] == pytest.approx(value, abs=1e-12)
                assert rows[TRACKED, step, row["seed"], term] == pytest.approx(value, abs=1e-12)
    assert sorted(table.loc[table["quantity"] == TRACKED, "step"].unique()) == [0, 2, 4]
