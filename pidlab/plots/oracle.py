"""The oracle figure: an objective's loss on known representations, beside where training ends."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pidlab.plots.parts import panel_grid
from pidlab.plots.style import (
    GREY,
    TRUTH,
    Look,
    looks,
    style,
)
from pidlab.results.means import half_width
from pidlab.results.panels import FITTED, require

COLUMNS = ("objective", "views", "representation", "loss")
# Inches of a row, and of a panel's title and axis.
ROW, FRAME = 0.16, 0.72


def oracle_figure(
    table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = (), *, venue: str = "neurips"
) -> tuple[Figure, pd.DataFrame]:
    """Draws mean losses: panels by views and objective, a row per representation.

    Large dots are means over seeds with 95 % t-intervals, small ones single seeds; what was trained is
    hollow, and beside it stand the synergistic bits read from z12. A grey line marks the lowest mean among
    oracles: further right, training did not find it.

    Args:
        table: rows of `pidlab.studies.oracle.oracle`.
        axis_groups: not used, for every row says its representation and views.
        venue: whose page the figure is for.

    Returns:
        The figure, and the tidy table of every number in it: nats for losses, bits for what was captured.

    Raises:
        InvalidRequest: no rows, or a column is missing.
    """
    require(table, COLUMNS, "an oracle figure")
    shown = _summary(table)
    names = list(dict.fromkeys(shown["representation"]))
    # What not every objective has comes before what was trained, wherever it was first met.
    names.sort(key=lambda name: (name in FITTED, FITTED.index(name) if name in FITTED else 0))
    palette, policies = looks(shown["objective"]), list(dict.fromkeys(shown["views"]))
    with style(venue):
        height = FRAME + ROW * len(names)
        figure, blocks = panel_grid(venue, len(policies), len(palette), height, beneath=0, sharey=True)
        for views, panels in zip(policies, blocks, strict=True):
            for panel, (objective, look) in zip(panels, palette.items(), strict=True):
                here, seeds = (
                    rows[(rows["objective"] == objective) & (rows["views"] == views)]
                    for rows in (shown, table)
                )
                if here.empty:
                    panel.remove()
                    continue
                _panel(panel, here, seeds, names, look)
                panel.set_title(f"{objective}\n{views} views")
                panel.set_xlabel("loss [nats]")
    return figure, shown


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and t-interval over seeds, and means of captured bits."""
    captured = [name for name in table if str(name).startswith("captured_")]

    def summarise(rows: pd.DataFrame) -> pd.Series:
        mean, half = rows["loss"].mean(), half_width(rows["loss"].to_numpy())
        found = {"mean": mean, "low": mean - half, "high": mean + half, "seeds": len(rows)}
        return pd.Series(found | rows[captured].mean().to_dict())

    keys = ["objective", "views", "representation"]
    values = table.groupby(keys, sort=False)[["loss", *captured]].apply(summarise)
    return values.reset_index().astype({"seeds": int})


def _panel(panel: Axes, shown: pd.DataFrame, seeds: pd.DataFrame, names: list[str], look: Look) -> None:
    row = {name: i for i, name in enumerate(names)}
    oracles = shown[~shown["representation"].isin(FITTED)]
    panel.axvline(oracles["mean"].min(), **TRUTH)
    panel.scatter(
        seeds["loss"], seeds["representation"].map(row), s=3, color=look.colour, alpha=0.6, linewidth=0
    )
    for _, one in shown.iterrows():
        name, at = str(one["representation"]), row[str(one["representation"])]
        panel.errorbar(
            one["mean"],
            at,
            xerr=None if one["seeds"] < 2 else one["high"] - one["mean"],
            marker="o",
            markersize=3.5,
            markerfacecolor="white" if name in FITTED else look.colour,
            color=look.colour,
            elinewidth=0.6,
            zorder=3,
        )
        if name in FITTED and "captured_synergy" in one:
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
