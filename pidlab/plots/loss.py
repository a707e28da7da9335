"""Figure "loss": training loss against training steps."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest
from pidlab.plots.drawing import label_row, panel_grid, point_title
from pidlab.plots.style import looks, objective_label, style
from pidlab.results.means import TRAINED, half_width, list_points, point_columns, rows_at, thin_points


def loss_figure(
    table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = (), *, venue: str = "neurips"
) -> tuple[Figure, pd.DataFrame]:
    """Draw the training loss against training steps, with a panel per objective.

    Thin lines are single seeds, the thick line is their mean. Losses of different objectives have different
    scales, so that every panel has its own axis. Of more than three points of a sweep, the first, the middle
    and the last have a row of panels each.

    Args:
        table: One row per (run, step) with `objective`, `seed`, `loss`, `trained` and the parameters of the
            sweep.
        axis_groups: Columns of the parameters that vary together.
        venue: One of `VENUES`.

    Returns:
        The figure, and a tidy table: mean loss over seeds with its 95 % t-interval per objective and step,
        and the number of seeds that are flagged as not trained (`not_trained`).

    Raises:
        InvalidRequest: If no run was trained.
    """
    if table.empty:
        raise InvalidRequest("--kind loss: the results have no loss curves; train at least one objective")
    by = point_columns(table, axis_groups)
    points = thin_points(list_points(table, by))
    rows = pd.concat([rows_at(table, point) for point in points], ignore_index=True)
    shown, palette = _summary(rows, by), looks(rows["objective"])
    with style(venue):
        figure, grid = panel_grid(venue, len(points), len(palette), beneath=0.35)
        for strip, point in zip(grid, points, strict=True):
            here, means = rows_at(rows, point), rows_at(shown, point)
            for panel, (objective, look) in zip(strip, palette.items(), strict=True):
                for _, curve in here[here["objective"] == objective].groupby("run", sort=False):
                    panel.plot(curve["step"], curve["loss"], color=look.color, linewidth=0.4, alpha=0.5)
                mean = means[means["objective"] == objective]
                panel.plot(mean["step"], mean["mean"], color=look.color)
                stuck, seeds = mean["not_trained"].max(), mean["seeds"].max()
                fault = f"\nnot trained: {stuck} of {seeds} seeds" if stuck else ""
                panel.set_title(f"{objective_label(objective)}{fault}")
            if point:
                label_row(strip[-1], point_title(point, "\n"))
        figure.supylabel("loss", fontsize="medium")
        for panel in grid[-1]:
            panel.set_xlabel("training steps")
    return figure, shown


def _summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the mean loss over seeds with its interval, per point, objective and step."""
    records = []
    for key, group in rows.groupby([*by, "objective", "step"], sort=False, dropna=False):
        losses = group["loss"].to_numpy(dtype=float)
        mean, half = losses.mean(), half_width(losses)
        interval = {"mean": mean, "low": mean - half, "high": mean + half, "seeds": len(losses)}
        stuck = int(group[TRAINED].eq(False).sum())
        place = dict(zip([*by, "objective", "step"], key, strict=True))
        records.append({**place, **interval, "not_trained": stuck})
    return pd.DataFrame(records)
