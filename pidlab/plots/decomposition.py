"""Decompositions as stacked bars: the four terms of each, in bits."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pidlab.decomposition import TERMS, Decomposition
from pidlab.plots.style import GREY, TERM_COLOURS, style
from pidlab.tables.symbols import SYMBOLS

# Width of a column of a two-column page, in inches.
WIDTH = 3.4


def decomposition_figure(decompositions: Mapping[str, Decomposition], title: str = "") -> Figure:
    """Draws a horizontal bar of four terms for every decomposition, the first on top.

    Positive terms are stacked from 0 to the right, negative ones from 0 to the left and hatched, so that
    the two sides of a bar still differ by the total, which a grey line marks.

    Args:
        decompositions: scalar decompositions by label.
        title: of the figure.
    """
    names = list(decompositions)
    with style():
        figure = Figure(figsize=(WIDTH, 0.95 + 0.24 * len(names)))
        panel = figure.subplots()
        for row, found in enumerate(decompositions.values()):
            ends = {True: 0.0, False: 0.0}
            for term in TERMS:
                bits = float(found.terms[term])
                if abs(bits) <= max(float(found.gap), 1e-9):
                    continue
                panel.barh(
                    row,
                    bits,
                    0.72,
                    left=ends[bits > 0],
                    color=TERM_COLOURS[term],
                    edgecolor="white",
                    linewidth=0.6,
                    hatch="" if bits > 0 else "/////",
                )
                ends[bits > 0] += bits
        totals = np.array([float(found.total) for found in decompositions.values()])
        panel.vlines(
            totals, np.arange(len(names)) - 0.45, np.arange(len(names)) + 0.45, color=GREY, linewidth=0.9
        )
        panel.axvline(0.0, color="black", linewidth=0.6)
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel("information about $Y$ [bits]")
        if title:
            panel.set_title(title, loc="left")
        swatches = [panel.barh(0, 0, color=TERM_COLOURS[term], label=SYMBOLS[term]) for term in TERMS]
        line = panel.plot([], [], color=GREY, linewidth=0.9, label="$I(X_1,X_2;Y)$")
        figure.legend(
            handles=[*swatches, *line],
            loc="outside lower center",
            ncols=5,
            handlelength=1.0,
            columnspacing=1.2,
        )
    return figure
