"""The capture figure: bits read from the frozen representation against the truth, term by term."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.plots.parts import (
    TRUTH_HANDLE,
    axis_label,
    draw_line,
    handles_of,
    legend,
    line_width,
    panel_grid,
    place_label,
    show,
)
from pidlab.plots.style import (
    TRUTH,
    Look,
    looks,
    style,
)
from pidlab.results.means import (
    at_place,
    columns_of,
    is_reference,
    means,
    places,
    with_seeds,
)
from pidlab.results.panels import panels

MOST_ROWS = 12
# Of the words beneath a panel that stand side by side; more are tilted.
MOST_LETTERS = 16


def capture_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws captured against true bits: a panel per term, a line and a band per objective.

    A term that rises or falls along the first direction is drawn against its own truth, with the identity
    as a grey line; any other is drawn against the swept parameter, with its truth as a grey line. Lines are
    means over seeds, bands 95 % t-intervals over them, dots single seeds. Each
    further direction adds a row of panels per value.

    Args:
        table: rows as in results.csv.
        axis_groups: columns of the parameters that move together, the direction to be drawn along first.
        venue: whose page the figure is for.
        readout: which readout, where there is a target per term (see `pidlab.results.panels`).
        terms: that are asked for by name.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: nothing in the table is a headline of that readout.
    """
    rows, divided = panels(table, readout, terms)
    by = columns_of(rows, axis_groups) or ["redundant"]
    along = by[0]
    shown = with_seeds(means(rows, by), rows, by)
    combinations = places(rows, by[1:])
    drawn = combinations[:MOST_ROWS]
    palette = looks(rows["objective"])
    top = max(1.05 * float(shown[["truth", "mean"]].max().max()), 0.1)
    limits = (-0.06 * top, 1.04 * top)
    with style(venue):
        figure, grid = panel_grid(venue, len(drawn), len(divided))
        for line, (strip, place) in enumerate(zip(grid, drawn, strict=True)):
            here, seeds = at_place(shown, place), at_place(rows, place)
            for part, panel in zip(divided, strip, strict=True):
                _panel(panel, part.of(here), part.of(seeds), part.symbol, along, palette, limits)
                panel.set_ylim(limits)
                if line == 0:
                    panel.set_title(part.title)
                if line < len(drawn) - 1:
                    panel.set_xlabel("")
            label = place_label(place, between="\n")
            strip[0].set_ylabel(f"captured [bits]\n{label}" if label else "captured [bits]")
        if len(drawn) < len(combinations):
            figure.suptitle(f"first {len(drawn)} of {len(combinations)} rows; the table beside has all")
        bars = any(panel.patches for panel in figure.axes)
        truth = [Line2D([], [], **TRUTH_HANDLE)] if shown["truth"].notna().any() else []
        legend(figure, [*handles_of(palette, areas=bars), *truth])
    return figure, shown


def _panel(
    panel: Axes,
    shown: pd.DataFrame,
    rows: pd.DataFrame,
    symbol: str,
    along: str,
    palette: dict[str, Look],
    limits: tuple[float, float],
) -> None:
    if shown.empty:  # a term that this row of panels lacks
        panel.set_axis_off()
        return
    swept = shown["truth"].nunique() > 1 and _one_to_one(shown, along)
    x = "truth" if swept else along
    numeric = pd.api.types.is_numeric_dtype(shown[x])
    if shown[x].nunique() <= 1 or not numeric:
        # Where nothing is varied x may be a truth that nobody knows: one place, whatever it is called.
        _categories(panel, shown.fillna({x: 0.0}), rows.fillna({x: 0.0}), palette, x)
    else:
        _lines(panel, shown, rows, palette, x, limits)
        points = shown.drop_duplicates(x).sort_values(x)
        if swept or points["truth"].nunique() == 1:
            points = points.iloc[[0, -1]]
        panel.plot(points[x], points["truth"], **TRUTH)
        panel.set_xlabel(f"true {symbol} [bits]" if swept else axis_label(along))


def _one_to_one(shown: pd.DataFrame, along: str) -> bool:
    """Whether the truth tells the points of an axis apart and in order, so that it can be an axis itself."""
    if not pd.api.types.is_numeric_dtype(shown[along]):
        return True
    truths = shown.drop_duplicates(along).sort_values(along)["truth"]
    return truths.is_unique and (truths.is_monotonic_increasing or truths.is_monotonic_decreasing)


def _lines(
    panel: Axes,
    shown: pd.DataFrame,
    rows: pd.DataFrame,
    palette: dict[str, Look],
    x: str,
    limits: tuple[float, float],
) -> None:
    for i, (objective, line) in enumerate(shown.sort_values(x).groupby("objective", sort=False)):
        look = palette[str(objective)]
        draw_line(panel, line, x, look, line_width(i), limits)
        if not is_reference(str(objective)):
            seeds = rows[rows["objective"] == objective]
            panel.scatter(seeds[x], seeds["captured"], s=2.5, color=look.colour, linewidth=0, zorder=4)


def _categories(
    panel: Axes, shown: pd.DataFrame, rows: pd.DataFrame, palette: dict[str, Look], x: str
) -> None:
    """One point, or a parameter that is a word: objectives side by side."""
    where = {value: i for i, value in enumerate(dict.fromkeys(shown[x]))}
    width = 0.8 / len(palette)
    for i, (objective, look) in enumerate(palette.items()):
        mine, seeds = shown[shown["objective"] == objective], rows[rows["objective"] == objective]
        shift = (i - (len(palette) - 1) / 2) * width
        panel.bar(mine[x].map(where) + shift, mine["mean"], 0.85 * width, **look.area)
        panel.scatter(
            seeds[x].map(where) + shift, seeds["captured"], s=3, color="black", linewidth=0, zorder=4
        )
    truths = shown.drop_duplicates(x)
    if truths["truth"].nunique() == 1:
        panel.axhline(truths["truth"].iloc[0], **TRUTH)
    else:
        places_of = truths[x].map(where)
        panel.hlines(truths["truth"], places_of - 0.45, places_of + 0.45, **TRUTH)
    if len(where) > 1:
        words = [show(value) for value in where]
        tilted: dict[str, Any] = (
            {"rotation": 35, "ha": "right"} if sum(map(len, words)) > MOST_LETTERS else {}
        )
        panel.set_xticks(list(where.values()), words, **tilted)
        panel.set_xlabel(axis_label(x))
    else:
        panel.set_xticks([])
