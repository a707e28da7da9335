"""The profile figure: captured terms of every objective as a stacked bar, beside the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pidlab.errors import InvalidRequest
from pidlab.plots.parts import legend, panel_grid, place_label
from pidlab.plots.style import TRUTH, style, term_colours
from pidlab.results.means import (
    at_place,
    columns_of,
    means,
    places,
    thin_points,
)
from pidlab.results.panels import Panel, panels

BAR = 0.72
_INTERVAL: dict[str, Any] = {"fmt": "o", "color": "black", "elinewidth": 0.6, "markersize": 1.1}
# How far truth stands above the objectives, in bars.
APART = 0.35


def profile_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws a horizontal bar per objective: means over seeds of what is captured of each term, stacked.

    The truth is the bar on top, a grey line marks its end. At the end of a segment stands the 95 %
    t-interval of that term alone. There is a panel per point of a sweep; of more than three points the
    first, the middle and the last are shown. (After CoMM's Figure 4, arXiv 2409.07402, in bits.)

    Args:
        table: rows as in results.csv.
        axis_groups: columns of the parameters that move together.
        venue: whose page the figure is for.
        readout: which readout.
        terms: that are asked for by name.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: no headlines of that readout, or targets that are no terms and do not add up.
    """
    rows, divided = panels(table, readout, terms)
    if {part.readout for part in divided} != {readout}:
        held = ", ".join(dict.fromkeys(part.term for part in divided))
        raise InvalidRequest(
            f"a profile stacks terms, which add up; these results are about {held}: draw a capture figure"
        )
    by = columns_of(rows, axis_groups)
    chosen = thin_points(places(rows, by))
    shown = means(rows, by)
    shown = pd.concat([at_place(shown, place) for place in chosen], ignore_index=True)
    objectives = list(dict.fromkeys(shown["objective"].astype(str)))
    palette = term_colours(part.term for part in divided)
    with style(venue):
        figure, grid = panel_grid(
            venue,
            1,
            len(chosen),
            height=0.55 + 0.19 * (len(objectives) + 1),
            beneath=0.3,
            sharex=True,
            sharey=True,
        )
        for panel, place in zip(grid[0], chosen, strict=True):
            _bars(panel, at_place(shown, place), objectives, divided, palette)
            panel.set_title(place_label(place))
            panel.set_xlabel("captured [bits]")
            panel.tick_params(axis="y", length=0)
            panel.spines["left"].set_visible(False)
        grid[0][0].set_yticks([-APART, *range(1, len(objectives) + 1)], ["truth", *objectives])
        grid[0][0].set_ylim(len(objectives) + 0.6, -APART - 0.6)
        legend(figure, [Patch(color=palette[part.term], label=part.title) for part in divided])
    return figure, shown


def _bars(
    panel: Axes, shown: pd.DataFrame, objectives: list[str], divided: list[Panel], palette: dict[str, str]
) -> None:
    ends = np.zeros(len(objectives) + 1)
    heights = np.array([-APART, *range(1, len(objectives) + 1)])
    for number, part in enumerate(divided):
        mine = part.of(shown).set_index("objective").reindex(objectives)
        truth = mine["truth"].dropna()
        bits = np.array([truth.iloc[0] if len(truth) else 0.0, *mine["mean"]])
        # What a lower bound puts below zero, by chance, is no length; what was not measured neither.
        lengths = np.nan_to_num(bits).clip(min=0.0)
        panel.barh(heights, lengths, BAR, left=ends, color=palette[part.term], linewidth=0)
        ends = ends + lengths
        half = (mine["high"] - mine["low"]).to_numpy() / 2
        shift = (number - (len(divided) - 1) / 2) * BAR / (len(divided) + 1)
        panel.errorbar(ends[1:], heights[1:] + shift, xerr=half, zorder=4, **_INTERVAL)
    panel.axvline(ends[0], **TRUTH | {"zorder": 3})
    panel.axhline(0.35, color="black", linewidth=0.4)
    panel.set_xlim(0.0, 1.06 * max(float(ends.max()), 0.1))
