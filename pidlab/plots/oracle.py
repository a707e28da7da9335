"""The oracle figure: an objective's loss on known representations, beside where training ends."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from pidlab.errors import InvalidRequest
from pidlab.plots.style import GREY, TEXT_WIDTH, colours, style

# Rows that come of training; of these the figure says how much synergy is read.
TRAINED = ("scratch", "warm", "warm, trained")
MOST_COLUMNS = 4
# Inches of a row, and of a panel's title and axis.
ROW, FRAME = 0.16, 0.62


def oracle_figure(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws mean losses: a panel per objective and views, a row per representation.

    Large dots are means over seeds with 95 % t-intervals, small ones single seeds; what was trained is
    hollow, and beside it stand the synergistic bits read from z12. A grey line marks the lowest mean among
    oracles: further right, training did not find it.

    Args:
        table: rows of `pidlab.oracle.oracle`.

    Returns:
        The figure, and the tidy table of every number in it: nats for losses, bits for what was captured.

    Raises:
        InvalidRequest: an empty table.
    """
    if table.empty:
        raise InvalidRequest("nothing to draw: no oracle was tried")
    shown = _summary(table)
    names = list(dict.fromkeys(shown["representation"]))
    # What not every objective has comes before what was trained, wherever it was first met.
    names.sort(key=lambda name: (name in TRAINED, TRAINED.index(name) if name in TRAINED else 0))
    parts = list(dict.fromkeys(zip(shown["objective"], shown["views"], strict=True)))
    palette = colours(dict.fromkeys(shown["objective"]))
    across = min(len(parts), MOST_COLUMNS)
    down = math.ceil(len(parts) / across)
    with style():
        figure = Figure(figsize=(TEXT_WIDTH, down * (FRAME + ROW * len(names))))
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for spare in grid.flat[len(parts) :]:
            spare.remove()
        for panel, (objective, views) in zip(grid.flat, parts, strict=False):
            here = (shown["objective"] == objective) & (shown["views"] == views)
            seeds = table[(table["objective"] == objective) & (table["views"] == views)]
            _panel(panel, shown[here], seeds, names, palette[objective])
            panel.set_title(f"{objective}\n{views} views")
            panel.set_xlabel("loss [nats]")
    return figure, shown


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and t-interval over seeds, and means of captured bits."""
    captured = [name for name in table if str(name).startswith("captured_")]

    def summarise(rows: pd.DataFrame) -> pd.Series:
        n, mean = len(rows), rows["loss"].mean()
        half = stats.t.ppf(0.975, n - 1) * rows["loss"].std() / n**0.5 if n > 1 else np.nan
        found = {"mean": mean, "low": mean - half, "high": mean + half, "seeds": n}
        return pd.Series(found | rows[captured].mean().to_dict())

    keys = ["objective", "views", "representation"]
    values = table.groupby(keys, sort=False)[["loss", *captured]].apply(summarise)
    return values.reset_index().astype({"seeds": int})


def _panel(panel: Axes, shown: pd.DataFrame, seeds: pd.DataFrame, names: list[str], colour: str) -> None:
    row = {name: i for i, name in enumerate(names)}
    oracles = shown[~shown["representation"].isin(TRAINED)]
    panel.axvline(oracles["mean"].min(), color=GREY, linewidth=0.6, zorder=1)
    panel.scatter(
        seeds["loss"], seeds["representation"].map(row), s=3, color=colour, alpha=0.6, linewidth=0, zorder=2
    )
    for _, one in shown.iterrows():
        name, at = str(one["representation"]), row[str(one["representation"])]
        panel.errorbar(
            one["mean"],
            at,
            xerr=None if one["seeds"] < 2 else one["high"] - one["mean"],
            marker="o",
            markersize=3.5,
            markerfacecolor="white" if name in TRAINED else colour,
            color=colour,
            elinewidth=0.6,
            zorder=3,
        )
        if name in TRAINED and "captured_synergy" in one:
            panel.annotate(
                f"$S$ {max(one['captured_synergy'], 0.0):.2f}",
                (1.0, at),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize="xx-small",
                color=GREY,
            )
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    low, high = panel.get_xlim()
    panel.set_xlim(low, high + 0.35 * (high - low))  # room for the words
