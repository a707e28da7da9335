"""Every kind of figure through `draw`."""

import inspect

import numpy as np
import pandas as pd
import pytest
from drawn import assert_line, dots
from seaborn.utils import relative_luminance
from swept import DIRECTIONS, table, tracked

from pidlab import InvalidRequest
from pidlab.plots.kinds import KINDS, caption, draw
from pidlab.plots.style import LOOKS, looks, save, width_of

OF_RESULTS = [name for name, kind in KINDS.items() if not kind.files]


def results_for(kind):
    return pd.concat([table(), tracked()]) if kind == "learning" else table()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_loaded_and_is_described(kind):
    parameters = inspect.signature(KINDS[kind].function).parameters
    assert parameters["venue"].default == "neurips"
    assert KINDS[kind].about.endswith(".")


@pytest.mark.parametrize("kind", OF_RESULTS)
def test_figures_fit_the_page_and_have_the_same_bytes(kind, tmp_path):
    rows = results_for(kind)
    rows = rows[rows["unique1"] != 0.5]
    for venue in ("icml-column", "icml"):
        figure, shown = draw(kind, rows, DIRECTIONS, venue=venue, objectives=["untrained", "comm"])
        assert figure.get_figwidth() <= width_of(venue) + 1e-9
        assert len(shown)
    for name in "ab":
        save(draw(kind, rows, DIRECTIONS, objectives=["comm"])[0], tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"kind": "profil"}, "did you mean 'profile'"),
        ({"venue": "neurip"}, "did you mean 'neurips'"),
        ({"readouts": "z1"}, "no option 'readouts'; did you mean 'readout'"),
        ({"objectives": ["com"]}, "did you mean 'comm'"),
        ({"terms": ["synergi"]}, "did you mean 'synergy'"),
        ({"at": {"unique": 0.3}}, "there are 0, 0.5, 1"),
        ({"at": {"unqiue1": 1}}, "did you mean 'unique1'"),
        ({"at": {"unique1": "much"}}, "expected a number"),
        ({"readout": "z9"}, "there are z12"),
        ({"kind": "learning"}, "--track"),
        ({"kind": "tradeoff", "terms": ["synergy"]}, "needs two terms"),
        ({"kind": "leakage", "rows": "readut"}, "did you mean 'readout'"),
    ],
)
def test_invalid_requests_are_refused_with_the_nearest_name(asked, words):
    with pytest.raises(InvalidRequest, match=words):
        draw(asked.pop("kind", "capture"), table(), DIRECTIONS, **asked)


def test_an_empty_table_is_refused():
    with pytest.raises(InvalidRequest, match="no rows"):
        draw("capture", table().iloc[:0])


def test_a_selection_keeps_its_order():
    asked = {"objectives": ["comm", "cross"], "terms": ["synergy", "nuisance:1"], "at": {"unique1": "0.5"}}
    figure, shown = draw("capture", table(), DIRECTIONS, **asked)
    assert list(dict.fromkeys(shown["objective"])) == ["comm", "cross"]
    assert [panel.get_title() for panel in figure.axes] == ["synergy $S$", "$N_1$"]


def test_parameters_outside_the_axis_groups_are_not_averaged_over():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    figure, shown = draw("capture", both, DIRECTIONS)
    assert shown["noise"].unique().tolist() == [0.1, 0.5]
    assert shown["seeds"].unique().tolist() == [3]
    assert len(figure.axes) == 8


def test_captions_state_the_seeds_and_the_intervals():
    _, shown = draw("capture", table(), DIRECTIONS)
    words = caption("capture", shown)
    assert "n = 3 seeds with 95 % t-intervals" in words
    assert "untrained floor and supervised ceiling" in words
    assert "no interval" in caption("capture", draw("capture", table(seeds=(0,)), DIRECTIONS)[1])
    assert "95 %" not in caption("capture", draw("capture", table(seeds=(0, 1)), DIRECTIONS)[1])
    assert "N1 of modality 1." in caption("leakage", draw("leakage", table(), DIRECTIONS)[1])


def test_a_profile_has_a_panel_per_term_with_means_and_intervals():
    figure, shown = draw("profile", table(), DIRECTIONS, at={"unique": 1}, objectives=["cross", "comm"])
    assert len(figure.axes) == 4
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["CLIP (cross)", "CoMM"]
    for panel in figure.axes:
        np.testing.assert_allclose(sorted(dots(panel)[:, 0]), [0.5, 0.5, 0.6, 0.6, 0.7, 0.7])
        truth = panel.lines[-1].get_xdata()
        np.testing.assert_allclose(truth, 1.0)
        # The half-width of .5, .6, .7 is 4.3027 * .1 / sqrt(3) = .2484.
        bars = [line.get_xdata() for line in panel.lines[:-1] if np.isfinite(line.get_xdata()).all()]
        bars = [bar for bar in bars if len(bar) == 2]
        np.testing.assert_allclose(bars, [[0.3516, 0.8484]] * 2, atol=1e-4)
    assert shown["mean"].tolist() == pytest.approx([0.6] * 8)


def test_a_profile_of_many_points_shows_both_ends_and_the_middle():
    figure, shown = draw("profile", table(points=np.linspace(0, 1, 11)), DIRECTIONS)
    labels = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert labels == ["$U$ = 0", "$U$ = 0.5", "$U$ = 1"]
    assert shown["unique1"].unique().tolist() == [0.0, 0.5, 1.0]


def test_a_profile_of_a_target_that_is_no_term_has_a_panel_per_readout():
    rows = table(points=(1.0,), readouts=("z1", "z12"))
    one = rows[rows["term"] == "redundant"].assign(term="y")
    figure, _ = draw("profile", one)
    assert [panel.get_title() for panel in figure.axes] == ["$I(z_{1};Y)$", "$I(z_{12};Y)$"]


def test_a_profile_of_unknown_truth_has_no_legend_and_its_caption_no_truth():
    rows = table(points=(1.0,)).assign(truth=np.nan)
    figure, shown = draw("profile", rows)
    assert not figure.legends
    assert "truth" not in caption("profile", shown)


def test_a_readout_is_shown_alone_for_targets_that_are_no_terms():
    rows = table(points=(1.0,), readouts=("z1", "z12"))
    one = rows[rows["term"] == "redundant"].assign(term="y")
    figure, shown = draw("profile", one, readout="z1")
    assert [panel.get_title() for panel in figure.axes] == ["$I(z_{1};Y)$"]
    assert set(shown["readout"]) == {"z1"}


def test_a_profile_has_no_panel_of_a_term_without_information_that_none_captures():
    rows = table(points=(1.0,))
    zero = rows["term"] == "redundant"
    rows.loc[zero, ["captured", "truth"]] = 0.0
    figure, shown = draw("profile", rows)
    assert "redundancy\n$R$" not in [panel.get_title() for panel in figure.axes]
    assert "redundancy R" in caption("profile", shown)


def cells(panel):
    return [text.get_text() for text in panel.texts]


def test_leakage_has_the_truth_in_the_first_row_and_nuisance_in_the_last_column():
    figure, _ = draw("leakage", table(), DIRECTIONS, at={"unique": 1}, objectives=["cross", "comm"])
    (panel,) = figure.axes
    assert [t.get_text() for t in panel.get_xticklabels()] == ["$R$", "$U_1$", "$U_2$", "$S$", "$N_1$"]
    assert [t.get_text() for t in panel.get_yticklabels()] == ["truth", "CLIP (cross)", "CoMM"]
    # The half-width of .5, .6, .7 is 4.3027 * .1 / sqrt(3) = .2484; nuisance is the same in all seeds.
    assert cells(panel) == ["1.00"] * 5 + [*["0.60 ± 0.25"] * 4, "0.50 ± 0.00"] * 2
    narrow, _ = draw(
        "leakage", table(), DIRECTIONS, at={"unique": 1}, objectives=["untrained"], venue="icml-column"
    )
    assert cells(narrow.axes[0]) == ["1.00"] * 5 + ["0.60"] * 4 + ["0.50"]


def test_numbers_of_a_leakage_figure_contrast_with_their_cells():
    figure, _ = draw("leakage", table(points=(0.0, 0.25, 0.5, 0.75, 1.0)), DIRECTIONS)
    dark = set()
    for panel in figure.axes:
        faces = panel.collections[0].get_facecolor()
        for number, face in zip(panel.texts, faces, strict=True):
            lightness = sorted(relative_luminance(color) + 0.05 for color in (number.get_color(), face))
            assert lightness[1] / lightness[0] >= 4.5  # contrast ratio of WCAG 2
            dark.add(number.get_color())
    assert len(dark) == 2


def test_leakage_by_readout_has_the_truth_in_parentheses():
    rows = table(points=(0.5,), readouts=("z12", "z1", "shared"), objectives=["cross", "comm"])
    figure, shown = draw("leakage", rows, rows="readout", terms=["unique1"])
    assert [panel.get_title() for panel in figure.axes] == ["CLIP (cross)", "CoMM"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["z1", "z12"]
    assert cells(figure.axes[1]) == ["0.30\n(0.50)"] * 2
    assert set(shown["readout"]) == {"z1", "z12"}
    alone, _ = draw("leakage", rows, rows="readout", objectives=["comm"], terms=["unique1"])
    assert len(alone.axes[0].get_yticklabels()) == 3


def test_leakage_by_a_parameter_has_a_row_per_value():
    figure, _ = draw("leakage", table(), DIRECTIONS, rows="unique1", objectives=["comm"], terms=["unique2"])
    assert cells(figure.axes[0]) == ["0.00\n(0.00)", "0.30\n(0.50)", "0.60\n(1.00)"]


def test_leakage_by_any_parameter_of_a_group_or_by_a_constant_parameter():
    asked = {"objectives": ["comm"], "terms": ["unique2"]}
    figure, shown = draw("leakage", table(), DIRECTIONS, rows="unique2", **asked)
    assert cells(figure.axes[0]) == ["0.00\n(0.00)", "0.30\n(0.50)", "0.60\n(1.00)"]
    assert shown["unique2"].tolist() == [0.0, 0.5, 1.0]
    figure, _ = draw("leakage", table(points=(0.5,)), DIRECTIONS, rows="redundant", **asked)
    assert cells(figure.axes[0]) == ["0.30\n(0.50)"]


def test_a_tradeoff_curve_follows_the_sweep():
    backwards = table().iloc[::-1]
    figure, _ = draw("tradeoff", backwards, DIRECTIONS, objectives=["comm"])
    (panel,) = figure.axes
    curve, truth, identity = panel.lines
    np.testing.assert_allclose(curve.get_xydata(), [[0, 0.6], [0.3, 0.6], [0.6, 0.6]])
    np.testing.assert_allclose(truth.get_xydata(), [[0, 1], [0.5, 1], [1, 1]])
    assert identity.get_xy1() == (0.0, 0.0)
    assert identity.get_slope() == 1.0
    region = [(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in panel.patches]
    assert region == [((0, 0), 0.0, 1.0), ((0, 0), 0.5, 1.0), ((0, 0), 1.0, 1.0)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["CoMM", "truth", "identity", "feasible region"]
    assert len(dots(panel)) == 3 * 3
    arrow = panel.texts[0]  # an annotation without text, from the point before the last one to the last one
    np.testing.assert_allclose([arrow.xyann, arrow.xy], [[0.3, 0.6], [0.6, 0.6]])
    assert panel.get_title() == "arrows: $U$ = 0 to 1"


@pytest.mark.parametrize("known", ["task", 128.0])
def test_a_tradeoff_follows_a_parameter_that_only_one_sweep_has(known):
    one = table(objectives=("comm",), points=(1.0,), views=known)
    both = pd.concat([table(objectives=("comm",), points=(0.5,)), one], ignore_index=True)
    figure, shown = draw("tradeoff", both, [["views"]])
    assert shown["mean"].tolist() == pytest.approx([0.3, 0.6, 0.6, 0.6])
    curve = figure.axes[0].lines[0].get_xydata()
    np.testing.assert_allclose(sorted(curve.tolist()), [[0.3, 0.6], [0.6, 0.6]])


def test_learning_curves_follow_the_steps_on_a_logarithmic_axis():
    rows = pd.concat([table(), tracked()])
    figure, shown = draw("learning", rows, DIRECTIONS, at={"unique": 1}, objectives=["comm"])
    panel = figure.axes[0]
    assert_line(panel, "comm", [0, 1, 2, 3], [0, 0.006, 0.06, 0.6])
    assert [t.get_text() for t in panel.get_xticklabels()] == ["0", "1", "10", "100"]
    assert len(dots(panel)) == 4 * 3
    assert set(shown["step"]) == {0, 1, 10, 100}


def test_the_decomposition_of_results_is_their_truth():
    _, shown = draw("decomposition", table(), DIRECTIONS)
    assert shown["label"].tolist() == ["unique1=0", "unique1=0.5", "unique1=1"]
    assert shown["total"].tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(InvalidRequest, match="two modalities"):
        draw("decomposition", table().assign(synergy=np.nan), DIRECTIONS)


@pytest.mark.parametrize("more", [{"term": "unique3"}, {"term": "redundant12"}, {"readout": "z3"}])
def test_the_decomposition_of_three_modalities_is_refused(more):
    rows = pd.concat([table(), table(points=(1.0,)).iloc[:1].assign(**more)])
    with pytest.raises(InvalidRequest, match="two modalities"):
        draw("decomposition", rows, DIRECTIONS)


def test_wide_intervals_do_not_widen_the_panel():
    wild = table(seeds=(0, 1))
    wild["captured"] *= np.where(wild["seed"] == 0, 0.1, 1.5)
    figure, shown = draw("capture", wild, DIRECTIONS)
    assert shown["high"].max() > 4.0  # t(0.975, 1) is 12.7
    for panel in figure.axes:
        assert panel.get_ylim()[1] < 1.5
        assert all(line.get_clip_on() for line in panel.collections)


def test_no_two_of_twenty_objectives_have_the_same_look():
    names = [*LOOKS, "comm(terms='joint')", "comm(terms='unimodal')", "untrained(joint=True)", *"abc"]
    chosen = looks(names)
    assert len(set(chosen.values())) == len(names)
    assert chosen["comm"] == looks(["comm"])["comm"]
    assert looks(["comm(terms='joint')", "factorcl-ssl"])["factorcl-ssl"] == LOOKS["factorcl-ssl"]
