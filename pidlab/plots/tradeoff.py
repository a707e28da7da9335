"""Figure "tradeoff": captured bits of two terms against each other along a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from pidlab.errors import InvalidRequest
from pidlab.plots.capture import bits_limits
from pidlab.plots.drawing import legend, objective_handles, panel_grid, point_title, truth_handle
from pidlab.plots.style import LIGHT_GREY, TRUTH, Look, looks, style, width_of
from pidlab.results.formatting import format_value
from pidlab.results.means import list_points, mean_over_seeds, point_columns, rows_at, thin_points
from pidlab.results.panels import describe_term, panels

DEFAULT_TERMS = ("unique1", "synergy")
# Width of a single panel with its labels, in inches.
SINGLE_WIDTH = 3.25
# Arguments of the region of pairs of bits that the data allow, and of the line of equal bits.
FEASIBLE: dict[str, Any] = {"facecolor": "#EBEBEB", "edgecolor": "none", "zorder": 0}
IDENTITY: dict[str, Any] = {"color": LIGHT_GREY, "linestyle": (0, (1, 2)), "linewidth": 0.9, "zorder": 0.5}


def tradeoff_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw the captured bits of one term against those of another, with a curve per objective.

    A curve follows the first axis of the sweep; an arrow points to its last value. Dots are single seeds,
    the grey curve is the truth. The shaded region is feasible: at some point of the sweep, neither term
    exceeds its truth there. On the dotted identity line both terms have equal bits. Each further axis adds a
    panel per value (of more than three values the first, the middle and the last).

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together; curves follow the first.
        venue: One of `VENUES`.
        readout: Readout to show.
        terms: The term along x and the term along y; by default unique1 and synergy.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If there are no headline rows of exactly two terms.
    """
    rows, divided = panels(table, readout, terms)
    known = list(dict.fromkeys(part.term for part in divided if part.readout == readout))
    pair = list(terms) or (list(DEFAULT_TERMS) if set(DEFAULT_TERMS) <= set(known) else known)
    if len(pair) != 2 or not set(pair) <= set(known):
        raise InvalidRequest(
            f"--term {', '.join(pair)}: a trade-off figure needs two terms; name two of {', '.join(known)}"
        )
    rows = rows[rows["term"].isin(pair) & (rows["readout"] == readout)]
    by = point_columns(rows, axis_groups)
    points = thin_points(list_points(rows, by[1:]))
    means = mean_over_seeds(rows, by)
    shown = pd.concat([rows_at(means, point) for point in points], ignore_index=True)
    palette = looks(shown["objective"])
    along = by[0] if by else None
    with style(venue):
        width = min(width_of(venue), SINGLE_WIDTH) if len(points) == 1 else width_of(venue)
        height = 0.85 * width / len(points)
        figure, (drawn,) = panel_grid(venue, 1, len(points), height=height, beneath=1.2, width=width)
        for panel, point in zip(drawn, points, strict=True):
            _draw_curves(panel, rows_at(shown, point), rows_at(rows, point), pair, along, palette)
            panel.set(
                xlim=bits_limits(shown),
                ylim=bits_limits(shown),
                title=point_title(point) or _arrow_title(shown, along),
            )
            panel.set_aspect("equal")
            panel.set_xlabel(f"captured {describe_term(pair[0])} [bits]")
        drawn[0].set_ylabel(f"captured {describe_term(pair[1])} [bits]")
        region = Patch(label="feasible region", **FEASIBLE)
        identity = Line2D([], [], label="identity", **IDENTITY)
        legend(figure, [*objective_handles(palette), truth_handle(), identity, region])
    return figure, shown


def _draw_curves(
    panel: Axes,
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    pair: list[str],
    along: str | None,
    palette: Mapping[str, Look],
) -> None:
    for name, look in palette.items():
        mine, single = means[means["objective"] == name], seeds[seeds["objective"] == name]
        curve = _curve(mine, pair, along, "mean")
        if curve.empty:
            continue
        dots = single.pivot_table("captured", [*([along] if along else []), "seed"], "term", dropna=False)
        panel.scatter(dots[pair[0]], dots[pair[1]], s=4, color=look.color, alpha=0.4, linewidth=0)
        panel.plot(curve[pair[0]], curve[pair[1]], **look.line, markersize=3, zorder=3)
        _draw_arrow(panel, curve.to_numpy(), look.color)
    truth = _curve(means.drop_duplicates([*([along] if along else []), "term"]), pair, along, "truth")
    panel.plot(truth[pair[0]], truth[pair[1]], marker=".", markersize=3, **TRUTH)
    _draw_arrow(panel, truth.to_numpy(), TRUTH["color"])
    panel.axline((0.0, 0.0), slope=1.0, **IDENTITY)
    for x, y in truth.to_numpy():
        panel.add_patch(Rectangle((0.0, 0.0), x, y, **FEASIBLE))


def _curve(means: pd.DataFrame, pair: list[str], along: str | None, value: str) -> pd.DataFrame:
    """Return the pairs of values in the order of the sweep, shape (points, 2)."""
    index = along or "objective"
    curve = means.pivot_table(value, index, "term", sort=False, dropna=False).reindex(columns=pair)
    # Text sorts as text, also if some values are missing; numbers sort as numbers.
    is_number = pd.api.types.is_numeric_dtype(curve.index)
    return curve.dropna().sort_index(key=lambda values: values if is_number else values.map(str))


def _draw_arrow(panel: Axes, curve: np.ndarray, color: str) -> None:
    """Draw an arrow head on the last segment of a curve that has a visible length."""
    lengths = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    visible = np.flatnonzero(lengths > 0.03)
    if len(visible):
        start, end = curve[visible[-1]], curve[visible[-1] + 1]
        # The head ends at the edge of the mark, so that it is not hidden.
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": color, "linewidth": 0.0, "mutation_scale": 9}
        arrow |= {"shrinkA": 0.0, "shrinkB": 2.5}
        panel.annotate("", tuple(end), tuple(start), arrowprops=arrow, zorder=4)


def _arrow_title(shown: pd.DataFrame, along: str | None) -> str:
    """Return the direction of the sweep in words."""
    values = shown[along].dropna() if along else pd.Series()
    if not along or values.empty:
        return ""
    ordered = values.sort_values() if pd.api.types.is_numeric_dtype(values) else values
    ends = {along: f"{format_value(ordered.iloc[0])} to {format_value(ordered.iloc[-1])}"}
    return f"arrows: {point_title(ends)}"
