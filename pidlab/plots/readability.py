"""Readable bits as a figure: against the noise on a representation, and against the probes' rows."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.plots.style import GREY, TEXT_WIDTH, colours, style, symbol_of

FLOOR = "untrained"
# Below this deviation the axis of noise is linear, so that 0 has a place on it.
LINEAR = 0.1


def readability_figure(table: pd.DataFrame) -> Figure:
    """Draws two rows of panels, one per target: bits read against σ, and against the probes' rows.

    Lines are means over seeds, dots single seeds; the untrained floor is dotted, the truth a grey line.

    Args:
        table: headlines and other rows by objective, seed, term, sigma and rows
            (`pidlab.analysis.readability`).
    """
    shown = table[table["headline"].astype(bool)]
    terms, most = list(dict.fromkeys(shown["term"])), shown["rows"].max()
    palette = colours(dict.fromkeys(shown["objective"]))
    noisy, fewer = shown[shown["rows"] == most], shown[shown["sigma"] == 0.0]
    with style():
        figure = Figure(figsize=(TEXT_WIDTH * max(1.0, len(terms) / 4), 3.3))
        grid = figure.subplots(2, len(terms), squeeze=False, sharey="row")
        for column, term in enumerate(terms):
            above, below = grid[:, column]
            _lines(above, noisy[noisy["term"] == term], "sigma", palette)
            _lines(below, fewer[fewer["term"] == term], "rows", palette)
            above.set_title(f"{term} {symbol_of(str(term)) or ''}".strip())
            above.set_xscale("symlog", linthresh=LINEAR)
            ticks = [x for x in sorted(set(noisy["sigma"])) if x in (0.0, 0.1, 0.4, 1.6)]
            above.set_xticks(ticks, [f"{x:g}" for x in ticks])
            above.minorticks_off()
            above.set_xlim(-0.01, 1.15 * noisy["sigma"].max())
            above.set_xlabel("noise σ on whitened z")
            below.set_xscale("log")
            counts = sorted(set(fewer["rows"]))
            below.set_xticks(counts, [str(n) if n < 1000 else f"{n / 1000:.0f}k" for n in counts])
            below.minorticks_off()
            below.set_xlabel("rows of the probes")
        for panels in grid:
            panels[0].set_ylabel("bits read")
        handles = [
            Line2D([], [], color=colour, linestyle=_dashes(name), label=name)
            for name, colour in palette.items()
        ]
        handles.append(Line2D([], [], color=GREY, linewidth=0.6, label="truth without noise"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=1.8)
    return figure


def _lines(panel: Axes, rows: pd.DataFrame, x: str, palette: dict[str, str]) -> None:
    for name, colour in palette.items():
        mine = rows[rows["objective"] == name]
        means = mine.groupby(x)["captured"].mean()
        panel.plot(means.index, means, color=colour, linestyle=_dashes(name))
        panel.scatter(mine[x], mine["captured"], s=2.5, color=colour, linewidth=0)
    truth = rows["truth"].to_numpy(dtype=float)
    if len(truth) and np.isfinite(truth[0]):
        panel.axhline(truth[0], color=GREY, linewidth=0.6, zorder=1)


def _dashes(name: str) -> Any:
    return (0, (1, 1)) if name == FLOOR else "-"
