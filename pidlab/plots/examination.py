"""The known-answers figure: errors of captured bits, and coverage of their intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.decomposition import TERMS
from pidlab.plots.parts import fix_ticks
from pidlab.plots.style import BLUE, GREEN, GREY, MARKERS, ORANGE, PURPLE, VERMILION, style, width_of
from pidlab.results.panels import SYMBOLS, require

LEVEL_COLOURS = {"quick": ORANGE, "standard": BLUE, "thorough": GREEN, "exam": VERMILION}
COVERAGE_COLOURS = {"exact posterior": BLUE, "linear": PURPLE}
KNOWN_ANSWER_COLUMNS = ("level", "term", "truth", "captured", "low", "high", "headline")
RATES = ("probe", "coverage")
# The least and most coverage that counts as 95 %.
LEAST, MOST = 0.92, 0.98


def known_answers_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    coverage: pd.DataFrame,
) -> tuple[Figure, pd.DataFrame]:
    """Draws two panels: captured minus true bits against true bits, and coverage of the intervals.

    Args:
        table: headlines by level, case, readout and term (`pidlab.validation.examination.examine`).
        axis_groups: not used, for every row says its case.
        venue: whose page the figure is for.
        coverage: rates by case, readout, term and probe.

    Returns:
        The figure, and a table of every number in it; `panel` says in which.

    Raises:
        InvalidRequest: a column is missing.
    """
    require(table, KNOWN_ANSWER_COLUMNS, "a known-answers figure")
    require(coverage, RATES, "its coverage")
    shown = table[table["headline"].astype(bool)]
    rates = coverage[coverage["probe"].isin(COVERAGE_COLOURS)]
    levels = [name for name in LEVEL_COLOURS if name in set(shown["level"])]
    with style(venue):
        figure = Figure(figsize=(width_of(venue), 2.7))
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
        fix_ticks(left)
        fix_ticks(right)
        for i, level in enumerate(levels):
            rows = shown[shown["level"] == level]
            shift = 0.012 * (i - (len(levels) - 1) / 2)
            for term in TERMS:
                mine = rows[rows["term"] == term]
                left.errorbar(
                    mine["truth"] + shift,
                    mine["captured"] - mine["truth"],
                    yerr=[mine["captured"] - mine["low"], mine["high"] - mine["captured"]],
                    color=LEVEL_COLOURS[level],
                    marker=MARKERS[term],
                    markersize=2.6,
                    linestyle="none",
                    elinewidth=0.5,
                    markeredgewidth=0,
                )
        left.axhline(0.0, color=GREY, linewidth=0.6, zorder=1)
        left.set_xlabel("true information of a readout about a factor [bits]")
        left.set_ylabel("captured − true [bits]")
        left.set_yscale("symlog", linthresh=0.02, linscale=1.0)
        ticks = [-1.0, -0.3, -0.1, -0.03, -0.01, 0.0, 0.01]
        left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        left.minorticks_off()
        left.set_ylim(-1.5, 0.02)
        places = np.arange(len(COVERAGE_COLOURS))
        right.axhspan(LEAST, MOST, color=GREY, alpha=0.2, linewidth=0)
        for place, (probe, colour) in zip(places, COVERAGE_COLOURS.items(), strict=True):
            mine = rates.loc[rates["probe"] == probe, "coverage"].to_numpy()
            spread = np.linspace(-0.3, 0.3, len(mine)) if len(mine) > 1 else np.zeros(len(mine))
            right.scatter(place + spread, np.sort(mine), s=6, color=colour, linewidth=0)
        right.set_xticks(places, [f"{probe}" for probe in COVERAGE_COLOURS])
        right.set_xlim(-0.5, len(places) - 0.5)
        right.set_ylim(-0.03, 1.03)
        right.set_ylabel("coverage of the 95 % interval")
        handles = [Line2D([], [], color=LEVEL_COLOURS[name], label=name) for name in levels]
        handles += [
            Line2D([], [], color=GREY, marker=MARKERS[t], linestyle="none", markersize=3, label=SYMBOLS[t])
            for t in TERMS
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=8, handlelength=1.2, columnspacing=1.0
        )
    return figure, pd.concat(
        [shown.assign(panel="errors"), rates.assign(panel="coverage")], ignore_index=True
    )
