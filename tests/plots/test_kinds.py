"""Every kind through the one door."""

import inspect

import numpy as np
import pandas as pd
import pytest
from swept import DIRECTIONS, table, tracked

from pidlab import InvalidRequest
from pidlab.plots.kinds import KINDS, caption, draw
from pidlab.plots.style import LOOKS, looks, save, width_of

OF_RESULTS = [name for name, kind in KINDS.items() if not kind.files]


def results_for(kind):
    return pd.concat([table(), tracked()]) if kind == "learning" else table()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_loaded_and_says_what_it_shows(kind):
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
        ({"readouts": "z1"}, "no option 'readouts': did you mean 'readout'"),
        ({"objectives": ["com"]}, "did you mean 'comm'"),
        ({"terms": ["synergi"]}, "did you mean 'synergy'"),
        ({"at": {"unique": 0.3}}, "there are 0, 0.5, 1"),
        ({"at": {"unqiue1": 1}}, "did you mean 'unique1'"),
        ({"at": {"unique1": "much"}}, "expected a number"),
        ({"readout": "z9"}, "there are z12"),
        ({"kind": "learning"}, "--track"),
        ({"kind": "tradeoff", "terms": ["synergy"]}, "between two terms"),
        ({"kind": "leakage", "rows": "readut"}, "did you mean 'readout'"),
    ],
)
def test_what_cannot_be_drawn_is_named_with_the_nearest(asked, words):
    with pytest.raises(InvalidRequest, match=words):
        draw(asked.pop("kind", "capture"), table(), DIRECTIONS, **asked)


def test_an_empty_table_is_refused():
    with pytest.raises(InvalidRequest, match="no rows"):
        draw("capture", table().iloc[:0])


def test_a_choice_keeps_its_order():
    asked = {"objectives": ["comm", "cross"], "terms": ["synergy", "nuisance:1"], "at": {"unique1": "0.5"}}
    figure, shown = draw("capture", table(), DIRECTIONS, **asked)
    assert list(dict.fromkeys(shown["objective"])) == ["comm", "cross"]
    assert [panel.get_title() for panel in figure.axes] == ["synergy $S$", "nuisance:1 $N_1$"]


def test_what_varies_beyond_the_directions_is_not_averaged_over():
    both = pd.concat([table(noise=0.1), table(noise=0.5)])
    figure, shown = draw("capture", both, DIRECTIONS)
    assert shown["noise"].unique().tolist() == [0.1, 0.5]
    assert shown["seeds"].unique().tolist() == [3]
    assert len(figure.axes) == 8


def test_captions_say_how_many_seeds_and_what_bands_are():
    _, shown = draw("capture", table(), DIRECTIONS)
    words = caption("capture", shown)
    assert "n = 3 seeds with 95 % t-intervals" in words
    assert "untrained floor and supervised ceiling" in words
    assert "no interval" in caption("capture", draw("capture", table(seeds=(0,)), DIRECTIONS)[1])


def test_a_profile_stacks_means_and_intervals():
    figure, shown = draw("profile", table(), DIRECTIONS, at={"unique": 1}, objectives=["cross"])
    (panel,) = figure.axes
    bars = [(b.get_x(), b.get_x() + b.get_width()) for group in panel.containers[::2] for b in group.patches]
    truths, cross = bars[::2], bars[1::2]
    np.testing.assert_allclose(truths, [(0, 1), (1, 2), (2, 3), (3, 4)])
    np.testing.assert_allclose(cross, [(0, 0.6), (0.6, 1.2), (1.2, 1.8), (1.8, 2.4)])
    reach = [c.get_segments()[0] for c in panel.collections if hasattr(c, "get_segments")]
    # The half-width of .5, .6, .7 is 4.3027 * .1 / sqrt(3) = .2484, around each end.
    np.testing.assert_allclose([r[1, 0] - r[0, 0] for r in reach], [0.4968] * 4, atol=1e-3)
    assert shown["mean"].tolist() == pytest.approx([0.6] * 4)


def test_a_profile_of_many_points_shows_both_ends_and_the_middle():
    figure, shown = draw("profile", table(points=np.linspace(0, 1, 11)), DIRECTIONS)
    assert [panel.get_title() for panel in figure.axes] == ["unique1=0", "unique1=0.5", "unique1=1"]
    assert shown["unique1"].unique().tolist() == [0.0, 0.5, 1.0]


def test_a_profile_of_one_target_is_refused():
    rows = table(points=(1.0,), readouts=("z1", "z12"))
    one = rows[rows["term"] == "redundant"].assign(term="y")
    with pytest.raises(InvalidRequest, match="about y: draw a capture figure"):
        draw("profile", one)


def cells(panel):
    return [text.get_text() for text in panel.texts]


def test_leakage_has_the_truth_on_top_and_nuisance_at_the_end():
    figure, _ = draw("leakage", table(), DIRECTIONS, at={"unique": 1}, objectives=["cross", "comm"])
    (panel,) = figure.axes
    assert [t.get_text() for t in panel.get_xticklabels()] == ["$R$", "$U_1$", "$U_2$", "$S$", "$N_1$"]
    assert [t.get_text() for t in panel.get_yticklabels()] == ["truth", "cross", "comm"]
    assert cells(panel) == ["1.00"] * 5 + ["0.60", "0.60", "0.60", "0.60", "0.50"] * 2


def test_leakage_by_readout_has_the_truth_in_brackets():
    rows = table(points=(0.5,), readouts=("z12", "z1", "shared"), objectives=["cross", "comm"])
    figure, shown = draw("leakage", rows, rows="readout", terms=["unique1"])
    assert [panel.get_title() for panel in figure.axes] == ["cross", "comm"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["z1", "z12"]
    assert cells(figure.axes[1]) == ["0.30\n(0.50)"] * 2
    assert set(shown["readout"]) == {"z1", "z12"}
    alone, _ = draw("leakage", rows, rows="readout", objectives=["comm"], terms=["unique1"])
    assert len(alone.axes[0].get_yticklabels()) == 3


def test_leakage_by_a_parameter_has_a_row_per_value():
    figure, _ = draw("leakage", table(), DIRECTIONS, rows="unique1", objectives=["comm"], terms=["unique2"])
    assert cells(figure.axes[0]) == ["0.00\n(0.00)", "0.30\n(0.50)", "0.60\n(1.00)"]


def test_leakage_by_any_parameter_of_a_direction_or_by_one_that_does_not_vary():
    asked = {"objectives": ["comm"], "terms": ["unique2"]}
    figure, shown = draw("leakage", table(), DIRECTIONS, rows="unique2", **asked)
    assert cells(figure.axes[0]) == ["0.00\n(0.00)", "0.30\n(0.50)", "0.60\n(1.00)"]
    assert shown["unique2"].tolist() == [0.0, 0.5, 1.0]
    figure, _ = draw("leakage", table(points=(0.5,)), DIRECTIONS, rows="redundant", **asked)
    assert cells(figure.axes[0]) == ["0.30\n(0.50)"]


def test_a_tradeoff_goes_along_the_sweep():
    backwards = table().iloc[::-1]
    figure, _ = draw("tradeoff", backwards, DIRECTIONS, objectives=["comm"])
    (panel,) = figure.axes
    curve, truth = panel.lines[0], panel.lines[-1]
    np.testing.assert_allclose(curve.get_xydata(), [[0, 0.6], [0.3, 0.6], [0.6, 0.6]])
    np.testing.assert_allclose(truth.get_xydata(), [[0, 1], [0.5, 1], [1, 1]])
    sizes = panel.collections[0].get_sizes()
    assert (np.diff(sizes) > 0).all()


@pytest.mark.parametrize("known", ["task", 128.0])
def test_a_tradeoff_goes_along_a_parameter_that_not_every_sweep_has(known):
    one = table(objectives=("comm",), points=(1.0,), views=known)
    both = pd.concat([table(objectives=("comm",), points=(0.5,)), one], ignore_index=True)
    figure, shown = draw("tradeoff", both, [["views"]])
    assert shown["mean"].tolist() == pytest.approx([0.3, 0.6, 0.6, 0.6])
    marks = [text.get_text() for text in figure.legends[0].get_texts()][-2:]
    known_first = [f"views = {known if known == 'task' else '128'}", "views = nan"]
    assert marks == (known_first[::-1] if known == "task" else known_first)


def test_learning_goes_along_the_steps():
    rows = pd.concat([table(), tracked()])
    figure, shown = draw("learning", rows, DIRECTIONS, at={"unique": 1}, objectives=["comm"])
    assert [panel.get_xscale() for panel in figure.axes] == ["symlog"] * 4
    mean = figure.axes[0].lines[0]
    np.testing.assert_allclose(mean.get_xdata(), [0, 1, 10, 100])
    np.testing.assert_allclose(mean.get_ydata(), [0, 0.006, 0.06, 0.6])
    assert len(figure.axes[0].lines) == 1 + 3 + 1  # mean, seeds, truth
    assert set(shown["step"]) == {0, 1, 10, 100}


def test_decompositions_of_results_are_their_truths():
    _, shown = draw("decomposition", table(), DIRECTIONS)
    assert shown["label"].tolist() == ["unique1=0", "unique1=0.5", "unique1=1"]
    assert shown["total"].tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(InvalidRequest, match="two modalities"):
        draw("decomposition", table().assign(synergy=np.nan), DIRECTIONS)


@pytest.mark.parametrize("more", [{"term": "unique3"}, {"term": "redundant12"}, {"readout": "z3"}])
def test_the_four_terms_are_no_decomposition_of_three_modalities(more):
    rows = pd.concat([table(), table(points=(1.0,)).iloc[:1].assign(**more)])
    with pytest.raises(InvalidRequest, match="two modalities"):
        draw("decomposition", rows, DIRECTIONS)


def test_bands_are_cut_at_the_panel():
    wild = table(seeds=(0, 1))
    wild["captured"] *= np.where(wild["seed"] == 0, 0.1, 1.5)
    figure, shown = draw("capture", wild, DIRECTIONS)
    assert shown["high"].max() > 4.0  # t(0.975, 1) is 12.7
    for panel in figure.axes:
        bottom, top = panel.get_ylim()
        for band in [c for c in panel.collections if "FillBetween" in type(c).__name__]:
            heights = band.get_paths()[0].vertices[:, 1]
            assert bottom <= heights.min()
            assert heights.max() <= top


def test_no_two_of_twenty_objectives_look_alike():
    names = [*LOOKS, "comm(terms='joint')", "comm(terms='unimodal')", "untrained(joint=True)", *"abc"]
    chosen = looks(names)
    assert len(set(chosen.values())) == len(names)
    assert chosen["comm"] == looks(["comm"])["comm"]
    assert looks(["comm(terms='joint')", "factorcl-ssl"])["factorcl-ssl"] == LOOKS["factorcl-ssl"]
