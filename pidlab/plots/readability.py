"""Readable bits as a figure: against the noise on a representation, and against the probes' rows."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.errors import InvalidRequest
from pidlab.plots.parts import TRUTH_HANDLE, draw_line, handles_of, legend, line_width, panel_grid
from pidlab.plots.style import TRUTH, looks, style
from pidlab.tables.means import means
from pidlab.tables.symbols import symbol_of

FLOOR = "untrained"
# Below this deviation the axis of noise is linear, so that 0 has a place on it.
LINEAR = 0.1
TICKS = (0.0, 0.1, 0.4, 1.6)


def readability_figure(
    table: pd.DataFrame,
    directions: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws two lines of panels, one per target: bits read against σ, and against the probes' rows.

    Lines are means over seeds, bands 95 % t-intervals, dots single seeds; the untrained floor is grey,
    the truth without noise a grey line.

    Args:
        table: headlines and other rows by objective, seed, term, sigma and rows
            (`pidlab.analysis.readability`).
        directions: not used; the strains are the directions.
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
    shown = means(best.assign(readout=best.get("readout", "z12")), ["sigma", "rows"])
    most = shown["rows"].max()
    palette = looks(shown["objective"])
    top = max(1.05 * float(shown[["truth", "mean"]].max().max()), 0.1)
    limits = (-0.06 * top, 1.04 * top)
    with style(venue):
        figure, grid = panel_grid(venue, 2, len(names))
        for strip, x, held in zip(grid, ("sigma", "rows"), ("rows", "sigma"), strict=True):
            at = most if held == "rows" else 0.0
            for term, panel in zip(names, strip, strict=True):
                mine = shown[(shown["term"] == term) & (shown[held] == at)].sort_values(x)
                seeds = best[(best["term"] == term) & (best[held] == at)]
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
                    panel.set_title(f"{term} {symbol_of(term) or ''}".strip())
                    panel.set_xscale("symlog", linthresh=LINEAR)
                    ticks = [value for value in values if value in TICKS]
                    panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
                    panel.set_xlim(-0.01, 1.15 * max(values))
                    panel.set_xlabel("noise σ on whitened z")
                else:
                    panel.set_xscale("log")
                    panel.set_xticks(values, [str(n) if n < 1000 else f"{n / 1000:.0f}k" for n in values])
                    panel.set_xlabel("rows of the probes")
                panel.minorticks_off()
            strip[0].set_ylabel("bits read")
        legend(figure, [*handles_of(palette), Line2D([], [], **TRUTH_HANDLE)])
    return figure, shown
