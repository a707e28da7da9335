"""The trade-off figure: two terms against each other along a sweep, to see who suppresses whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.errors import InvalidRequest
from pidlab.plots.parts import (
    TRUTH_HANDLE,
    handles_of,
    legend,
    panel_grid,
    place_label,
    show,
    written,
)
from pidlab.plots.style import (
    TRUTH,
    Look,
    looks,
    style,
    width_of,
)
from pidlab.results.means import (
    at_place,
    columns_of,
    means,
    places,
    thin_points,
)
from pidlab.results.panels import panels, symbol_of

DEFAULT = ("unique1", "synergy")
# Areas of the marks at the first and the last point, in points squared.
SMALL, LARGE = 3.0, 22.0
# Width of a single panel with its labels, in inches.
ALONE = 3.25


def tradeoff_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws what is captured of one term against what is captured of another, a curve per objective.

    A curve goes along the first direction, its marks grow from the first value to the last; crosses are
    95 % t-intervals over seeds; the grey curve is the truth. Each further direction adds a panel per value
    (the first, the middle and the last of more than three).

    Args:
        table: rows as in results.csv.
        axis_groups: columns of the parameters that move together, the direction of the curves first.
        venue: whose page the figure is for.
        readout: which readout.
        terms: the term along x and the term along y; by default unique1 and synergy.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: other than two terms, or no headlines of them.
    """
    rows, divided = panels(table, readout, terms)
    held = list(dict.fromkeys(part.term for part in divided if part.readout == readout))
    pair = list(terms) or (list(DEFAULT) if set(DEFAULT) <= set(held) else held)
    if len(pair) != 2 or not set(pair) <= set(held):
        raise InvalidRequest(
            f"a trade-off is between two terms, not {', '.join(pair)}: name two of {', '.join(held)}"
        )
    rows = rows[rows["term"].isin(pair) & (rows["readout"] == readout)]
    by = columns_of(rows, axis_groups)
    chosen = thin_points(places(rows, by[1:]))
    shown = pd.concat([at_place(means(rows, by), place) for place in chosen], ignore_index=True)
    palette = looks(shown["objective"])
    with style(venue):
        width = min(width_of(venue), ALONE) if len(chosen) == 1 else width_of(venue)
        figure, (drawn,) = panel_grid(venue, 1, len(chosen), height=0.85 * width / len(chosen), width=width)
        top = max(1.06 * float(shown[["truth", "mean"]].max().max()), 0.1)
        for panel, place in zip(drawn, chosen, strict=True):
            _curves(panel, at_place(shown, place), pair, by[0] if by else None, palette)
            panel.set(xlim=(-0.06 * top, top), ylim=(-0.06 * top, top), title=place_label(place))
            panel.set_xlabel(f"captured {_named(pair[0])} [bits]")
            panel.set_aspect("equal")
        drawn[0].set_ylabel(f"captured {_named(pair[1])} [bits]")
        marks = _marks(shown[by[0]], by[0]) if by else []
        legend(figure, [*handles_of(palette), Line2D([], [], **TRUTH_HANDLE), *marks])
    return figure, shown


def _named(term: str) -> str:
    return symbol_of(term) or term


def _curves(
    panel: Axes, shown: pd.DataFrame, pair: list[str], along: str | None, palette: dict[str, Look]
) -> None:
    for objective, look in palette.items():
        x, y = (_along(shown[shown["objective"] == objective], term, along) for term in pair)
        if x.empty or y.empty:
            continue
        y = y.reindex(x.index)
        sizes = np.linspace(SMALL, LARGE, len(x)) if len(x) > 1 else LARGE
        panel.plot(x["mean"], y["mean"], **look.line, linewidth=0.9, zorder=2)
        panel.scatter(x["mean"], y["mean"], s=sizes, color=look.colour, linewidth=0, zorder=3)
        panel.errorbar(
            x["mean"],
            y["mean"],
            xerr=(x["high"] - x["low"]) / 2,
            yerr=(y["high"] - y["low"]) / 2,
            fmt="none",
            ecolor=look.colour,
            elinewidth=0.5,
            alpha=0.35,
        )
    first = shown.drop_duplicates([*([along] if along else []), "term"])
    x, y = (_along(first, term, along)["truth"] for term in pair)
    y = y.reindex(x.index)
    panel.plot(x, y, **TRUTH)
    panel.scatter(
        x,
        y,
        s=np.linspace(SMALL, LARGE, len(x)) if len(x) > 1 else LARGE,
        facecolor="none",
        edgecolor=TRUTH["color"],
        linewidth=0.6,
    )


def _along(shown: pd.DataFrame, term: str, along: str | None) -> pd.DataFrame:
    """The points of a term in the order of the sweep."""
    mine = shown[shown["term"] == term]
    return mine.set_index(along).sort_index(key=_comparable) if along else mine.reset_index(drop=True)


def _comparable(values: pd.Index | pd.Series) -> Any:
    """Words as they are written, one that is not known too; numbers are compared as numbers."""
    return values if pd.api.types.is_numeric_dtype(values) else values.map(str)


def _marks(values: pd.Series, along: str) -> list[Line2D]:
    """Legend entries of the first and the last point."""
    ordered = values.drop_duplicates().sort_values(key=_comparable)
    ends = ordered.iloc[:: max(len(ordered) - 1, 1)]
    return [
        Line2D(
            [],
            [],
            color="black",
            marker="o",
            linestyle="none",
            markeredgewidth=0,
            markersize=size**0.5,
            label=f"{written(along)} = {show(value)}",
        )
        for value, size in zip(ends, (SMALL, LARGE), strict=False)
    ]
