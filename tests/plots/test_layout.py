"""Layout of the figures at the size of a venue: legible, inside the page, without overlapping text."""

import itertools
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from swept import DIRECTIONS, table, tracked

from pidlab import defaults
from pidlab.plots.kinds import draw
from pidlab.plots.style import LOOKS, looks, style
from pidlab.studies import render
from pidlab.studies.folders import load_study, study_files

FIGURES = Path(__file__).parents[2] / "figures"
SMALLEST = 6.0
OBJECTIVES = [*defaults.OBJECTIVES, "comm(terms='joint')", "losses.py:MyLoss(weight=2.0)"]


def texts(figure):
    """Visible texts with their boxes in pixels."""
    figure.draw_without_rendering()
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    # ticks outside of the limits of an axis exist but are not drawn
    drawn = [(t, t.get_window_extent()) for t in found]
    inside = figure.bbox
    return [(t, box) for t, box in drawn if box.width and inside.overlaps(box)]


def visible_ticks(figure):
    """Texts of ticks that lie outside of the limits of their axis and hence are not drawn."""
    hidden = set()
    for panel in figure.axes:
        for axis, limits in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
            low, high = sorted(limits)
            for tick in axis.get_major_ticks():
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden |= {tick.label1, tick.label2}
    return hidden


def check(figure, venue):
    with style(venue):
        drawn = texts(figure)
        hidden = visible_ticks(figure)
        drawn = [(t, box) for t, box in drawn if t not in hidden]
        page = figure.bbox.padded(1.0)
        for text, box in drawn:
            assert text.get_fontsize() >= SMALLEST, text
            assert page.containsx(box.x0), text
            assert page.containsx(box.x1), text
            assert page.containsy(box.y0), text
            assert page.containsy(box.y1), text
        for (a, first), (b, second) in itertools.combinations(drawn, 2):
            if a.get_rotation() % 90 and b.get_rotation() % 90:
                continue  # the boxes of tilted labels are larger than the labels
            # half a pixel of tolerance, since boxes of neighboring labels may touch
            assert not first.padded(-0.5).overlaps(second.padded(-0.5)), (a, b)
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert page.containsx(box.x0)
            assert page.containsx(box.x1)
            assert page.containsy(box.y0)


def results(kind, **more):
    rows = table(points=(0.0, 0.25, 0.5, 0.75, 1.0), objectives=OBJECTIVES, **more)
    if kind == "learning":
        rows = pd.concat([rows, tracked(objectives=OBJECTIVES, **more)])
    return rows


@pytest.mark.parametrize("venue", ["neurips", "icml-column"])
@pytest.mark.parametrize("kind", ["capture", "profile", "leakage", "tradeoff", "learning", "decomposition"])
def test_texts_are_legible_and_do_not_overlap(kind, venue):
    figure, _ = draw(kind, results(kind), DIRECTIONS, venue=venue)
    check(figure, venue)


@pytest.mark.parametrize("kind", ["capture", "profile", "leakage", "tradeoff", "learning"])
def test_texts_of_two_axes_do_not_overlap(kind):
    rows = pd.concat([results(kind, noise=noise, unique_tuning="entropy") for noise in (0.1, 1.0)])
    figure, _ = draw(kind, rows, [*DIRECTIONS, ["noise"]])
    check(figure, "neurips")


def committed_figures():
    """The figures of the studies with committed results: one of each kind, the others marked as slow."""
    kinds = set()
    for name in sorted(study_files()):
        study = load_study(name).study
        experiments = [one.name for one in study.experiments]
        for figure in study.figure:
            needed = figure.sweeps or experiments
            if all((FIGURES / name / sweep / "provenance.json").is_file() for sweep in needed):
                marks = [pytest.mark.slow] if figure.kind in kinds else []
                kinds.add(figure.kind)
                yield pytest.param(name, figure, needed, marks=marks, id=f"{name}-{figure.name}")


@pytest.mark.parametrize(("study", "figure", "sweeps"), list(committed_figures()))
def test_figures_of_committed_results_are_legible(study, figure, sweeps):
    drawn, _ = render._draw(figure, sweeps, FIGURES / study)
    check(drawn, figure.options.get("venue", "neurips"))
    assert drawn.get_figheight() <= 9.0  # inches of a page


def test_text_values_do_not_overlap():
    rows = pd.concat([table(points=(1.0,), views=v) for v in ("task", "noise", "unique", "independent")])
    check(draw("capture", rows, [["views"]])[0], "neurips")


def lightness(color):
    """CIE lightness of a color, 0 to 100."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * luminance ** (1 / 3) - 16


def test_default_objectives_differ_in_a_greyscale_print():
    chosen = looks(defaults.OBJECTIVES)
    for a, b in itertools.combinations(chosen.values(), 2):
        assert abs(lightness(a.color) - lightness(b.color)) >= 6
        assert a.marker != b.marker


def test_lines_of_similar_lightness_differ_in_their_dashes():
    for a, b in itertools.combinations(looks(defaults.OBJECTIVES).values(), 2):
        assert abs(lightness(a.color) - lightness(b.color)) >= 12 or a.dash != b.dash
    lines = [(look.color, look.dash) for look in LOOKS.values()]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("name", ["mine.py:Loss", "losses:A(weight=2)", "my_loss.py:MyLoss(temperature=0.2)"])
def test_a_user_defined_objective_has_no_color_of_a_default_objective(name):
    assert looks([name])[name].color not in {look.color for look in looks(defaults.OBJECTIVES).values()}
