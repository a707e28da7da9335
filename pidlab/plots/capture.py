"""The capture figure: bits read from the frozen representation against the truth, term by term."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from pidlab.plots.panels import panels
from pidlab.plots.style import GREY, TEXT_WIDTH, colours, style, symbol_of

FORMATS = ("pdf", "svg", "png")
FLOOR, CEILING = "untrained", "supervised"
DASHES: dict[str, Any] = {FLOOR: (0, (1, 1)), CEILING: (0, (4, 2))}
MOST_ROWS = 12
# Panels that fit beside each other on a page; a figure of more is wider.
MOST_COLUMNS = 4


def capture_figure(
    table: pd.DataFrame, axes: Sequence[Sequence[str]] = (), readout: str = "z12"
) -> tuple[Figure, pd.DataFrame]:
    """Draws captured against true bits: a panel per term, a line and a band per objective.

    A term that rises or falls along the first axis is drawn against its own truth, with the identity as
    a grey line; any other is drawn against the swept parameter, with its truth as a grey line. Lines are
    means over seeds, bands 95 % t-intervals over them, dots single seeds. Each
    further axis adds a row of panels per value.

    Args:
        table: rows as in results.csv.
        axes: names of the parameters of every varied axis, the one to be drawn along first.
        readout: which readout, where there is a target per term (see `pidlab.plots.panels`).

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: nothing in the table is a headline of that readout.
    """
    rows, divided = panels(table, readout)
    along, others = _directions(axes)
    shown = _summary(rows, [along, *others])
    combinations = list(dict.fromkeys(rows[others].itertuples(index=False, name=None))) if others else [()]
    drawn = combinations[:MOST_ROWS]
    palette = colours(dict.fromkeys(rows["objective"]))
    with style():
        wide = TEXT_WIDTH * max(1.0, len(divided) / MOST_COLUMNS)
        figure = Figure(figsize=(wide, 1.35 * len(drawn) + 0.65))
        grid = figure.subplots(len(drawn), len(divided), squeeze=False)
        for line, (strip, values) in enumerate(zip(grid, drawn, strict=True)):
            place = dict(zip(others, values, strict=True))
            means, seeds = _at(shown, place), _at(rows, place)
            for part, panel in zip(divided, strip, strict=True):
                _panel(panel, part.of(means), part.of(seeds), part.symbol, along, palette)
                if line == 0:
                    panel.set_title(part.title)
                if line < len(drawn) - 1:
                    panel.set_xlabel("")
            label = ", ".join(f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in place.items())
            strip[0].set_ylabel(f"captured [bits]\n{label}" if label else "captured [bits]")
        top = max(1.05 * float(shown[["truth", "mean"]].max().max()), 0.1)
        for panel in grid.flat:
            panel.set_ylim(-0.06 * top, 1.04 * top)
        if len(drawn) < len(combinations):
            figure.suptitle(f"first {len(drawn)} of {len(combinations)} rows; the table beside has all")
        _legend(figure, palette, truth=bool(shown["truth"].notna().any()))
    return figure, shown


def save(figure: Figure, path: Path) -> None:
    """Writes a figure; the same figure gives the same bytes."""
    metadata = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}}
    with style():
        figure.savefig(path, metadata=metadata.get(path.suffix, {}))


def _directions(axes: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """The column along which panels are drawn, and those that make rows of panels."""
    return (axes[0][0] if axes else "redundant"), [axis[0] for axis in axes[1:]]


def _at(table: pd.DataFrame, place: dict[str, Any]) -> pd.DataFrame:
    """The rows of a table where every column of `place` has its value."""
    here = np.ones(len(table), dtype=bool)
    for name, value in place.items():
        here &= (table[name] == value).to_numpy()
    return table[here]


def _summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean, t-interval and spread over seeds at every point, in bits."""
    keys = list(dict.fromkeys([*by, "objective", "readout", "term"]))

    def summarise(group: pd.DataFrame) -> pd.Series:
        values = group["captured"].to_numpy()
        n, mean = len(values), values.mean()
        half = np.nan
        if n > 1:
            half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
        return pd.Series(
            {
                "truth": group["truth"].iloc[0],
                "mean": mean,
                "low": mean - half,
                "high": mean + half,
                "seeds": n,
            }
        )

    found = rows.groupby(keys, sort=False, dropna=False)[["captured", "truth"]].apply(summarise).reset_index()
    return found.astype({"seeds": int})


def _panel(
    panel: Axes, shown: pd.DataFrame, rows: pd.DataFrame, symbol: str, along: str, palette: dict[str, str]
) -> None:
    swept = shown["truth"].nunique() > 1 and _one_to_one(shown, along)
    x = "truth" if swept else along
    numeric = pd.api.types.is_numeric_dtype(shown[x])
    if shown[x].nunique() <= 1 or not numeric:
        # Where nothing is varied x may be a truth that nobody knows: one place, whatever it is called.
        _categories(panel, shown.fillna({x: 0.0}), rows.fillna({x: 0.0}), palette, x)
    else:
        _lines(panel, shown, rows, palette, x)
        points = shown.drop_duplicates(x).sort_values(x)
        if swept or points["truth"].nunique() == 1:
            points = points.iloc[[0, -1]]
        panel.plot(points[x], points["truth"], color=GREY, linewidth=0.6, zorder=1)
        panel.set_xlabel(f"true {symbol} [bits]" if swept else _axis_label(along))


def _one_to_one(shown: pd.DataFrame, along: str) -> bool:
    """Whether the truth tells the points of an axis apart and in order, so that it can be an axis itself."""
    if not pd.api.types.is_numeric_dtype(shown[along]):
        return True
    truths = shown.drop_duplicates(along).sort_values(along)["truth"]
    return truths.is_unique and (truths.is_monotonic_increasing or truths.is_monotonic_decreasing)


def _lines(panel: Axes, shown: pd.DataFrame, rows: pd.DataFrame, palette: dict[str, str], x: str) -> None:
    for i, (objective, line) in enumerate(shown.sort_values(x).groupby("objective", sort=False)):
        colour, reference = palette[str(objective)], objective in (FLOOR, CEILING)
        # Later lines are thinner, so that those beneath them stay in sight where they coincide.
        width = 1.1 if reference else max(2.6 - 0.45 * i, 0.8)
        panel.plot(
            line[x],
            line["mean"],
            color=colour,
            linewidth=width,
            linestyle=DASHES.get(str(objective), "-"),
            zorder=2 if reference else 3,
        )
        panel.fill_between(
            line[x], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0, zorder=1.5
        )
        if not reference:
            seeds = rows[rows["objective"] == objective]
            panel.scatter(seeds[x], seeds["captured"], s=2.5, color=colour, linewidth=0, zorder=4)


def _categories(
    panel: Axes, shown: pd.DataFrame, rows: pd.DataFrame, palette: dict[str, str], x: str
) -> None:
    """One point, or a parameter that is a word: objectives side by side."""
    places = {value: i for i, value in enumerate(dict.fromkeys(shown[x]))}
    width = 0.8 / len(palette)
    for i, (objective, colour) in enumerate(palette.items()):
        mine, seeds = shown[shown["objective"] == objective], rows[rows["objective"] == objective]
        shift = (i - (len(palette) - 1) / 2) * width
        at = mine[x].map(places) + shift
        hollow = objective == FLOOR
        panel.bar(
            at,
            mine["mean"],
            0.85 * width,
            color="none" if hollow else colour,
            edgecolor=colour,
            linewidth=0.6,
        )
        panel.scatter(
            seeds[x].map(places) + shift, seeds["captured"], s=3, color="black", linewidth=0, zorder=4
        )
    panel.axhline(shown["truth"].iloc[0], color=GREY, linewidth=0.6, zorder=1)
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in places]
    if len(places) > 1:
        panel.set_xticks(list(places.values()), words)
        panel.set_xlabel(_axis_label(x))
    else:
        panel.set_xticks([])


def _axis_label(name: str) -> str:
    symbol = "$U$" if name in ("unique1", "unique2") else symbol_of(name)
    if symbol:
        return f"true {symbol} [bits]"
    return name.replace("_", " ")


def _legend(figure: Figure, palette: dict[str, str], truth: bool) -> None:
    names = {FLOOR: "untrained (floor)", CEILING: "supervised (ceiling)"}
    bars = any(panel.patches for panel in figure.axes)
    handles: list[Artist] = []
    for name, colour in palette.items():
        label = names.get(name, name)
        if bars:
            handles.append(
                Patch(facecolor="none" if name == FLOOR else colour, edgecolor=colour, label=label)
            )
        else:
            handles.append(Line2D([], [], color=colour, linestyle=DASHES.get(name, "-"), label=label))
    if truth:
        handles.append(Line2D([], [], color=GREY, linewidth=0.6, label="truth"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 4),
        handlelength=1.8,
        columnspacing=1.4,
    )
