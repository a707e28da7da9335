import numpy as np
import pandas as pd
import pytest
from scipy import stats
from swept import DIRECTIONS, table

from pidlab import InvalidRequest
from pidlab.results.means import (
    above_floor,
    find_axis_groups,
    half_width,
    list_points,
    mean_over_seeds,
    point_columns,
    rows_at,
    thin_points,
)


def test_means_equal_a_loop_with_textbook_intervals():
    rows = table().assign(captured=lambda t: np.random.default_rng(0).normal(size=len(t)))
    shown = mean_over_seeds(rows, ["unique1"])
    for _, row in shown.iterrows():
        here = rows_at(rows, {name: row[name] for name in ("unique1", "objective", "term")})
        low, high = stats.t.interval(0.95, 2, here["captured"].mean(), stats.sem(here["captured"]))
        assert (row["low"], row["mean"], row["high"]) == pytest.approx((low, here["captured"].mean(), high))
        assert row["seeds"] == 3
    assert len(shown) == 3 * 4 * 5


def test_one_value_has_no_interval():
    assert np.isnan(half_width(np.array([1.0])))


def test_means_keep_the_order_of_the_rows():
    shown = mean_over_seeds(table(objectives=("comm", "cross")).iloc[::-1], ["unique1"])
    assert list(dict.fromkeys(shown["objective"])) == ["cross", "comm"]
    assert list(dict.fromkeys(shown["unique1"])) == [1.0, 0.5, 0.0]


def test_mixed_settings_are_refused_and_the_differing_column_is_named():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    with pytest.raises(InvalidRequest, match=r"differ in noise; choose one value with at noise=VALUE"):
        mean_over_seeds(both, ["unique1"])
    with pytest.raises(InvalidRequest, match="parameters are equal"):
        mean_over_seeds(pd.concat([table(), table()]), ["unique1"])


def test_mixed_settings_are_refused_where_a_parameter_is_missing():
    both = pd.concat([table(noise=0.1, objectives=("cross",)), table(), table()])
    with pytest.raises(InvalidRequest, match=r"'untrained', seed 0: 2 results.*parameters are equal"):
        mean_over_seeds(both, ["unique1", "noise"])


def test_a_missing_parameter_distinguishes_a_point():
    both = pd.concat([table(noise=0.1), table()])
    shown = mean_over_seeds(both, ["unique1", "noise"])
    found = list_points(shown, ["noise"])
    assert len(found) == 2
    assert [len(rows_at(shown, place)) for place in found] == [60, 60]


@pytest.mark.parametrize("known", [128.0, "task"])
def test_a_point_with_a_missing_parameter_has_its_own_floor(known):
    """CoMM equals the floor there; the other point has no floor."""
    bare = table(objectives=("untrained", "comm"), points=(1.0,))
    both = pd.concat([table(objectives=("comm",), points=(1.0,), samples=known), bare], ignore_index=True)
    both["samples"] = both["samples"].astype(object).where(both["samples"].notna(), None)
    shown = mean_over_seeds(both, ["samples"]).assign(above=above_floor(both, ["samples"]))
    comm = shown[shown["objective"] == "comm"]
    assert comm["above"].tolist() == comm["samples"].notna().tolist()


def test_axis_groups_are_the_varying_columns():
    assert find_axis_groups(table()) == DIRECTIONS
    assert find_axis_groups(table(points=(1.0,)), DIRECTIONS) == []
    both = pd.concat([table(views="task"), table(views="noise")])
    assert find_axis_groups(both, DIRECTIONS) == [*DIRECTIONS, ["views"]]


def test_columns_that_the_first_does_not_determine_distinguish_points():
    rows = pd.DataFrame({"redundant": [0, 0, 1, 1], "synergy": [0, 1, 0, 1]})
    assert point_columns(rows, [["redundant", "synergy"]]) == ["redundant", "synergy"]
    assert point_columns(table(), DIRECTIONS) == ["unique1"]


def test_thinned_points_include_the_first_and_the_last():
    points = [{"x": i} for i in range(10)]
    assert [point["x"] for point in thin_points(points)] == [0, 4, 9]
    assert thin_points(points[:2]) == points[:2]
