"""The numbers of the capture figure."""

import itertools

import numpy as np
import pandas as pd
import pytest
from drawn import assert_line, dots, intervals, marks, mean_line

from pidlab import InvalidRequest
from pidlab.decomposition import TERMS
from pidlab.plots.capture import capture_figure, empty_targets
from pidlab.plots.kinds import caption
from pidlab.plots.style import FORMATS, LOOKS, TRUTH, looks, save
from pidlab.results.panels import describe_term

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


def truth_lines(panel):
    return [line for line in panel.lines if line.get_linewidth() == TRUTH["linewidth"]]


def hollow_marks(panel, look):
    """Bits of the floors or ceilings of a panel, by position along x."""
    lines = [line for line in panel.lines if line.get_markeredgecolor() == look.color]
    (marks,) = [line for line in lines if line.get_markerfacecolor() == "white"]
    return marks.get_xdata(), marks.get_ydata()


def test_floors_and_ceilings_of_their_own_architecture_are_grey_marks():
    rows = table(points=(0.0, 1.0))
    floors = rows["objective"].map({"comm": 0.1, "cross": 0.3}) + 0.01 * rows["seed"]
    figure, shown = capture_figure(rows.assign(floor=floors, ceiling=0.9), [("unique1", "unique2")])
    x, floor = hollow_marks(figure.axes[1], LOOKS["untrained"])
    # Two points of cross and comm, next to each other; the baselines themselves have no marks.
    assert np.allclose(sorted(floor), [0.11, 0.11, 0.31, 0.31])
    assert np.allclose(sorted(np.round(x)), [0, 0, 1, 1])
    assert (hollow_marks(figure.axes[1], LOOKS["supervised"])[1] == 0.9).all()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"own floor", "own ceiling"} <= {*labels}
    assert "own architecture" in caption("capture", shown)
    bare, shown = capture_figure(rows, [("unique1", "unique2")])
    assert "own floor" not in [text.get_text() for text in bare.legends[0].get_texts()]
    assert "own architecture" not in caption("capture", shown)


def test_marks_are_means_over_seeds_against_the_truth():
    figure, shown = capture_figure(table(), [("unique1", "unique2")])
    panels = {panel.get_title(): panel for panel in figure.axes}
    assert list(panels) == [describe_term(term) for term in TERMS]
    redundancy, unique1, *_ = panels.values()
    assert_line(unique1, "comm", [0.0, 0.5, 1.0], [0.0, 0.3, 0.6])
    assert_line(redundancy, "comm", [0.0, 0.5, 1.0], [0.6] * 3)
    assert unique1.get_xlabel() == "true $U_1$ [bits]"
    assert redundancy.get_xlabel() == "true $U$ [bits]"
    row = shown[(shown["objective"] == "comm") & (shown["term"] == "unique1") & (shown["truth"] == 1.0)].iloc[
        0
    ]
    # 95 % t-interval of .5, .6, .7: half-width 4.3027 * .1 / sqrt(3)
    assert (row["low"], row["mean"], row["high"]) == pytest.approx((0.3516, 0.6, 0.8484), abs=1e-4)
    assert row["seeds"] == 3
    ends = {tuple(np.round(bar[:, 1], 4)) for bar in intervals(unique1)}
    assert (0.3516, 0.8484) in ends


def test_error_bars_are_shifted_apart_but_lines_are_not():
    figure, _ = capture_figure(table(), [("unique1", "unique2")])
    panel = figure.axes[1]
    bars = {round(float(ends[0, 0]), 6) for ends in intervals(panel) if abs(ends[0, 0]) < 0.25}
    assert len(bars) == len(OBJECTIVES)
    assert max(map(abs, bars)) <= 0.03
    assert all(mean_line(panel, name).get_xdata()[0] == 0.0 for name in OBJECTIVES)


def test_each_of_several_equal_objectives_is_on_top_at_some_point():
    figure, _ = capture_figure(table(points=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0)), [("unique1", "unique2")])
    heights = [marks(figure.axes[0], name)[:, 2] for name in OBJECTIVES]
    assert set(np.argmax(heights, axis=0)) == set(range(len(OBJECTIVES)))
    sizes = {line.get_markersize() for line in figure.axes[0].lines if line.get_marker() != "None"}
    assert len(sizes) == 1


def test_two_seeds_have_no_error_bar():
    assert not intervals(capture_figure(table(seeds=(0, 1)), [("unique1", "unique2")])[0].axes[0])


def test_a_term_without_information_has_no_panel_and_the_caption_states_it():
    rows = table()
    rows.loc[rows["term"] == "synergy", ["truth", "captured", "synergy"]] = 0.0
    figure, shown = capture_figure(rows, [("unique1", "unique2")])
    assert len(figure.axes) == 3
    assert set(shown["term"]) == set(TERMS)
    assert empty_targets(shown) == {("z12", "synergy")}
    assert "Not drawn, since truth and captured bits are 0: synergy S." in caption("capture", shown)
    rows.loc[rows["term"] == "synergy", "captured"] = 0.1
    assert len(capture_figure(rows, [("unique1", "unique2")])[0].axes) == 4


def test_single_seeds_are_dots():
    figure, _ = capture_figure(table(), [("unique1", "unique2")])
    assert len(dots(figure.axes[1])) == 4 * 3 * 3  # objectives, points, seeds


def test_the_table_has_a_column_per_seed():
    rows = table().sample(frac=1.0, random_state=0)
    shown = capture_figure(rows, [["unique1", "unique2"]])[1]
    assert [name for name in shown if name.startswith("seed")] == ["seeds", "seed0", "seed1", "seed2"]
    for seed in range(3):
        np.testing.assert_allclose(shown[f"seed{seed}"], shown["truth"] * (0.5 + 0.1 * seed))
    fewer = rows[(rows["seed"] != 1) | (rows["objective"] != "comm")]
    shown = capture_figure(fewer, [["unique1", "unique2"]])[1]
    assert shown.loc[shown["objective"] == "comm", "seed1"].isna().all()
    assert len(shown) == 3 * 4 * 4


def test_the_truth_is_a_line_and_the_axis_contains_all_values():
    figure, _ = capture_figure(table(), [("unique1", "unique2")])
    for panel in figure.axes:
        low, high = panel.get_ylim()
        assert low < 0.0
        assert high > 1.0
    assert [list(line.get_ydata()) for line in truth_lines(figure.axes[1])] == [[0.0, 0.5, 1.0]]


def test_a_single_seed_has_no_interval_and_a_single_point_no_line():
    _, shown = capture_figure(table(seeds=(0,)), [("unique1", "unique2")])
    assert shown["low"].isna().all()
    figure, _ = capture_figure(table(points=(1.0,)), [])
    panel = figure.axes[0]
    assert {line.get_linestyle() for line in panel.lines} == {"None"}
    assert [marks(panel, name)[:, 1].tolist() for name in OBJECTIVES] == [pytest.approx([0.6])] * 4
    assert len(figure.axes[0].get_xticks()) == 0


def test_a_second_axis_adds_rows_with_labels_at_the_right_margin():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    figure, _ = capture_figure(both, [("unique1", "unique2"), ("noise",)])
    assert len(figure.axes) == 8
    assert [text.get_text() for text in figure.axes[7].texts] == ["noise = 0.5"]
    for panel in figure.axes:  # each row shows its own seeds only
        assert len(dots(panel)) == 4 * 3 * 3


def test_a_figure_has_at_most_six_rows_and_states_how_many_there_are():
    many = pd.concat([table(noise=i / 20) for i in range(14)])
    figure, shown = capture_figure(many, [("unique1", "unique2"), ("noise",)])
    assert len(figure.axes) == 6 * 4
    assert "6 of 14" in figure.get_suptitle()
    assert shown["noise"].nunique() == 14


def test_text_values_are_tick_labels():
    both = pd.concat([table(points=(1.0,), views="task"), table(points=(1.0,), views="noise")])
    figure, _ = capture_figure(both, [("views",)])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["task", "noise"]


def test_an_unknown_readout_is_refused():
    with pytest.raises(InvalidRequest, match="'z3'"):
        capture_figure(table(), [("unique1",)], readout="z3")


def test_files_have_the_same_bytes_each_time(tmp_path):
    for suffix in FORMATS:
        for place in ("a", "b"):
            figure, _ = capture_figure(table(), [("unique1", "unique2")])
            save(figure, tmp_path / f"{place}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert b"Type3" not in (tmp_path / "a.pdf").read_bytes()


def test_looks_are_fixed_and_distinct():
    names = ["cross", "simclr", "cross+self", "comm", "comm(terms='joint')", "mine.py:Loss"]
    chosen = looks(names)
    assert chosen["comm"] == looks(["comm"])["comm"] == LOOKS["comm"]
    assert len(set(chosen.values())) == 6
    assert looks(names[::-1]) == chosen
    assert chosen["mine.py:Loss"] == looks(["mine.py:Loss"])["mine.py:Loss"]


def test_a_truth_that_rises_and_falls_is_drawn_along_the_parameter():
    dial = table().assign(p_hat=lambda t: t["unique1"])
    dial["truth"] = 1.0 - 2.0 * (dial["p_hat"] - 0.5).abs()  # 0, 1, 0: two points with equal truth
    figure, _ = capture_figure(dial, [("p_hat",)])
    panel = figure.axes[0]
    assert panel.get_xlabel() == "p hat"
    assert_line(panel, "comm", [0.0, 0.5, 1.0], [0.6, 0.6, 0.6])
    (truth,) = truth_lines(panel)
    np.testing.assert_allclose(truth.get_ydata(), [0.0, 1.0, 0.0])


def test_widths_are_spaced_evenly():
    rows = pd.concat([table(points=(1.0,), dim=dim) for dim in (2, 4, 8)])
    panel = capture_figure(rows, [("dim",)])[0].axes[0]
    assert_line(panel, "comm", [0.0, 1.0, 2.0], [0.6] * 3)
    assert [t.get_text() for t in panel.get_xticklabels()] == ["2", "4", "8"]
    assert panel.get_xlabel() == "readout width"


def test_an_unknown_truth_has_no_line():
    unknown = table(points=(0.0,)).assign(truth=np.nan, redundant=np.nan)
    figure, shown = capture_figure(unknown)
    assert shown["truth"].isna().all()
    assert len(shown) == len(OBJECTIVES) * len(TERMS)
    (legend,) = figure.legends
    assert "truth" not in [text.get_text() for text in legend.get_texts()]


def with_linear():
    best = table()
    return pd.concat([best, best.assign(probe="linear", headline=False, captured=best["captured"] / 4)])


def test_the_panel_of_synergy_shows_the_linear_probe_as_well():
    figure, shown = capture_figure(with_linear(), [["unique1", "unique2"]])
    assert set(shown[shown["probe"] == "linear"]["term"]) == {"synergy"}
    for panel in figure.axes:
        for name in OBJECTIVES:
            found = marks(panel, name, hollow=True)
            if panel.get_title() == describe_term("synergy"):
                assert found[:, 1] == pytest.approx([0.15] * 3)
            else:
                assert len(found) == 0
    assert "linear probe" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_requested_probe_has_its_own_panels():
    figure, shown = capture_figure(with_linear(), [["unique1", "unique2"]], probes=("best", "linear"))
    titles = [panel.get_title() for panel in figure.axes]
    assert titles[:2] == [f"{describe_term('redundant')}\n({probe} probe)" for probe in ("best", "linear")]
    assert len(titles) == 2 * len(TERMS)
    means = shown.groupby("probe")["mean"].sum()
    assert means["linear"] == pytest.approx(means["best"] / 4)
