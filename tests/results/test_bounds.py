"""Truths that are known up to bounds: the band of figures, and what tables and claims say."""

import pandas as pd
import pytest
from made_results import results
from matplotlib.collections import PolyCollection

from pidlab import InvalidRequest
from pidlab.plots.capture import capture_figure
from pidlab.plots.profile import profile_figure
from pidlab.results.means import BOUNDS, add_lower_bounds, has_bounds
from pidlab.results.tables import captured_table
from pidlab.studies.claims import parse_claim
from pidlab.studies.evaluate import judge

GROUPS = [["unique1", "unique2"]]


@pytest.fixture
def table():
    """Results whose truth is at least 0.7, 0.6 and 0.5 times the planted bits in three seeds."""
    made = results().table
    rows = made[made["headline"] & ~made["term"].str.contains(":")]
    low = rows["truth"] * (0.7 - 0.1 * rows["seed"])
    bounds = rows.assign(quantity=BOUNDS, captured=low, low=low, high=rows["truth"], probe="classifier")
    return pd.concat([made, bounds], ignore_index=True)


def test_exact_truths_have_no_bounds(table):
    exact = results().table
    assert has_bounds(table)
    assert not has_bounds(exact)
    means = exact[exact["headline"]]
    assert add_lower_bounds(means, exact, ["unique1"]) is means
    _, shown = capture_figure(exact, GROUPS)
    assert "truth_low" not in shown


def test_the_band_reaches_from_the_mean_lower_bound_to_the_planted_bits(table):
    figure, shown = capture_figure(table, GROUPS)
    assert (shown["truth_low"] - 0.6 * shown["truth"]).abs().max() < 1e-12
    panel = figure.axes[1]  # the first unique term, along its own planted bits
    (band,) = [c for c in panel.collections if isinstance(c, PolyCollection)]
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == 0.0
    assert corners[:, 1].max() == 1.0
    at_end = corners[corners[:, 0] == corners[:, 0].max(), 1]
    assert sorted({round(y, 6) for y in at_end}) == [0.6, 1.0]
    assert panel.get_xlabel() == "planted $U_1$ [bits]"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["planted", "bounds of the truth"]


def test_a_profile_has_a_band_per_point(table):
    figure, shown = profile_figure(table, GROUPS)
    assert "truth_low" in shown
    widths = {round(patch.get_width(), 6) for panel in figure.axes for patch in panel.patches}
    assert {0.4, 0.2} <= widths


def test_a_table_says_that_the_truth_is_an_upper_bound(table):
    assert captured_table(table, GROUPS).rows[0].label == "truth (at most)"
    assert captured_table(results().table, GROUPS).rows[0].label == "truth"


@pytest.mark.parametrize("side", ['truth(term="redundant")', '0.9 * truth(term="redundant")'])
def test_a_claim_about_the_truth_is_refused(table, side):
    text = f'captured(objective="comm", term="redundant") >= {side} at unique1=1'
    with pytest.raises(InvalidRequest, match="the truth is known up to bounds"):
        judge(parse_claim(text), text, table, GROUPS)
    text = 'captured(objective="comm", term="redundant") >= 0.1 at unique1=1'
    (point,) = judge(parse_claim(text), text, table, GROUPS)
    assert point.reached is None
    (point,) = judge(parse_claim(text), text, results().table, GROUPS)
    assert point.reached is not None
