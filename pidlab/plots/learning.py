"""The learning figure: captured bits along training, from probes of checkpoints."""

from collections.abc import Sequence
from math import log10

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.errors import InvalidRequest
from pidlab.plots.parts import (
    TRUTH_HANDLE,
    draw_line,
    handles_of,
    legend,
    line_width,
    panel_grid,
    place_label,
)
from pidlab.plots.style import TRUTH, looks, style
from pidlab.results.means import (
    at_place,
    columns_of,
    means,
    places,
    thin_points,
    with_seeds,
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
    """Draws captured bits against training steps: a panel per term, a line and a band per objective.

    Lines are means over seeds, bands 95 % t-intervals, hairlines single seeds, the grey line is the truth.
    Steps are on a logarithmic axis that holds 0. There is a line of panels per point of a sweep (the first,
    the middle and the last of more than three).

    Args:
        table: rows as in results.csv, some of quantity `tracked` with a `step`.
        axis_groups: columns of the parameters that move together.
        venue: whose page the figure is for.
        readout: which readout.
        terms: that are asked for by name.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: nothing was tracked, or not that readout.
    """
    if "step" not in table or not (table["quantity"] == TRACKED).any():
        raise InvalidRequest("nothing to draw: no bits along training in these results; sweep with --track N")
    rows, divided = panels(table, readout, terms, TRACKED)
    by = columns_of(rows, axis_groups)
    chosen = thin_points(places(rows, by))
    along = [*by, "step"]
    shown = with_seeds(means(rows, along), rows, along).astype({"step": int})
    shown = pd.concat([at_place(shown, place) for place in chosen], ignore_index=True)
    palette = looks(shown["objective"])
    top = max(1.05 * float(shown[["truth", "mean"]].max().max()), 0.1)
    limits = (-0.06 * top, 1.04 * top)
    positive = shown.loc[shown["step"] > 0, "step"]
    with style(venue):
        figure, grid = panel_grid(venue, len(chosen), len(divided))
        for number, (strip, place) in enumerate(zip(grid, chosen, strict=True)):
            here, seeds = at_place(shown, place), at_place(rows, place)
            for part, panel in zip(divided, strip, strict=True):
                mine, single = part.of(here).sort_values("step"), part.of(seeds).sort_values("step")
                for i, (objective, line) in enumerate(mine.groupby("objective", sort=False)):
                    look = palette[str(objective)]
                    draw_line(panel, line, "step", look, line_width(i), limits)
                    for _, run in single[single["objective"] == objective].groupby("seed"):
                        panel.plot(run["step"], run["captured"], color=look.colour, linewidth=0.3, alpha=0.6)
                if mine["truth"].notna().any():
                    panel.axhline(mine["truth"].iloc[0], **TRUTH)
                panel.set_ylim(limits)
                if len(positive):
                    panel.set_xscale("symlog", linthresh=float(positive.min()))
                    panel.set_xlim(-0.2 * float(positive.min()), 1.2 * float(positive.max()))
                    ticks = _ticks(float(positive.min()), float(positive.max()))
                    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                    panel.minorticks_off()
                if number == 0:
                    panel.set_title(part.title)
                if number == len(chosen) - 1:
                    panel.set_xlabel("training steps")
            label = place_label(place, between="\n")
            strip[0].set_ylabel(f"captured [bits]\n{label}" if label else "captured [bits]")
        truth = [Line2D([], [], **TRUTH_HANDLE)] if shown["truth"].notna().any() else []
        legend(figure, [*handles_of(palette), *truth])
    return figure, shown


def _ticks(least: float, most: float) -> list[float]:
    """0, and the powers of ten where the axis is logarithmic."""
    powers = (10.0**k for k in range(int(log10(most)) + 1))
    return [0.0, *(power for power in powers if power > least)]
