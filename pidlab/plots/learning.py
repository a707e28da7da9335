"""Figure "learning": captured information during training, from probes of checkpoints."""

from collections.abc import Sequence
from math import log10

import pandas as pd
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest
from pidlab.plots.capture import bits_limits
from pidlab.plots.drawing import (
    CAPTURED,
    draw_objectives,
    label_row,
    legend,
    objective_handles,
    panel_grid,
    point_title,
    truth_handle,
)
from pidlab.plots.style import TRUTH, looks, style
from pidlab.results.means import (
    add_single_seeds,
    list_points,
    mean_over_seeds,
    point_columns,
    rows_at,
    thin_points,
)
from pidlab.results.panels import panels

TRACKED = "tracked"


def learning_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw captured information against training steps, with a panel per term.

    Marks are means over seeds with 95 % t-intervals, dots are single seeds, the grey line is the truth.
    The axis of steps is logarithmic, with step 0 at its left end. Of more than three points of a sweep, the
    first, the middle and the last have a row of panels each.

    Args:
        table: Rows as in results.csv; those of quantity `tracked` have a `step`.
        axis_groups: Columns of the parameters that vary together.
        venue: One of `VENUES`.
        readout: Readout to show.
        terms: Targets that are shown in addition to the terms.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If training was not tracked, or not for that readout.
    """
    if "step" not in table or not (table["quantity"] == TRACKED).any():
        raise InvalidRequest(
            "--kind learning: the results have no checkpoints; run the sweep again with --track N"
        )
    rows, divided = panels(table, readout, terms, TRACKED)
    by = point_columns(rows, axis_groups)
    points = thin_points(list_points(rows, by))
    along = [*by, "step"]
    means = add_single_seeds(mean_over_seeds(rows, along), rows, along).astype({"step": int})
    shown = pd.concat([rows_at(means, point) for point in points], ignore_index=True)
    palette = looks(shown["objective"])
    first, last = _range(shown["step"])
    ticks = [0, *(10**k for k in range(9) if first <= 10**k <= last)]
    # 1000 and 10000 would touch in a narrow panel.
    names = [f"{step // 1000}k" if step >= 1000 else str(step) for step in ticks]
    with style(venue):
        figure, grid = panel_grid(venue, len(points), len(divided))
        for strip, point in zip(grid, points, strict=True):
            here, seeds = rows_at(shown, point), rows_at(rows, point)
            for part, panel in zip(divided, strip, strict=True):
                single = part.rows(seeds)
                positions = [_position(step, first) for step in single["step"]]
                draw_objectives(panel, single.assign(x=positions), "x", palette)
                for truth in part.rows(here)["truth"].dropna().iloc[:1]:
                    panel.axhline(truth, **TRUTH)
                panel.set_ylim(bits_limits(shown))
                panel.set_xticks([_position(step, first) for step in ticks], names)
            if point:
                label_row(strip[-1], point_title(point, "\n"))
        for part, panel in zip(divided, grid[0], strict=True):
            panel.set_title(part.title)
        figure.supylabel(CAPTURED, fontsize="medium")
        for panel in grid[-1]:
            panel.set_xlabel("training steps")
        truth = [truth_handle()] if shown["truth"].notna().any() else []
        legend(figure, [*objective_handles(palette), *truth])
    return figure, shown


def _range(steps: pd.Series) -> tuple[int, int]:
    """Return the first positive step and the last step."""
    positive = steps[steps > 0]
    return (int(positive.min()), int(positive.max())) if len(positive) else (1, 1)


def _position(step: int, first: int) -> float:
    """Return the logarithmic position of a step; `first` is one decade to the right of step 0."""
    return 1.0 + log10(step / first) if step > 0 else 0.0
