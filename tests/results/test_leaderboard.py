"""The leaderboard: shares, counts of seeds, and where its results are."""

import pandas as pd
import pytest
from scipy.stats import binomtest
from swept import table, write

from pidlab import InvalidRequest
from pidlab.results.folder import read_results
from pidlab.results.leaderboard import leaderboard, summarize
from pidlab.results.means import half_width
from pidlab.results.stored import study_results


@pytest.fixture
def folder(tmp_path):
    """Seed s captures 0.8 + 0.05 s of every term; the linear probe reads half of it."""
    rows = table(points=(1.0,), seeds=(0, 1, 2), objectives=("comm", "cross"))
    rows["captured"] = rows["truth"] * (0.8 + 0.05 * rows["seed"])
    linear = rows.assign(probe="linear", headline=False, captured=rows["captured"] / 2)
    write(tmp_path / "profiles" / "together", pd.concat([rows, linear]), views="noise")
    alone = rows[rows["objective"] == "comm"].assign(redundant=0.0, run=rows["run"] + "alone")
    write(tmp_path / "profiles" / "alone-synergy", alone[alone["term"] == "synergy"], views="task")
    return tmp_path / "profiles"


def test_shares_are_means_over_seeds_of_captured_over_true_bits(folder):
    shares = leaderboard(folder).set_index(["objective", "views", "data", "term", "probe"])
    best = shares.loc["comm", "noise", "together", "unique1", "best"]
    assert best["share"] == pytest.approx(0.85)
    assert best["half_width"] == pytest.approx(half_width(pd.Series([0.8, 0.85, 0.9]).to_numpy()))
    assert (best["reached"], best["seeds"]) == (1, 3)
    exact = binomtest(1, 3).proportion_ci(0.95, method="exact")
    assert (best["reached_low"], best["reached_high"]) == (exact.low, exact.high)
    assert shares.loc["cross", "noise", "together", "synergy", "linear"]["share"] == pytest.approx(0.425)


def test_data_of_one_kind_of_information_and_other_views_are_rows_of_their_own(folder):
    shares = leaderboard(folder)
    assert set(zip(shares["views"], shares["data"], strict=True)) == {
        ("noise", "together"),
        ("task", "alone"),
    }
    assert not shares.duplicated(["objective", "views", "data", "term", "probe"]).any()
    assert ":" not in "".join(shares["term"])


def test_the_summary_does_not_depend_on_the_order_of_the_sweeps(folder):
    results = [read_results(path) for path in sorted(folder.iterdir())]
    keys = ["objective", "views", "data", "term", "probe"]
    one, other = (summarize(parts).sort_values(keys, ignore_index=True) for parts in (results, results[::-1]))
    pd.testing.assert_frame_equal(one, other)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match=r"no results in .*; run `pidlab study run profiles"):
        leaderboard(tmp_path / "none")


def test_the_results_of_a_study_are_one_table_with_views_and_experiment(folder, monkeypatch):
    monkeypatch.setattr("pidlab.results.stored.PLACES", (folder.parent / "absent", folder.parent))
    rows = study_results("profiles")
    stored = {path.name: read_results(path) for path in folder.iterdir()}
    assert len(rows) == sum(len(results.table) for results in stored.values())
    assert set(zip(rows["experiment"], rows["views"], strict=True)) == {
        ("together", "noise"),
        ("alone-synergy", "task"),
    }
    with pytest.raises(InvalidRequest, match="study 'profile' come with pidlab: did you mean 'profiles'"):
        study_results("profile")
