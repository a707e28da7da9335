"""Figure "known-answers": errors of captured bits, and coverage of their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.decomposition import TERMS
from pidlab.plots.drawing import fix_ticks, legend
from pidlab.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    SKY,
    TRUTH,
    VERMILION,
    style,
    width_of,
)
from pidlab.results.panels import describe_term, require_columns

LEVEL_COLORS = {"quick": ORANGE, "standard": BLUE, "thorough": GREEN, "exam": VERMILION}
COVERAGE_COLORS = {"exact posterior": BLUE, "linear": PURPLE}
KNOWN_ANSWER_COLUMNS = ("level", "term", "truth", "captured", "low", "high", "headline")
RATES = ("probe", "coverage")
# Range of coverage rates that is compatible with 95 %.
LEAST, MOST = 0.92, 0.98
# Errors below this are on a linear axis, in bits.
LINEAR = 0.02


def known_answers_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    coverage: pd.DataFrame,
) -> tuple[Figure, pd.DataFrame]:
    """Draw two panels: the error of captured bits against true bits, and the coverage of the intervals.

    Args:
        table: Headline rows by level, case, readout and term (`pidlab.validation.examination.examine`).
        axis_groups: Not used, since each row states its case.
        venue: One of `VENUES`.
        coverage: Coverage rates by case, readout, term and probe.

    Returns:
        The figure, and a table of all its numbers; its column `panel` names the panel.

    Raises:
        InvalidRequest: If a column is missing.
    """
    require_columns(table, KNOWN_ANSWER_COLUMNS, "known-answers figure")
    require_columns(coverage, RATES, "coverage table")
    shown = table[table["headline"].astype(bool)]
    rates = coverage[coverage["probe"].isin(COVERAGE_COLORS)]
    levels = [name for name in LEVEL_COLORS if name in set(shown["level"])]
    with style(venue):
        figure = Figure(figsize=(width_of(venue), 2.9))
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
        fix_ticks(left)
        fix_ticks(right)
        _draw_errors(left, shown, levels)
        _draw_coverage(right, rates)
        handles = [Line2D([], [], color=LEVEL_COLORS[name], label=f"{name} probes") for name in levels]
        mark: dict[str, Any] = {"color": GREY, "linestyle": "none", "markersize": 3}
        handles += [Line2D([], [], marker=MARKERS[t], label=describe_term(t), **mark) for t in TERMS]
        legend(figure, handles)
    tables = [shown.assign(panel="errors"), rates.assign(panel="coverage")]
    return figure, pd.concat(tables, ignore_index=True)


def _draw_errors(panel: Axes, shown: pd.DataFrame, levels: list[str]) -> None:
    for i, level in enumerate(levels):
        shift = 0.012 * (i - (len(levels) - 1) / 2)
        for term in TERMS:
            rows = shown[(shown["level"] == level) & (shown["term"] == term)]
            panel.errorbar(
                rows["truth"] + shift,
                rows["captured"] - rows["truth"],
                yerr=[rows["captured"] - rows["low"], rows["high"] - rows["captured"]],
                color=LEVEL_COLORS[level],
                marker=MARKERS[term],
                markersize=2.6,
                linestyle="none",
                elinewidth=0.5,
                markeredgewidth=0,
            )
    panel.axhline(0.0, **TRUTH)
    panel.set_xlabel("true information of a readout about a target [bits]")
    panel.set_ylabel(f"captured − true [bits]\n(logarithmic below −{LINEAR})")
    panel.set_yscale("symlog", linthresh=LINEAR, linscale=1.0)
    ticks = [-1.0, -0.3, -0.1, -0.03, -0.01, 0.0, 0.01]
    panel.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    panel.minorticks_off()
    panel.set_ylim(-1.5, LINEAR)


def _draw_coverage(panel: Axes, rates: pd.DataFrame) -> None:
    panel.axhspan(LEAST, MOST, color=GREY, alpha=0.2, linewidth=0)
    for place, (probe, color) in enumerate(COVERAGE_COLORS.items()):
        values = np.sort(rates.loc[rates["probe"] == probe, "coverage"].to_numpy())
        # Sorted from left to right, so that equal rates remain visible.
        spread = np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else np.zeros(len(values))
        panel.scatter(place + spread, values, s=6, color=color, linewidth=0)
    panel.set_xticks(range(len(COVERAGE_COLORS)), list(COVERAGE_COLORS))
    panel.set_xlim(-0.5, len(COVERAGE_COLORS) - 0.5)
    panel.set_ylim(-0.03, 1.03)
    panel.set_ylabel("coverage of the 95 % interval")


_MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
