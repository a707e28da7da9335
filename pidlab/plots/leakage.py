"""Figure "leakage": a heat map of the information about each term and each nuisance variable."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest, nearest
from pidlab.plots.drawing import LEAST_SEEDS, fix_ticks, point_title
from pidlab.plots.style import escape_math, objective_label, style, width_of
from pidlab.results.formatting import format_bits, format_parameter, format_value
from pidlab.results.means import list_points, mean_over_seeds, parameters, point_columns, rows_at, thin_points
from pidlab.results.panels import READOUTS, headlines, is_auxiliary, symbol_of

NUISANCE = "nuisance:"
TRUTH_ROW = "truth"
# Inches: width of a number, height of a line of text, width of a letter of a label.
CELL, LINE, LETTER = 0.27, 0.19, 0.055
MOST_PANELS = 12
NUMBER_FONT = 6.5
# Luminance below which white has more contrast than black.
DARK = 0.18
# Width in inches of a cell that has room for a mean with its interval.
ROOMY = 0.55


def leakage_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    rows: str = "objective",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw means over seeds as a heat map with a column per term and nuisance variable.

    If rows are objectives, there is a panel per point of a sweep (of more than three points the first, the
    middle and the last), with the truth in its first row. If rows are readouts or values of a parameter,
    there is a panel per objective and point, and the truth is in parentheses below each number. In rows of
    objectives, cells with room for it state half of the 95 % t-interval over seeds.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together.
        venue: One of `VENUES`.
        readout: Readout to show, unless rows are readouts.
        rows: Meaning of a row: `objective`, `readout`, or a parameter such as `unique1`.
        terms: Columns; by default all targets and nuisance variables.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If there are no headline rows of that readout, or no such parameter.
    """
    known = ["objective", "readout", *parameters(table)]
    if rows not in known:
        raise InvalidRequest(
            f"--rows {rows}: expected objective, readout or a parameter; {nearest(rows, known)}"
        )
    selected = _select_headlines(table, readout, rows, terms)
    # The rows' own column comes first in its group, so that it distinguishes points.
    by = point_columns(selected, [sorted(group, key=lambda name: name != rows) for group in axis_groups])
    if rows in parameters(table) and rows not in by:
        by.append(rows)
    means = mean_over_seeds(selected, by)
    points = thin_points(list_points(selected, [name for name in by if name != rows]))
    if rows != "objective":
        points = [
            {"objective": name, **point} for name in dict.fromkeys(means["objective"]) for point in points
        ]
    count, points = len(points), points[:MOST_PANELS]
    parts = [rows_at(means, point) for point in points]
    shown = pd.concat(parts, ignore_index=True)
    names = [str(name) for name in dict.fromkeys(shown["term"])]
    columns = names if terms else sorted(names, key=lambda name: name.startswith(NUISANCE))
    values = list(dict.fromkeys(shown[rows]))
    if rows == "readout":
        values.sort(key=lambda name: READOUTS.index(name) if name in READOUTS else len(READOUTS))
    top = max(
        float(shown[["truth", "mean"]].to_numpy(dtype=float)[~shown[["truth", "mean"]].isna()].max()), 0.1
    )
    with style(venue):
        figure, grid, cell = _grid(
            venue, len(parts), len(columns), [_row_label(rows, v) for v in values], rows
        )
        for panel, part, point in zip(grid, parts, points, strict=True):
            _draw_heatmap(panel, part, rows, values, columns, top, cell >= ROOMY)
            point = dict(point)
            objective = [objective_label(str(point.pop("objective")))] if "objective" in point else []
            panel.set_title("\n".join([*objective, *([point_title(point)] if point else [])]))
        if count > len(parts):
            figure.suptitle(f"{len(parts)} of {count} panels")
        if rows in parameters(table):
            figure.supylabel(format_parameter(rows), fontsize="medium")
        source = f" from {readout}" if rows != "readout" else ""
        figure.supxlabel(f"captured information{source} [bits]", fontsize="medium")
    return figure, shown


def _select_headlines(table: pd.DataFrame, readout: str, rows: str, terms: Sequence[str]) -> pd.DataFrame:
    selected = headlines(table)
    is_nuisance = selected["term"].str.startswith(NUISANCE)
    selected = selected[~is_auxiliary(selected) | is_nuisance | selected["term"].isin(list(terms))]
    if rows != "readout":
        selected = selected[selected["readout"] == readout]
    elif selected["objective"].nunique() > 1:
        selected = selected[selected["readout"].isin(READOUTS)]
    if selected.empty:
        raise InvalidRequest(f"--readout {readout}: no headline of this readout in the results")
    return selected


def _row_label(rows: str, value: Any) -> str:
    return objective_label(str(value)) if rows == "objective" else escape_math(format_value(value))


def _grid(
    venue: str, count: int, columns: int, labels: list[str], rows: str
) -> tuple[Figure, list[Axes], float]:
    """Create as many panels per line as leave room for the numbers; return also the width of a cell."""
    width = width_of(venue)
    margin = 0.15 + LETTER * max(map(len, labels))
    across = min(max(int((width - margin) / (CELL * columns + 0.05)), 1), count)
    down = math.ceil(count / across)
    across = math.ceil(count / down)
    lines = len(labels) + 1 if rows == "objective" else 1.9 * len(labels)
    figure = Figure(figsize=(width, down * (0.5 + LINE * lines) + 0.2))
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for unused in grid.flat[count:]:
        unused.remove()
    return figure, list(grid.flat[:count]), (width - margin) / (across * columns)


def _draw_heatmap(
    panel: Axes,
    part: pd.DataFrame,
    rows: str,
    values: list[Any],
    columns: list[str],
    top: float,
    roomy: bool,
) -> None:
    import seaborn as sns  # here, because importing it takes a second

    half = ((part["high"] - part["low"]) / 2).where(part["seeds"] >= LEAST_SEEDS)
    captured, truth, half = (
        part.assign(half=half).pivot(index=rows, columns="term", values=name).reindex(values, columns=columns)
        for name in ("mean", "truth", "half")
    )
    words = captured.map(format_bits)
    if roomy and rows == "objective":
        words += half.map(lambda bits: f" ± {format_bits(bits)}" if bits == bits else "")
    labels = [_row_label(rows, value) for value in values]
    if rows == "objective":
        known = truth.bfill().iloc[:1]
        captured, words = pd.concat([known, captured]), pd.concat([known.map(format_bits), words])
        labels = [TRUTH_ROW, *labels]
    else:
        words += truth.map(lambda bits: f"\n({format_bits(bits)})" if bits == bits else "")
    sns.heatmap(
        captured.astype(float),
        vmin=0.0,
        vmax=top,
        cmap="Blues",
        cbar=False,
        linewidths=0.6,
        annot=words.to_numpy(),
        fmt="",
        # Numbers stay in their cells, so that the layout need not measure them.
        annot_kws={"fontsize": NUMBER_FONT, "in_layout": False},
        xticklabels=[symbol_of(name) or escape_math(name) for name in columns],
        yticklabels=labels,
        ax=panel,
    )
    # seaborn writes in white on medium blue, with a contrast below 3.
    shades = panel.collections[0].to_rgba(captured.to_numpy(dtype=float))
    for number in panel.texts:
        column, row = (int(place) for place in number.get_position())
        is_dark = sns.utils.relative_luminance(shades[row, column]) < DARK
        number.set_color("white" if is_dark else "0.15")
    fix_ticks(panel)
    panel.tick_params(length=0, labelrotation=0)
    panel.set(xlabel="", ylabel="")
    panel.set_facecolor("0.94")  # cells that were not measured
    if rows == "objective":
        panel.axhline(1.0, color="black", linewidth=0.6)
    if first := next((i for i, name in enumerate(columns) if name.startswith(NUISANCE)), 0):
        panel.axvline(first, color="black", linewidth=0.6)
