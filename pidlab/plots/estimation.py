"""Figure "estimation": estimates of mutual information against the truth and the Jeffreys divergence."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from pidlab.plots.drawing import legend, panel_grid, truth_handle
from pidlab.plots.style import BLACK, BLUE, GREEN, TRUTH, VERMILION, Look, style
from pidlab.results.means import t_interval
from pidlab.results.panels import require_columns

COLUMNS = ("dimension", "nats", "estimator", "critic", "truth", "jeffreys", "estimate")
ESTIMATORS = {"nce": Look(BLUE, "o"), "club": Look(GREEN, "^"), "nce-club": Look(VERMILION, "s")}
LABELS = {"nce": "NCE", "club": "CLUB", "nce-club": "NCE-CLUB"}
JEFFREYS: dict[str, Any] = {"color": BLACK, "linewidth": 0.9, "linestyle": (0, (4.0, 1.5)), "zorder": 1}
NATS_PER_BIT = math.log(2.0)


def estimation_figure(
    table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = (), *, venue: str = "neurips"
) -> tuple[Figure, pd.DataFrame]:
    """Draw mean estimates with 95 % t-intervals over seeds, on a logarithmic axis in bits and in nats.

    If the information varies, there is a panel per dimension; otherwise one panel with the dimension as its
    axis.

    Args:
        table: Rows of `pidlab.studies.estimation.Estimation`.
        axis_groups: Not used, since the axes are known.
        venue: One of `VENUES`.

    Returns:
        The figure, and a tidy table of all its numbers in bits.

    Raises:
        InvalidRequest: If columns are missing.
    """
    require_columns(table, COLUMNS, "estimation figure")
    shown = _summary(table)
    by_information = shown["nats"].nunique() > 1
    axis = "truth" if by_information else "dimension"
    dimensions = list(dict.fromkeys(shown["dimension"])) if by_information else [None]
    with style(venue):
        figure, blocks = panel_grid(venue, 1, len(dimensions), 1.9, sharey=True)
        panels = [panel for block in blocks for panel in block][: len(dimensions)]
        for panel, dimension in zip(panels, dimensions, strict=True):
            here = shown if dimension is None else shown[shown["dimension"] == dimension]
            _draw_panel(panel, here, axis)
            if dimension is not None:
                panel.set_title(f"{dimension} dimensions")
        panels[0].set_ylabel("information [bits]")
        right = panels[-1].secondary_yaxis("right", functions=(_to_nats, _to_bits))
        right.set_ylabel("[nats]")
        for scale in (panels[0].yaxis, right.yaxis):
            scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            scale.set_major_formatter("{x:g}")
            scale.set_minor_locator(NullLocator())
        handles = [
            Line2D([], [], color=ESTIMATORS[name].color, marker=ESTIMATORS[name].marker, label=LABELS[name])
            for name in ESTIMATORS
        ]
        hollow: dict[str, Any] = {
            "color": BLACK,
            "marker": "o",
            "markerfacecolor": "none",
            "linestyle": "none",
        }
        handles += [Line2D([], [], **hollow, label="exact critic")]
        legend(figure, [truth_handle(), Line2D([], [], label="Jeffreys divergence", **JEFFREYS), *handles])
    return figure, shown


def _to_nats(bits: Any) -> Any:
    return bits * NATS_PER_BIT


def _to_bits(nats: Any) -> Any:
    return nats / NATS_PER_BIT


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means and t-intervals over seeds."""
    keys = ["dimension", "nats", "truth", "jeffreys", "estimator", "critic"]
    rows: list[dict[str, Any]] = []
    groups: Any = table.groupby(keys, sort=False)
    for values, group in groups:
        low, high = t_interval(group["estimate"])
        numbers = {"mean": group["estimate"].mean(), "low": low, "high": high, "seeds": len(group)}
        rows.append(dict(zip(keys, values, strict=True)) | numbers)
    return pd.DataFrame(rows)


def _draw_panel(panel: Axes, rows: pd.DataFrame, axis: str) -> None:
    places = rows.drop_duplicates(axis).sort_values(axis)
    panel.plot(places[axis], places["truth"], **TRUTH)
    panel.plot(places[axis], places["jeffreys"], **JEFFREYS)
    groups: Any = rows.groupby(["estimator", "critic"], sort=False)
    for (name, critic), here in groups:
        look, filled = ESTIMATORS[name], critic == "trained"
        x, mean, low, high = here[[axis, "mean", "low", "high"]].to_numpy(float).T
        panel.errorbar(
            x,
            mean,
            yerr=[mean - low, high - mean],
            color=look.color,
            marker=look.marker,
            markerfacecolor=look.color if filled else "none",
            linestyle="-" if filled else "none",
            markersize=3 if filled else 5,
        )
    panel.set_yscale("log")
    panel.set_xlabel("true information [bits]" if axis == "truth" else "dimension of Z")
