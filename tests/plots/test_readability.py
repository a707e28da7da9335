"""The numbers of the readability figure."""

import itertools

import numpy as np
import pandas as pd
from drawn import assert_line, mean_line

from pidlab.decomposition import TERMS
from pidlab.plots.readability import readability_figure


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


def test_marks_are_means_of_headlines_over_seeds():
    figure, _ = readability_figure(table())
    assert len(figure.axes) == 8
    assert_line(figure.axes[0], "comm", [0, 1, 2], [1.05, 0.85, 0.25])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "0.4", "1.6"]
    assert_line(figure.axes[4], "comm", [0, 1], [0.525, 1.05])
    assert [t.get_text() for t in figure.axes[4].get_xticklabels()] == ["512", "8.19k"]


def test_the_floor_is_dotted_and_the_truth_is_a_line():
    panel = readability_figure(table())[0].axes[0]
    assert mean_line(panel, "untrained").get_linestyle() == "--"  # matplotlib's name of any dash pattern
    assert any(set(np.atleast_1d(line.get_ydata())) == {1.0} for line in panel.lines)


def test_each_width_has_a_row_of_panels_and_constant_probe_rows_have_none():
    all_rows = table()[lambda rows: rows["rows"] == 8192]
    wide = pd.concat([all_rows.assign(dim=2), all_rows.assign(dim=8, captured=all_rows["captured"] / 2)])
    figure, shown = readability_figure(wide, [["dim"], ["sigma"]])
    assert len(figure.axes) == 8
    labels = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert labels == ["readout width = 2", "readout width = 8"]
    for panel, scale in ((figure.axes[0], 1.0), (figure.axes[4], 0.5)):
        assert_line(panel, "comm", [0, 1, 2], scale * np.array([1.05, 0.85, 0.25]))
    assert len(shown) == 2 * 2 * 4 * 3
