"""Figure "readability": bits read under noise on the representation, and with fewer rows for the probes."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest
from pidlab.plots.capture import bits_limits
from pidlab.plots.drawing import (
    CAPTURED,
    draw_objectives,
    label_row,
    label_values,
    legend,
    objective_handles,
    panel_grid,
    point_title,
    truth_handle,
)
from pidlab.plots.style import TRUTH, looks, style
from pidlab.results.means import add_single_seeds, list_points, mean_over_seeds, point_columns, rows_at
from pidlab.results.panels import describe_term

FLOOR = "untrained"
# Each strain with the label of its axis.
STRAINS = {"sigma": "noise $\\sigma$", "rows": "rows of the probes"}


def readability_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw the bits read against the noise, and against the rows of the probes, with a panel per target.

    Each point of a sweep, such as a width, has its own rows of panels. Marks are means over seeds with
    95 % t-intervals, dots are single seeds, the grey line is the truth without noise.

    Args:
        table: Rows by objective, seed, term, sigma and rows (`pidlab.probes.readability`).
        axis_groups: Columns of the parameters that vary together, apart from sigma and rows.
        venue: One of `VENUES`.
        terms: Targets to show; all if empty.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If the table has no headline rows.
    """
    best = table[table["headline"].astype(bool)]
    if best.empty:
        raise InvalidRequest("--kind readability: the table has no headline rows; run the experiment again")
    names = list(terms) or list(dict.fromkeys(best["term"].astype(str)))
    by = [name for name in point_columns(best, axis_groups) if name not in STRAINS]
    best = best.assign(readout=best.get("readout", "z12"))
    along = [*by, *STRAINS]
    shown = add_single_seeds(mean_over_seeds(best, along), best, along)
    # One strain varies while the other is off: no noise, or all rows.
    off = {"sigma": 0.0, "rows": shown["rows"].max()}
    blocks = [
        (point, x, other)
        for point in list_points(best, by)
        for x, other in zip(STRAINS, reversed(STRAINS), strict=True)
        if x == "sigma" or shown[x].nunique() > 1
    ]
    palette = looks(shown["objective"])
    with style(venue):
        figure, grid = panel_grid(venue, len(blocks), len(names), height=1.5)
        for strip, (point, x, other) in zip(grid, blocks, strict=True):
            here, seeds = rows_at(shown, point), rows_at(best, point)
            values = sorted(set(shown[x]))
            positions = {value: float(i) for i, value in enumerate(values)}
            words: dict[Any, float] = {_short(value): at for value, at in positions.items()}
            for term, panel in zip(names, strip, strict=True):
                single = seeds[(seeds["term"] == term) & (seeds[other] == off[other])]
                draw_objectives(panel, single.assign(x=single[x].map(positions)), "x", palette)
                truths = here.loc[(here["term"] == term) & (here[other] == off[other]), "truth"]
                for truth in truths.dropna().iloc[:1]:
                    panel.axhline(truth, **TRUTH)
                panel.set_ylim(bits_limits(shown))
                label_values(panel, words, letters=30)
                panel.set_xlabel(STRAINS[x])
            if point:
                label_row(strip[-1], point_title(point))
        for term, panel in zip(names, grid[0], strict=True):
            panel.set_title(describe_term(term))
        figure.supylabel(CAPTURED, fontsize="medium")
        legend(figure, [*objective_handles(palette), truth_handle()])
    return figure, shown


def _short(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:.3g}k"
