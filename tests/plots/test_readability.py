"""The numbers that are drawn, not pixels."""

import itertools

import numpy as np
import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.plots.readability import readability_figure
from pidlab.plots.style import LOOKS


def table():
    rows = []
    strains = [(0.0, 8192), (0.4, 8192), (1.6, 8192), (0.0, 512)]
    for objective, seed, term, (sigma, n) in itertools.product(("untrained", "comm"), (0, 1), TERMS, strains):
        bits = (1.0 - sigma / 2 + 0.1 * seed) * (0.5 if n == 512 else 1.0)
        base = {"objective": objective, "seed": seed, "term": term, "truth": 1.0}
        rows += [
            base | {"sigma": sigma, "rows": n, "captured": bits, "headline": True},
            base | {"sigma": sigma, "rows": n, "captured": -9.0, "headline": False},
        ]
    return pd.DataFrame(rows)


def test_lines_are_means_of_headlines_over_seeds():
    figure, _ = readability_figure(table())
    assert len(figure.axes) == 8
    for panel, x, y in (
        (figure.axes[0], [0.0, 0.4, 1.6], [1.05, 0.85, 0.25]),
        (figure.axes[4], [512, 8192], [0.525, 1.05]),
    ):
        line = next(line for line in panel.lines if line.get_color() == LOOKS["comm"].colour)
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), y)


def test_the_floor_is_dotted_and_the_truth_drawn():
    panel = readability_figure(table())[0].axes[0]
    floor = next(line for line in panel.lines if line.get_color() == LOOKS["untrained"].colour)
    assert floor.get_linestyle() == "--"  # matplotlib's word for any dashes
    assert any(set(np.atleast_1d(line.get_ydata())) == {1.0} for line in panel.lines)


def test_several_widths_have_a_line_of_panels_each_and_no_rows_where_they_do_not_vary():
    at_once = table()[lambda rows: rows["rows"] == 8192]
    wide = pd.concat([at_once.assign(dim=2), at_once.assign(dim=8, captured=at_once["captured"] / 2)])
    figure, shown = readability_figure(wide, [["dim"], ["sigma"]])
    assert len(figure.axes) == 8
    assert [panel.get_ylabel() for panel in figure.axes[::4]] == ["bits read\ndim=2", "bits read\ndim=8"]
    for panel, scale in ((figure.axes[0], 1.0), (figure.axes[4], 0.5)):
        line = next(line for line in panel.lines if line.get_color() == LOOKS["comm"].colour)
        np.testing.assert_allclose(line.get_ydata(), scale * np.array([1.05, 0.85, 0.25]))
    assert len(shown) == 2 * 2 * 4 * 3
