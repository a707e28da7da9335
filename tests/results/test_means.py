import numpy as np
import pandas as pd
import pytest
from scipy import stats
from swept import DIRECTIONS, table

from pidlab import InvalidRequest
from pidlab.results.means import (
    above_floor,
    at_place,
    axis_groups_of,
    columns_of,
    half_width,
    means,
    places,
    thin_points,
)


def test_means_equal_a_loop_with_textbook_intervals():
    rows = table().assign(captured=lambda t: np.random.default_rng(0).normal(size=len(t)))
    shown = means(rows, ["unique1"])
    for _, row in shown.iterrows():
        here = at_place(rows, {name: row[name] for name in ("unique1", "objective", "term")})
        low, high = stats.t.interval(0.95, 2, here["captured"].mean(), stats.sem(here["captured"]))
        assert (row["low"], row["mean"], row["high"]) == pytest.approx((low, here["captured"].mean(), high))
        assert row["seeds"] == 3
    assert len(shown) == 3 * 4 * 5


def test_one_value_has_no_interval():
    assert np.isnan(half_width(np.array([1.0])))


def test_order_is_that_of_the_rows():
    shown = means(table(objectives=("comm", "cross")).iloc[::-1], ["unique1"])
    assert list(dict.fromkeys(shown["objective"])) == ["cross", "comm"]
    assert list(dict.fromkeys(shown["unique1"])) == [1.0, 0.5, 0.0]


def test_mixtures_are_refused_with_the_column_to_choose_by():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    with pytest.raises(InvalidRequest, match=r"differ in noise: choose one with at noise=VALUE"):
        means(both, ["unique1"])
    with pytest.raises(InvalidRequest, match="are alike"):
        means(pd.concat([table(), table()]), ["unique1"])


def test_mixtures_are_refused_at_a_point_that_lacks_a_parameter():
    both = pd.concat([table(noise=0.1, objectives=("cross",)), table(), table()])
    with pytest.raises(InvalidRequest, match=r"2 results of 'untrained', seed 0.*are alike"):
        means(both, ["unique1", "noise"])


def test_a_point_that_lacks_a_parameter_is_a_point():
    both = pd.concat([table(noise=0.1), table()])
    shown = means(both, ["unique1", "noise"])
    found = places(shown, ["noise"])
    assert len(found) == 2
    assert [len(at_place(shown, place)) for place in found] == [60, 60]


@pytest.mark.parametrize("known", [128.0, "task"])
def test_the_floor_at_a_point_that_lacks_a_parameter_is_its_own(known):
    """There z captures as much as the untrained network; at the other point there is none to compare with."""
    bare = table(objectives=("untrained", "comm"), points=(1.0,))
    both = pd.concat([table(objectives=("comm",), points=(1.0,), samples=known), bare], ignore_index=True)
    both["samples"] = both["samples"].astype(object).where(both["samples"].notna(), None)
    shown = means(both, ["samples"]).assign(above=above_floor(both, ["samples"]))
    comm = shown[shown["objective"] == "comm"]
    assert comm["above"].tolist() == comm["samples"].notna().tolist()


def test_directions_are_what_varies():
    assert axis_groups_of(table()) == DIRECTIONS
    assert axis_groups_of(table(points=(1.0,)), DIRECTIONS) == []
    both = pd.concat([table(views="task"), table(views="noise")])
    assert axis_groups_of(both, DIRECTIONS) == [*DIRECTIONS, ["views"]]


def test_columns_that_a_direction_does_not_fix_tell_points_apart():
    rows = pd.DataFrame({"redundant": [0, 0, 1, 1], "synergy": [0, 1, 0, 1]})
    assert columns_of(rows, [["redundant", "synergy"]]) == ["redundant", "synergy"]
    assert columns_of(table(), DIRECTIONS) == ["unique1"]


def test_few_of_many_go_from_first_to_last():
    points = [{"x": i} for i in range(10)]
    assert [point["x"] for point in thin_points(points)] == [0, 4, 9]
    assert thin_points(points[:2]) == points[:2]
