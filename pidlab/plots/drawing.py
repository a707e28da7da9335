"""Parts shared by figures: panel grids, means with intervals, axis labels, legends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pidlab.plots.style import (
    LOOKS,
    TEXT_WIDTH,
    TRUTH,
    TRUTH_BAND,
    Look,
    escape_math,
    objective_label,
    style,
    width_of,
)
from pidlab.results.formatting import format_parameter, format_value
from pidlab.results.means import BASELINES, CEILING, FLOOR, is_reference, t_interval
from pidlab.results.panels import symbol_of

# Width in inches below which a panel is not legible.
NARROWEST = 1.3
# Share of the distance between two points over which the objectives of a point are spread.
LINE_SPREAD, DOT_SPREAD = 0.4, 0.7
# Largest shift of an error bar from its point on a connected line, as a share of the axis.
MOST_SHIFT = 0.03
# Fewer seeds have no error bar: a t-interval of two is 13 standard errors wide.
LEAST_SEEDS = 3
# Labels of axes along parameters that are information.
IN_BITS = {"missing": "missing from each view [bits]", "shared_nuisance": "shared nuisance [bits]"}
CAPTURED = "captured information [bits]"


def panel_grid(
    venue: str,
    blocks: int,
    each: int,
    height: float = 1.35,
    beneath: float = 0.65,
    width: float | None = None,
    **options: Any,
) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure with blocks of panels.

    A block is one row of panels, or several rows if the panels would otherwise be too narrow.

    Args:
        venue: One of `VENUES`.
        blocks: Number of blocks, one beneath the other.
        each: Number of panels in each block.
        height: Height of a row of panels in inches.
        beneath: Height in inches of the legend and the axis labels.
        width: Width of the figure in inches; by default that of the venue.
        options: Options of `Figure.subplots`.

    Returns:
        The figure, and the panels of each block.
    """
    width = width or width_of(venue)
    lines = math.ceil(each / max(int(width / NARROWEST), 1))
    columns = math.ceil(each / lines)
    figure = Figure(figsize=(width, height * blocks * lines + beneath))
    grid = figure.subplots(blocks * lines, columns, squeeze=False, **options)
    for panel in grid.flat:
        fix_ticks(panel)
    divided = [list(strip.flat) for strip in np.split(grid, blocks)]
    for strip in divided:
        for unused in strip[each:]:
            unused.remove()
    return figure, [strip[:each] for strip in divided]


def fix_ticks(panel: Axes) -> None:
    """Set the style's tick sizes, since matplotlib creates ticks late, outside of the style's context."""
    rc = mpl.rcParams
    panel.tick_params(
        labelsize=rc["xtick.labelsize"], width=rc["xtick.major.width"], length=rc["xtick.major.size"]
    )


def value_positions(values: Iterable[Any], linear: bool = False) -> tuple[dict[Any, float], bool]:
    """Return the position of each value on an axis.

    Numbers are their own positions. Text, and numbers that grow by a constant factor such as widths, are
    spaced evenly.

    Args:
        values: Values of a parameter.
        linear: Whether numbers always are their own positions.

    Returns:
        Positions by value, and whether they need tick labels.

    Example:
        >>> value_positions([16, 32, 64])
        ({16: 0.0, 32: 1.0, 64: 2.0}, True)
    """
    distinct = list(dict.fromkeys(values))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct):
        return {value: float(i) for i, value in enumerate(distinct)}, True
    distinct = sorted(distinct)
    if not linear and len(distinct) > 2 and distinct[0] > 0:
        ratios = np.divide(distinct[1:], distinct[:-1])
        if np.allclose(ratios, ratios[0]):
            return {value: float(i) for i, value in enumerate(distinct)}, True
    return {value: float(value) for value in distinct}, False


def draw_objectives(
    panel: Axes,
    rows: pd.DataFrame,
    x: str,
    palette: Mapping[str, Look],
    *,
    y: str = "captured",
    spread: float = LINE_SPREAD,
    connected: bool = True,
) -> None:
    """Draw means over seeds with 95 % t-intervals as error bars, and single seeds as small dots.

    Lines connect the means at their true positions; error bars and dots are shifted slightly along x. Means
    that are not connected are shifted as well. Objectives with equal values do not hide each other: lines
    with gaps are drawn over others, and the mark on top alternates from point to point. Fewer than
    `LEAST_SEEDS` seeds have no error bar.

    Args:
        panel: Panel to draw in.
        rows: One row per (objective, x, seed).
        x: Column of positions along the axis.
        palette: Looks of all objectives of the figure, in drawing order.
        y: Column to average.
        spread: Share of the smallest distance between two positions over which objectives are spread.
        connected: Whether lines connect the means.
    """
    shifts = _shifts(rows[x], palette, spread, connected)
    for name, look in palette.items():
        mine = rows[rows["objective"] == name].dropna(subset=[x, y])
        if mine.empty:
            continue
        panel.scatter(
            mine[x] + shifts[name], mine[y], s=4, color=look.color, alpha=0.55, linewidth=0, zorder=2
        )
        means = mine.groupby(x)[y].mean()
        low, high = zip(*mine.groupby(x)[y].agg(_error_bar), strict=True)
        if np.isfinite(low).any():
            panel.vlines(means.index + shifts[name], low, high, colors=look.color, linewidth=0.6, zorder=2.5)
        if connected:
            # The larger the gaps of a line, the higher it lies, so that lines beneath it show.
            gaps = sum(look.dash[1::2]) / sum(look.dash) if look.dash else 0.0
            line: dict[str, Any] = look.line | {"marker": "none", "zorder": 3.0 + gaps}
            panel.plot(means.index, means, **line)
        places = means.index.to_numpy(dtype=float) + (0.0 if connected else shifts[name])
        _draw_marks(panel, places, means.to_numpy(), palette, name, 4, marker=look.marker, color=look.color)


def _error_bar(values: Iterable[float]) -> tuple[float, float]:
    """Return the t-interval over seeds; NaN for fewer than `LEAST_SEEDS`."""
    seeds = np.asarray(values, dtype=float)
    return t_interval(seeds) if len(seeds) >= LEAST_SEEDS else (math.nan, math.nan)


def _draw_marks(
    panel: Axes,
    x: np.ndarray,
    y: np.ndarray,
    palette: Mapping[str, Look],
    name: str,
    zorder: float,
    **mark: Any,
) -> None:
    """Draw the marks of one objective so that, from point to point, another objective is on top."""
    turns, turn = len(palette), list(palette).index(name)
    levels = (np.arange(len(x)) + turn) % turns
    style: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.3, "markeredgecolor": "white"} | mark
    for level in dict.fromkeys(levels.tolist()):
        chosen = levels == level
        panel.plot(x[chosen], y[chosen], **style, zorder=zorder + 0.5 * level / turns)


def _shifts(
    positions: pd.Series, palette: Mapping[str, Look], spread: float, connected: bool
) -> dict[str, float]:
    """Return the shift of each objective along x."""
    distinct = np.unique(positions.to_numpy(dtype=float))
    width = spread * (float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0)
    if connected and len(distinct) > 1:
        width = min(width, 2 * MOST_SHIFT * float(np.ptp(distinct)))
    steps = np.linspace(-0.5, 0.5, len(palette)) if len(palette) > 1 else [0.0]
    return {name: width * step for name, step in zip(palette, steps, strict=True)}


def draw_hollow(
    panel: Axes, rows: pd.DataFrame, x: str, palette: Mapping[str, Look], connected: bool = True
) -> None:
    """Draw means over seeds as hollow marks, at the positions of the means of `draw_objectives`.

    Args:
        panel: Panel to draw in.
        rows: One row per (objective, x, seed), with a column `captured`.
        x: Column of positions along the axis.
        palette: Looks of all objectives of the figure, in drawing order.
        connected: As for `draw_objectives`.
    """
    shifts = dict.fromkeys(palette, 0.0) if connected else _shifts(rows[x], palette, DOT_SPREAD, connected)
    for name, look in palette.items():
        means = rows[rows["objective"] == name].groupby(x)["captured"].mean()
        places = means.index.to_numpy(dtype=float) + shifts[name]
        hollow = _hollow(look.color, look.marker)
        if connected:
            line: dict[str, Any] = hollow | {"marker": "none", "zorder": 3.8}
            panel.plot(places, means, **line)
        # Just above the filled mark of the same objective, so that both show if they coincide.
        mark = hollow | {"linestyle": "none", "markeredgecolor": look.color}
        _draw_marks(panel, places, means.to_numpy(), palette, name, 4.01, **mark)


def hollow_handle(label: str) -> Line2D:
    """Return the legend entry of hollow marks."""
    return Line2D([], [], **_hollow("0.4", "o"), label=label)


def draw_baselines(
    panel: Axes, means: pd.DataFrame, x: str, palette: Mapping[str, Look], spread: float, connected: bool
) -> None:
    """Draw the floor and the ceiling of each objective as grey marks, at the positions of its error bars.

    Args:
        panel: Panel to draw in.
        means: One row per (objective, x), with mean floors and ceilings, if any are known.
        x: Column of positions along the axis.
        palette: Looks of all objectives of the figure, in drawing order.
        spread: As for `draw_objectives`.
        connected: As for `draw_objectives`.
    """
    shifts = _shifts(means[x], palette, spread, connected)
    # The objectives that are baselines themselves are drawn already.
    rows = means[~means["objective"].astype(str).map(is_reference)]
    for name in BASELINES:
        if name in rows:
            panel.plot(rows[x] + rows["objective"].map(shifts), rows[name], **_baseline(name))


def baseline_handles(shown: pd.DataFrame) -> list[Artist]:
    """Return the legend entries of the floors and ceilings that a table has."""
    return [
        Line2D([], [], **_baseline(name), label=f"own {name}")
        for name in BASELINES
        if name in shown and shown[name].notna().any()
    ]


def _baseline(name: str) -> dict[str, Any]:
    look = LOOKS[{"floor": FLOOR, "ceiling": CEILING}[name]]
    size = 0.7 * mpl.rcParams["lines.markersize"]
    marker: dict[str, Any] = {"marker": look.marker, "markersize": size, "markerfacecolor": "white"}
    return marker | {
        "markeredgecolor": look.color,
        "markeredgewidth": 0.5,
        "linestyle": "none",
        "zorder": 2.2,
    }


def _hollow(color: Any, marker: str) -> dict[str, Any]:
    size = 0.8 * mpl.rcParams["lines.markersize"]
    line: dict[str, Any] = {"color": color, "linestyle": ":", "linewidth": 0.5}
    return line | {"marker": marker, "markersize": size, "markerfacecolor": "white", "markeredgewidth": 0.5}


def draw_rows(
    panel: Axes, rows: pd.DataFrame, x: str, y: str, palette: Mapping[str, Look], hollow: Sequence[str] = ()
) -> None:
    """Draw means over seeds with 95 % t-intervals and single seeds as dots, in a row per category.

    Args:
        panel: Panel to draw in.
        rows: One row per (category, seed).
        x: Column of values.
        y: Column of categories.
        palette: Looks of the categories; the first is on top.
        hollow: Categories with hollow markers.
    """
    import seaborn as sns  # here, because importing it takes a second

    order = list(palette)
    colors = [look.color for look in palette.values()]
    shared: dict[str, Any] = {"x": x, "y": y, "hue": y, "order": order, "hue_order": order, "ax": panel}
    shared |= {"palette": colors, "legend": False}
    sns.stripplot(rows, **shared, jitter=False, size=2.2, alpha=0.55)
    for is_hollow, group in rows.groupby(rows[y].isin(list(hollow))):
        face: dict[str, Any] = {"markerfacecolor": "white"} if is_hollow else {}
        sns.pointplot(
            group,
            **shared,
            **face,
            errorbar=_error_bar,
            linestyle="none",
            markers=[look.marker for look in palette.values()],
            markersize=mpl.rcParams["lines.markersize"],
            markeredgewidth=0.6,
            err_kws={"linewidth": 0.6},
        )
    panel.set(xlabel="", ylabel="")
    panel.set_ylim(len(order) - 0.5, -0.5)


def label_values(panel: Axes, positions: Mapping[Any, float], letters: int = 16) -> None:
    """Write the values of a parameter at their positions; long labels are tilted.

    Args:
        panel: Panel with the axis.
        positions: Positions by value.
        letters: Number of letters that fit beneath a panel.
    """
    words = [escape_math(format_value(value)) for value in positions]
    tilted: dict[str, Any] = {"rotation": 35, "ha": "right"} if sum(map(len, words)) > letters else {}
    panel.set_xticks(list(positions.values()), words, **tilted)


def label_row(panel: Axes, text: str) -> None:
    """Write the label of a row of panels at the right margin of its last panel."""
    panel.annotate(
        text,
        (1.03, 0.5),
        xycoords="axes fraction",
        rotation=270,
        va="center",
        ha="left",
        fontsize=mpl.rcParams["xtick.labelsize"],
    )


def axis_label(name: str, known: str = "true") -> str:
    """Return the label of an axis along a parameter; unique terms are written as U.

    Args:
        name: Name of the parameter.
        known: How the bits of a term are known: true, or planted if they are an upper bound.
    """
    symbol = _parameter_symbol(name)
    return f"{known} {symbol} [bits]" if symbol_of(name) else IN_BITS.get(name, symbol)


def point_title(point: Mapping[str, Any], separator: str = ", ") -> str:
    """Return a point of a sweep as a title, with symbols for terms."""
    return separator.join(
        f"{_parameter_symbol(name)} = {escape_math(format_value(value)) or 'default'}"
        for name, value in point.items()
    )


def _parameter_symbol(name: str) -> str:
    return "$U$" if name in ("unique1", "unique2") else symbol_of(name) or escape_math(format_parameter(name))


def objective_handles(palette: Mapping[str, Look]) -> list[Artist]:
    """Return the legend entries of objectives."""
    return [Line2D([], [], **look.line, label=objective_label(name)) for name, look in palette.items()]


def truth_handle(label: str = "truth") -> Line2D:
    """Return the legend entry of the ground truth."""
    return Line2D([], [], color=TRUTH["color"], linewidth=TRUTH["linewidth"], label=label)


def truth_handles(shown: pd.DataFrame) -> list[Artist]:
    """Return the legend entries of the ground truth that a table has: its line, and the band of its bounds.

    Args:
        shown: Rows with `truth`, and with `truth_low` if truths are known up to bounds.
    """
    if not shown["truth"].notna().any():
        return []
    if "truth_low" not in shown:
        return [truth_handle()]
    band = Patch(facecolor=TRUTH_BAND["color"], alpha=TRUTH_BAND["alpha"], label="bounds of the truth")
    return [truth_handle("planted"), band]


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend beneath the panels, in as few rows as fit, and enlarge the figure for further rows.

    Args:
        figure: Figure to extend.
        handles: Entries of the legend; without any, there is no legend.
    """
    if not handles:
        return
    size = float(mpl.rcParams["legend.fontsize"]) / 72.0
    labels = [str(handle.get_label()) for handle in handles]
    lines = next(
        n
        for n in range(1, len(labels) + 1)
        if _legend_width(labels, n) * size <= figure.get_figwidth() or n == len(labels)
    )
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=math.ceil(len(handles) / lines),
        handlelength=2.2,
        columnspacing=1.4,
    )
    # The height of every figure includes two rows of the legend.
    figure.set_figheight(figure.get_figheight() + 1.5 * size * max(lines - 2, 0))


def _legend_width(labels: list[str], lines: int) -> float:
    """Estimate the width of a legend with this number of rows, in units of its font size."""
    columns = [labels[i : i + lines] for i in range(0, len(labels), lines)]
    return sum(0.55 * max(map(len, column)) + 4.2 for column in columns)


def images_figure(rows: Sequence[tuple[str, Float[np.ndarray, "n channels height width"]]]) -> Figure:
    """Draw images in labeled rows, one column per sample.

    Args:
        rows: A label and n images per row, shape (n, 1 or 3, height, width); values are clipped to 0..1.
    """
    columns = len(rows[0][1])
    side = TEXT_WIDTH / columns
    with style():
        figure = Figure(figsize=(TEXT_WIDTH, side * len(rows) + 0.05))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for strip, (label, images) in zip(grid, rows, strict=True):
            for panel, image in zip(strip, images, strict=True):
                # (channels, height, width) with one or three channels becomes (height, width, 3)
                pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
                panel.imshow(pixels.clip(0.0, 1.0), interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
            strip[0].set_ylabel(label)
    return figure
