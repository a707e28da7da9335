"""Figure "oracle": the loss of an objective on known representations and on trained ones."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pidlab.plots.drawing import draw_rows, legend, panel_grid, truth_handle
from pidlab.plots.style import DARK_GREY, SMALLEST_FONT, TRUTH, Look, looks, objective_label, style
from pidlab.results.formatting import format_bits
from pidlab.results.means import half_width
from pidlab.results.panels import FITTED, OWN_FUSION, SCRATCH, TRAINED, WARM, require_columns

COLUMNS = ("objective", "views", "representation", "loss")
# Height in inches of a row, and of the title and the axis of a panel.
ROW, FRAME = 0.16, 0.72
# Height in inches of the legend.
LEGEND = 0.32
# The representation that an objective captures according to a paper. FactorCL (arXiv 2306.05268): contrastive
# learning between modalities captures shared information, and its own terms capture shared and unique
# information. CoMM (arXiv 2409.07402): its loss and its joint term capture all terms. Other objectives have
# no entry, because their papers make no statement about these terms.
PREDICTED = {"cross": "R", "factorcl-ssl": "R+U", "comm": "R+U+S", "comm(terms='joint')": "R+U+S"}
# Arguments of the band behind the row of the predicted representation.
BAND: dict[str, Any] = {"color": "#E3E3E3", "linewidth": 0.0, "zorder": 0}
ROW_NAMES = {
    OWN_FUSION: "oracle: R+U+S, own fusion",
    SCRATCH: "trained from scratch",
    WARM: "warm start from R+U+S",
    TRAINED: "warm start, then trained",
}


def oracle_figure(
    table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = (), *, venue: str = "neurips"
) -> tuple[Figure, pd.DataFrame]:
    """Draw mean losses, with panels by view policy and objective and a row per representation.

    Marks are means over seeds with 95 % t-intervals, dots are single seeds. Trained representations are
    hollow; the numbers at the right are the synergy in bits that a probe reads from z12. A grey line marks
    the lowest mean loss of an oracle; marks to its right show that training did not find it. The row of the
    representation that the objective captures according to a paper (`PREDICTED`) is shaded.

    Args:
        table: Rows of `pidlab.studies.oracle.oracle`.
        axis_groups: Not used, since each row states its representation and views.
        venue: One of `VENUES`.

    Returns:
        The figure, and a tidy table of all its numbers: losses in nats, captured information in bits.

    Raises:
        InvalidRequest: If there are no rows, or columns are missing.
    """
    require_columns(table, COLUMNS, "oracle figure")
    shown = _summary(table)
    names = list(dict.fromkeys(shown["representation"].astype(str)))
    # Oracles come first, then trained representations.
    names.sort(key=lambda name: (name in FITTED, FITTED.index(name) if name in FITTED else 0))
    palette = looks(shown["objective"])
    # Experiments differ in their policies, so only pairs that exist have a panel.
    pairs = list(dict.fromkeys(zip(shown["views"], shown["objective"], strict=True)))
    with style(venue):
        height = FRAME + ROW * len(names)
        figure, (panels,) = panel_grid(venue, 1, len(pairs), height, beneath=LEGEND, sharey=True)
        for (views, objective), panel in zip(pairs, panels, strict=True):
            here, seeds = (
                rows[(rows["objective"] == objective) & (rows["views"] == views)] for rows in (shown, table)
            )
            _draw_panel(panel, here, seeds, names, palette[objective])
            if (row := PREDICTED.get(objective)) in names:
                panel.axhspan(names.index(row) - 0.5, names.index(row) + 0.5, **BAND)
            panel.set_title(f"{objective_label(objective)}\n{views} views")
            panel.set_xlabel("loss [nats]")
        mark: dict[str, Any] = {"color": DARK_GREY, "marker": "o", "markersize": 4, "linestyle": "none"}
        handles: list[Artist] = [
            Line2D([], [], label="oracle", **mark),
            Line2D([], [], label="trained", markerfacecolor="none", **mark),
            truth_handle("lowest oracle"),
        ]
        if set(PREDICTED) & set(palette):
            handles.append(Patch(label="predicted by the paper", **BAND))
        legend(figure, handles)
    return figure, shown


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and t-interval of the loss over seeds, and means of captured bits."""
    captured = [name for name in table if str(name).startswith("captured_")]

    def summarize(rows: pd.DataFrame) -> pd.Series:
        mean, half = rows["loss"].mean(), half_width(rows["loss"].to_numpy())
        loss = {"mean": mean, "low": mean - half, "high": mean + half, "seeds": len(rows)}
        return pd.Series(loss | rows[captured].mean().to_dict())

    keys = ["objective", "views", "representation"]
    values = table.groupby(keys, sort=False)[["loss", *captured]].apply(summarize)
    return values.reset_index().astype({"seeds": int})


def _draw_panel(panel: Axes, means: pd.DataFrame, seeds: pd.DataFrame, names: list[str], look: Look) -> None:
    draw_rows(panel, seeds, "loss", "representation", dict.fromkeys(names, look), hollow=FITTED)
    oracles = means[~means["representation"].isin(FITTED)]
    panel.axvline(oracles["mean"].min(), **TRUTH)
    trained = means[means["representation"].isin(FITTED)]
    if "captured_synergy" in means and len(trained):
        # A lower bound below zero is due to chance.
        bits = trained["captured_synergy"].clip(lower=0.0).map(format_bits)
        rows = [names.index(str(name)) for name in trained["representation"]]
        where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
        for row, text in [(min(rows) - 1, "$S$ read"), *zip(rows, bits, strict=True)]:
            panel.annotate(text, (1.0, row), **where, fontsize=SMALLEST_FONT)
    panel.set_yticks(range(len(names)), [ROW_NAMES.get(name, f"oracle: {name}") for name in names])
    low, high = panel.get_xlim()
    panel.set_xlim(low, high + 0.45 * (high - low))  # room for the labels
