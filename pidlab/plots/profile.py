"""Figure "profile": captured information of each objective, with a panel per term."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from pidlab.plots.capture import bits_limits, without_empty
from pidlab.plots.drawing import (
    draw_rows,
    label_row,
    legend,
    panel_grid,
    point_title,
    truth_handles,
)
from pidlab.plots.style import SMALLEST_FONT, TRUTH, TRUTH_BAND, looks, objective_label, style
from pidlab.results.means import (
    add_lower_bounds,
    list_points,
    mean_over_seeds,
    point_columns,
    rows_at,
    thin_points,
)
from pidlab.results.panels import panels

# Height in inches of the text block of a page.
TALLEST = 9.0


def profile_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw the captured information of each objective as a row, with a panel per term.

    Marks are means over seeds with 95 % t-intervals, dots are single seeds, the grey line is the truth.
    If the truth is known up to bounds, a band reaches from its lower bound to the planted information.
    Of more than three points of a sweep, the first, the middle and the last are shown. Terms without
    information that no objective captures have no panel. The content is that of Figure 4 of CoMM
    (arXiv 2409.07402), in bits.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together.
        venue: One of `VENUES`.
        readout: Readout to show.
        terms: Targets that are shown in addition to the terms.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If there are no headline rows of that readout.
    """
    rows, divided = panels(table, readout, terms)
    by = point_columns(rows, axis_groups)
    points = thin_points(list_points(rows, by))
    means = add_lower_bounds(mean_over_seeds(rows, by), table, by)
    shown = pd.concat([rows_at(means, point) for point in points], ignore_index=True)
    divided = without_empty(divided, shown)
    palette = looks(shown["objective"])
    with style(venue):
        # A row needs 0.13 inches; a figure that would be taller than a page has lower ones.
        height = min(0.45 + 0.13 * len(palette), (TALLEST - 0.65) / len(points))
        figure, grid = panel_grid(venue, len(points), len(divided), height, sharey=True)
        for strip, point in zip(grid, points, strict=True):
            seeds, here = rows_at(rows, point), rows_at(shown, point)
            for part, panel in zip(divided, strip, strict=True):
                draw_rows(panel, part.rows(seeds), "captured", "objective", palette)
                for truth in part.rows(here)["truth"].dropna().unique():
                    panel.axvline(truth, **TRUTH)
                if "truth_low" in here:
                    for low, high in part.rows(here)[["truth_low", "truth"]].drop_duplicates().to_numpy():
                        panel.axvspan(low, high, **TRUTH_BAND)
                panel.set_xlim(bits_limits(shown))
            if point:
                label_row(strip[-1], point_title(point, "\n"))
            names = [objective_label(name) for name in palette]
            strip[0].set_yticks(
                range(len(names)), names, fontsize=min(SMALLEST_FONT, 60 * height / len(names))
            )
        for part, panel in zip(divided, grid[0], strict=True):
            # The names of objectives leave narrow panels.
            panel.set_title(part.title.replace(" ", "\n", 1) if len(divided) > 2 else part.title)
        for panel in grid[-1]:
            panel.set_xlabel("captured [bits]")
        legend(figure, truth_handles(shown))
    return figure, shown
