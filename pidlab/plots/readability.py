"""Readable bits as a figure: against the noise on a representation, and against the probes' rows."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
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
from pidlab.plots.style import (
    TRUTH,
    Look,
    looks,
    style,
)
from pidlab.results.means import (
    at_place,
    columns_of,
    means,
    places,
    with_seeds,
)
from pidlab.results.panels import symbol_of

FLOOR = "untrained"
STRAINS = ("sigma", "rows")
# Below this deviation the axis of noise is linear, so that 0 has a place on it.
LINEAR = 0.1
TICKS = (0.0, 0.1, 0.4, 1.6)


def readability_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws lines of panels, one per target: bits read against σ, and beneath against the probes' rows.

    Each of several points, such as widths, has its own. Lines are means over seeds, bands 95 % t-intervals,
    dots single seeds; the untrained floor is grey, the truth without noise a grey line.

    Args:
        table: headlines and other rows by objective, seed, term, sigma and rows
            (`pidlab.probes.readability`).
        axis_groups: columns of the parameters that move together; the strains themselves do not count.
        venue: whose page the figure is for.
        terms: that are asked for by name.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: nothing in the table is a headline.
    """
    best = table[table["headline"].astype(bool)]
    if best.empty:
        raise InvalidRequest("nothing to draw: no headline in these results")
    names = list(terms) or list(dict.fromkeys(best["term"].astype(str)))
    by = [name for name in columns_of(best, axis_groups) if name not in STRAINS]
    best = best.assign(readout=best.get("readout", "z12"))
    shown = with_seeds(means(best, [*by, *STRAINS]), best, [*by, *STRAINS])
    blocks = [
        (place, x, held)
        for place in places(best, by)
        for x, held in zip(STRAINS, reversed(STRAINS), strict=True)
        if x == "sigma" or shown[x].nunique() > 1
    ]
    most = {"sigma": 0.0, "rows": shown["rows"].max()}
    palette = looks(shown["objective"])
    top = max(1.05 * float(shown[["truth", "mean"]].max().max()), 0.1)
    limits = (-0.06 * top, 1.04 * top)
    with style(venue):
        figure, grid = panel_grid(venue, len(blocks), len(names))
        for number, (strip, (place, x, held)) in enumerate(zip(grid, blocks, strict=True)):
            here, single = at_place(shown, place), at_place(best, place)
            for term, panel in zip(names, strip, strict=True):
                mine = here[(here["term"] == term) & (here[held] == most[held])].sort_values(x)
                seeds = single[(single["term"] == term) & (single[held] == most[held])]
                _panel(panel, mine, seeds, x, palette, limits)
                if number == 0:
                    panel.set_title(f"{term} {symbol_of(term) or ''}".strip())
                if number + 1 < len(blocks) and blocks[number + 1][1] == x:
                    panel.set_xlabel("")
            label = place_label(place)
            strip[0].set_ylabel(f"bits read\n{label}" if label else "bits read")
        legend(figure, [*handles_of(palette), Line2D([], [], **TRUTH_HANDLE)])
    return figure, shown


def _panel(
    panel: Axes,
    mine: pd.DataFrame,
    seeds: pd.DataFrame,
    x: str,
    palette: dict[str, Look],
    limits: tuple[float, float],
) -> None:
    for i, (objective, line) in enumerate(mine.groupby("objective", sort=False)):
        look = palette[str(objective)]
        draw_line(panel, line, x, look, line_width(i), limits)
        single = seeds[seeds["objective"] == objective]
        panel.scatter(single[x], single["captured"], s=2.5, color=look.colour, linewidth=0)
    if mine["truth"].notna().any():
        panel.axhline(mine["truth"].iloc[0], **TRUTH)
    panel.set_ylim(limits)
    values = sorted(set(mine[x]))
    if x == "sigma":
        panel.set_xscale("symlog", linthresh=LINEAR)
        ticks = [value for value in values if value in TICKS]
        panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
        panel.set_xlim(-0.01, 1.15 * max(values))
        panel.set_xlabel("noise σ")
    else:
        panel.set_xscale("log")
        panel.set_xticks(values, [str(n) if n < 1000 else f"{n / 1000:.0f}k" for n in values])
        panel.set_xlabel("rows of the probes")
    panel.minorticks_off()
