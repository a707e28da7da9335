"""The estimators figure: estimates with their intervals against the truth, task by task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pidlab.plots.parts import fix_ticks, legend
from pidlab.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, style, width_of
from pidlab.tables.select import require

COLUMNS = ("estimator", "task", "truth", "estimate", "low", "high")
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)


def estimators_figure(
    table: pd.DataFrame, directions: Sequence[Sequence[str]] = (), *, venue: str = "neurips"
) -> tuple[Figure, pd.DataFrame]:
    """Draws a line per task: the truth as a grey tick, each estimator's estimate and its interval.

    Args:
        table: a row per (task, estimator): `estimator, task, truth, estimate, low, high`, bits.
        directions: not used, for every row says its task.
        venue: whose page the figure is for.

    Returns:
        The figure, and the rows that it shows, tasks in the order of their truth.

    Raises:
        InvalidRequest: a column is missing.
    """
    require(table, COLUMNS, "an estimators figure")
    shown = table[list(COLUMNS)].sort_values("truth", kind="stable").reset_index(drop=True)
    tasks = {name: i for i, name in enumerate(dict.fromkeys(shown["task"]))}
    names = list(dict.fromkeys(table["estimator"].astype(str)))
    with style(venue):
        line = 0.12 + 0.07 * len(names)
        figure = Figure(figsize=(width_of(venue), 0.75 + line * len(tasks)))
        panel = figure.subplots()
        fix_ticks(panel)
        truths = shown.drop_duplicates("task")
        heights = truths["task"].map(tasks)
        panel.vlines(truths["truth"], heights - 0.45, heights + 0.45, color=GREY, linewidth=1.2, zorder=1)
        handles = []
        for i, name in enumerate(names):
            mine = shown[shown["estimator"].astype(str) == name]
            shift = (i - (len(names) - 1) / 2) * 0.75 / len(names)
            mark: dict[str, Any] = {
                "color": _COLOURS[i % len(_COLOURS)],
                "marker": _MARKS[i % len(_MARKS)],
                "markersize": 2.8,
            }
            reach = [mine["estimate"] - mine["low"], mine["high"] - mine["estimate"]]
            panel.errorbar(
                mine["estimate"],
                mine["task"].map(tasks) + shift,
                xerr=np.clip(np.array(reach, dtype=float), 0.0, None),
                linestyle="none",
                elinewidth=0.6,
                markeredgewidth=0,
                **mark,
            )
            handles.append(Line2D([], [], linestyle="none", label=name, **mark))
        panel.set_yticks(list(tasks.values()), [str(name) for name in tasks])
        panel.set_ylim(len(tasks) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("information [bits]")
        panel.grid(axis="x", color="0.92", linewidth=0.5)
        panel.set_axisbelow(True)
        legend(figure, [*handles, Line2D([], [], color=GREY, marker="|", linestyle="none", label="truth")])
    return figure, shown
