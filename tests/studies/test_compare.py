"""A new objective among those of the leaderboard."""

import pandas as pd
import pytest
from swept import table, write

from pidlab import InvalidRequest
from pidlab.registry import parse
from pidlab.results.folder import read_results
from pidlab.results.stored import stored_results
from pidlab.studies import compare
from pidlab.studies.folders import NamedStudy
from pidlab.studies.schema import read_study

pytestmark = pytest.mark.usefixtures("few_rows")

STUDY = """
title = "tiny"
[[sweep]]
name = "together"
objectives = ["cross"]
seeds = 2
steps = 2
batch = 16
probes = "quick"
views = "noise"
"""


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A leaderboard of one sweep, whose only objective is `cross`."""
    path = tmp_path / "profiles.toml"
    path.write_text(STUDY)
    folder = tmp_path / "figures" / "profiles"
    write(folder / "together", table(points=(1.0,), objectives=("cross",)), views="noise")
    (folder / "provenance.json").write_text('{"profile": "laptop"}')
    monkeypatch.setattr(compare, "load_study", lambda name: NamedStudy(name, path, read_study(path)))
    monkeypatch.setattr(compare, "stored_results", lambda study: stored_results(study, folder))
    return folder


def test_the_objective_is_trained_on_the_data_of_the_leaderboard(stored, tmp_path):
    board = compare.compare_with_leaderboard("untrained", tmp_path / "runs")
    assert list(dict.fromkeys(board["objective"])) == ["untrained", "cross"]
    own = board[board["objective"] == "untrained"]
    assert set(own["views"]) == {"noise"}
    assert set(own["seeds"]) == {2}
    request = read_results(tmp_path / "runs" / "together").record["request"]
    assert (request["training"]["steps"], request["training"]["batch"]) == (2, 16)
    # a second call finds the runs of the first
    again = compare.compare_with_leaderboard("untrained", tmp_path / "runs")
    pd.testing.assert_frame_equal(board, again)


def test_an_objective_of_the_leaderboard_is_shown_once(stored, tmp_path):
    board = compare.compare_with_leaderboard(str(parse("cross")), tmp_path / "runs")
    assert set(board["seeds"]) == {2}, "the stored results have 3"


def test_a_leaderboard_of_another_version_is_refused(stored, tmp_path, monkeypatch):
    record = stored / "together" / "provenance.json"
    record.write_text(record.read_text().replace('"result_version": 4', '"result_version": 3'))
    with pytest.raises(InvalidRequest, match="results are of version 3"):
        compare.compare_with_leaderboard("untrained", tmp_path / "runs")
