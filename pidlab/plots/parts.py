"""What several kinds of figures are made of: a grid of panels, lines with bands, a legend."""

import math
from collections.abc import Sequence
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

from pidlab.plots.style import TEXT_WIDTH, TRUTH, Look, style, width_of
from pidlab.results.means import CEILING, FLOOR, is_reference
from pidlab.results.panels import symbol_of


def images_figure(rows: Sequence[tuple[str, Float[np.ndarray, "n channels height width"]]]) -> Figure:
    """Images in labelled rows, sample by sample from left to right.

    Args:
        rows: a label and n images of 1 or 3 channels each; numbers beyond 0 to 1 are shown as the nearer end.
    """
    columns = len(rows[0][1])
    side = TEXT_WIDTH / columns
    with style():
        figure = Figure(figsize=(TEXT_WIDTH, side * len(rows) + 0.05))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for strip, (label, images) in zip(grid, rows, strict=True):
            for panel, image in zip(strip, images, strict=True):
                pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
                panel.imshow(pixels.clip(0.0, 1.0), interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
            strip[0].set_ylabel(label)
    return figure


# Panels narrower than this, in inches, are not legible.
NARROWEST = 1.3
TRUTH_HANDLE: dict[str, Any] = {"color": TRUTH["color"], "linewidth": TRUTH["linewidth"], "label": "truth"}


def panel_grid(
    venue: str,
    blocks: int,
    each: int,
    height: float = 1.35,
    beneath: float = 0.65,
    width: float | None = None,
    **options: Any,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of the venue's width with `blocks` blocks of `each` panels.

    A block is a line of panels, or several where they would be narrower than is legible.

    Args:
        venue: whose page.
        blocks: how many, one beneath the other.
        each: panels in a block.
        height: of a line of panels, in inches.
        beneath: inches for what stands beneath, such as the legend.
        width: of the figure, where it is not the whole page's.
        options: of `Figure.subplots`.
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
        for spare in strip[each:]:
            spare.remove()
    return figure, [strip[:each] for strip in divided]


def fix_ticks(panel: Axes) -> None:
    """Keeps the style's ticks also where the figure is shown outside of it (ticks are made late)."""
    rc = mpl.rcParams
    panel.tick_params(
        labelsize=rc["xtick.labelsize"], width=rc["xtick.major.width"], length=rc["xtick.major.size"]
    )


def draw_line(
    panel: Axes, line: pd.DataFrame, x: str, look: Look, width: float, limits: tuple[float, float]
) -> None:
    """The mean and its band along `x`; the band is cut at the panel's limits."""
    reference = is_reference(str(line["objective"].iloc[0]))
    panel.plot(
        line[x],
        line["mean"],
        **look.line,
        linewidth=1.1 if reference else width,
        zorder=2 if reference else 3,
    )
    low, high = (line[end].clip(*limits) for end in ("low", "high"))
    panel.fill_between(line[x], low, high, color=look.colour, alpha=0.15, linewidth=0, zorder=1.5)


def line_width(number: int) -> float:
    """Later lines are thinner, so that those beneath them stay in sight where they coincide."""
    return max(2.6 - 0.45 * number, 0.8)


def show(value: Any) -> str:
    """A parameter's value as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def place_label(place: dict[str, Any], between: str = ", ") -> str:
    """A point of a sweep as text."""
    return between.join(f"{name}={show(value)}" for name, value in place.items())


def written(name: str) -> str:
    """A parameter as it is written: U for what sets unique terms."""
    return "$U$" if name in ("unique1", "unique2") else symbol_of(name) or name.replace("_", " ")


def axis_label(name: str) -> str:
    """What stands at an axis along a parameter."""
    return f"true {written(name)} [bits]" if symbol_of(name) else written(name)


def handles_of(palette: dict[str, Look], areas: bool = False) -> list[Artist]:
    """Legend entries of objectives, as lines or as areas."""
    names = {FLOOR: "untrained (floor)", CEILING: "supervised (ceiling)"}
    if areas:
        return [Patch(**look.area, label=names.get(name, name)) for name, look in palette.items()]
    return [Line2D([], [], **look.line, label=names.get(name, name)) for name, look in palette.items()]


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Puts a legend beneath the panels, in as many columns as the page is wide for, and makes room for it."""
    size = float(mpl.rcParams["legend.fontsize"]) / 72.0
    labels = [str(handle.get_label()) for handle in handles]
    lines = next(
        n
        for n in range(1, len(labels) + 1)
        if _wide(labels, n) * size <= figure.get_figwidth() or n == len(labels)
    )
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=math.ceil(len(handles) / lines),
        handlelength=1.8,
        columnspacing=1.4,
    )
    # Two lines of it are part of every figure's height.
    figure.set_figheight(figure.get_figheight() + 1.5 * size * max(lines - 2, 0))


def _wide(labels: list[str], lines: int) -> float:
    """About how wide a legend of so many lines is, in units of its font's size."""
    columns = [labels[i : i + lines] for i in range(0, len(labels), lines)]
    return sum(0.58 * max(map(len, column)) + 3.6 for column in columns)
