"""The numbers that are drawn, not pixels."""

import itertools

import numpy as np
import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.decomposition import TERMS
from pidlab.plots.capture import capture_figure
from pidlab.plots.style import COLOURS, FORMATS, colours, save

OBJECTIVES = ("untrained", "supervised", "cross", "comm")


def table(points=(0.0, 0.5, 1.0), seeds=(0, 1, 2), **more):
    rows = []
    for u, objective, seed, term in itertools.product(points, OBJECTIVES, seeds, TERMS):
        truth = u if term.startswith("unique") else 1.0
        rows.append(
            {
                "run": f"{u}{objective}{seed}",
                "objective": objective,
                "seed": seed,
                "readout": "z12",
                "term": term,
                "quantity": "mi",
                "truth": truth,
                "captured": truth * (0.5 + 0.1 * seed),
                "low": 0,
                "high": 0,
                "probe": "mlp",
                "headline": True,
                "converged": None,
                "redundant": 1.0,
                "unique1": u,
                "unique2": u,
                "synergy": 1.0,
                **more,
            }
        )
    return pd.DataFrame(rows)


def lines(panel, objective):
    colour = COLOURS[objective]
    return [line for line in panel.lines if line.get_color() == colour]


def test_lines_are_means_over_seeds_against_the_truth():
    figure, shown = capture_figure(table(), [("unique1", "unique2")])
    panels = {panel.get_title().split()[0]: panel for panel in figure.axes}
    assert list(panels) == list(TERMS)
    (line,) = lines(panels["unique1"], "comm")
    np.testing.assert_allclose(line.get_xdata(), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(line.get_ydata(), [0.0, 0.3, 0.6])
    (constant,) = lines(panels["redundant"], "comm")
    np.testing.assert_allclose(constant.get_ydata(), [0.6] * 3)
    assert panels["unique1"].get_xlabel() == "true $U_1$ [bits]"
    assert panels["redundant"].get_xlabel() == "true $U$ [bits]"
    row = shown[(shown["objective"] == "comm") & (shown["term"] == "unique1") & (shown["truth"] == 1.0)].iloc[
        0
    ]
    # 95 % t-interval of .5, .6, .7: half-width 4.3027 * .1 / sqrt(3)
    assert (row["low"], row["mean"], row["high"]) == pytest.approx((0.3516, 0.6, 0.8484), abs=1e-4)
    assert row["seeds"] == 3


def test_seeds_are_shown_singly():
    figure, _ = capture_figure(table(), [("unique1", "unique2")])
    dots = [c for c in figure.axes[1].collections if type(c).__name__ == "PathCollection"]
    assert sum(len(c.get_offsets()) for c in dots) == 2 * 3 * 3  # two objectives that are no reference


def test_the_table_holds_the_dots_too():
    rows = table().sample(frac=1.0, random_state=0)
    shown = capture_figure(rows, [["unique1", "unique2"]])[1]
    assert [name for name in shown if name.startswith("seed")] == ["seeds", "seed0", "seed1", "seed2"]
    for seed in range(3):
        np.testing.assert_allclose(shown[f"seed{seed}"], shown["truth"] * (0.5 + 0.1 * seed))
    fewer = rows[(rows["seed"] != 1) | (rows["objective"] != "comm")]
    shown = capture_figure(fewer, [["unique1", "unique2"]])[1]
    assert shown.loc[shown["objective"] == "comm", "seed1"].isna().all()
    assert len(shown) == 3 * 4 * 4


def test_the_identity_and_the_truth_are_drawn_and_nothing_is_cut_off():
    figure, _ = capture_figure(table(), [("unique1", "unique2")])
    for panel in figure.axes:
        low, high = panel.get_ylim()
        assert low < 0.0
        assert high > 1.0
    thin = [line for line in figure.axes[1].lines if line.get_linewidth() == 0.6]
    assert [list(line.get_ydata()) for line in thin] == [[0.0, 1.0]]


def test_one_seed_has_no_band_and_one_point_has_bars():
    _, shown = capture_figure(table(seeds=(0,)), [("unique1", "unique2")])
    assert shown["low"].isna().all()
    figure, _ = capture_figure(table(points=(1.0,)), [])
    assert all(len(panel.patches) == len(OBJECTIVES) for panel in figure.axes)


def test_a_second_axis_adds_rows():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    figure, _ = capture_figure(both, [("unique1", "unique2"), ("noise",)])
    assert len(figure.axes) == 8
    assert "noise=0.5" in figure.axes[4].get_ylabel()
    for panel in figure.axes:  # each row shows its own seeds only
        dots = [c for c in panel.collections if type(c).__name__ == "PathCollection"]
        assert sum(len(c.get_offsets()) for c in dots) == 2 * 3 * 3


def test_rows_that_are_left_out_are_announced():
    many = pd.concat([table(noise=i / 20) for i in range(14)])
    figure, shown = capture_figure(many, [("unique1", "unique2"), ("noise",)])
    assert len(figure.axes) == 12 * 4
    assert "12 of 14" in figure.get_suptitle()
    assert shown["noise"].nunique() == 14


def test_an_axis_of_words():
    both = pd.concat([table(points=(1.0,), views="task"), table(points=(1.0,), views="noise")])
    figure, _ = capture_figure(both, [("views",)])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["task", "noise"]


def test_nothing_to_draw_is_said():
    with pytest.raises(InvalidRequest, match="'z3'"):
        capture_figure(table(), [("unique1",)], readout="z3")


def test_same_bytes_each_time(tmp_path):
    for suffix in FORMATS:
        for place in ("a", "b"):
            figure, _ = capture_figure(table(), [("unique1", "unique2")])
            save(figure, tmp_path / f"{place}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert b"Type3" not in (tmp_path / "a.pdf").read_bytes()


def test_colours_are_fixed_and_distinct():
    assert colours(["comm", "cross"])["comm"] == colours(["comm"])["comm"] == COLOURS["comm"]
    chosen = colours(["cross", "simclr", "cross+self", "comm", "comm(terms='joint')", "mine.py:Loss"])
    assert len(set(chosen.values())) == 6


def test_a_truth_that_rises_and_falls_is_drawn_along_the_parameter():
    dial = table().assign(p_hat=lambda t: t["unique1"])
    dial["truth"] = 1.0 - 2.0 * (dial["p_hat"] - 0.5).abs()  # 0, 1, 0: two points of one truth
    figure, _ = capture_figure(dial, [("p_hat",)])
    panel = figure.axes[0]
    assert panel.get_xlabel() == "p hat"
    (line,) = lines(panel, "comm")
    np.testing.assert_allclose(line.get_xdata(), [0.0, 0.5, 1.0])
    truth = next(line for line in panel.lines if line.get_linewidth() == 0.6)
    np.testing.assert_allclose(truth.get_ydata(), [0.0, 1.0, 0.0])


def test_without_a_truth_there_is_no_line_that_claims_one():
    unknown = table(points=(0.0,)).assign(truth=np.nan, redundant=np.nan)
    figure, shown = capture_figure(unknown)
    assert shown["truth"].isna().all()
    assert len(shown) == len(OBJECTIVES) * len(TERMS)
    (legend,) = figure.legends
    assert "truth" not in [text.get_text() for text in legend.get_texts()]
