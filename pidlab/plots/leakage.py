"""The leakage figure: a heat map of which term, and which nuisance, is found where."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest, nearest
from pidlab.plots.parts import place_label, show, written
from pidlab.plots.style import style, width_of
from pidlab.results.means import (
    at_place,
    columns_of,
    means,
    parameters,
    places,
    thin_points,
)
from pidlab.results.panels import READOUTS, headlines, is_auxiliary, symbol_of

NUISANCE = "nuisance:"
# Inches: the least that a number needs, the height of a line, a character of a label.
CELL, LINE, LETTER = 0.25, 0.19, 0.055
# What brackets need beyond that.
BRACKETS = 0.06
MOST_PANELS = 12
# Part of the scale from which a cell is so dark that white is read better on it.
DARK = 0.6


def leakage_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    rows: str = "objective",
    terms: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draws means over seeds as a heat map: a column per term, then nuisance; bits in the cells.

    By objective there is a panel per point of a sweep (the first, the middle and the last of more than
    three) with the truth on top. By readout, or by a parameter's value, there is a panel per objective and
    point, and the truth stands in brackets under each number. Readouts are z1, z2 and z12; of a single
    objective all that it has.

    Args:
        table: rows as in results.csv.
        axis_groups: columns of the parameters that move together.
        venue: whose page the figure is for.
        readout: which readout, unless rows are readouts.
        rows: what a row is: `objective`, `readout`, or a parameter such as `unique1`.
        terms: the columns; by default every target and every nuisance.

    Returns:
        The figure, and a tidy table of every number in it (bits).

    Raises:
        InvalidRequest: no headlines of that readout, or no such parameter.
    """
    known = ["objective", "readout", *parameters(table)]
    if rows not in known:
        raise InvalidRequest(
            f"rows {rows!r}: expected objective, readout or a parameter; {nearest(rows, known)}"
        )
    found = headlines(table)
    found = found[
        ~is_auxiliary(found) | found["term"].str.startswith(NUISANCE) | found["term"].isin(list(terms))
    ]
    if rows != "readout":
        found = found[found["readout"] == readout]
    elif found["objective"].nunique() > 1:
        found = found[found["readout"].isin(READOUTS)]
    if found.empty:
        raise InvalidRequest(f"nothing to draw: no headline of readout {readout!r} in these results")
    # What rows are tells the points of its direction apart, whichever of its parameters stands first.
    by = columns_of(found, [sorted(axis, key=lambda name: name != rows) for axis in axis_groups])
    if rows in parameters(table) and rows not in by:
        by.append(rows)
    shown = means(found, by)
    split = [name for name in by if name != rows]
    chosen = thin_points(places(found, split))
    if rows != "objective":
        objectives = list(dict.fromkeys(shown["objective"]))
        chosen = [{"objective": name, **place} for name in objectives for place in chosen]
    count, chosen = len(chosen), chosen[:MOST_PANELS]
    parts = [at_place(shown, place) for place in chosen]
    shown = pd.concat(parts, ignore_index=True)
    names = [str(name) for name in dict.fromkeys(shown["term"])]
    columns = sorted(names, key=lambda name: name.startswith(NUISANCE)) if not terms else names
    labels = _values(shown, rows)
    what = f"captured from {readout} [bits]" if rows != "readout" else "captured [bits]"
    with style(venue):
        figure, grid = _grid(venue, len(parts), len(columns), [show(v) for v in labels], rows == "objective")
        top = max(float(np.nanmax(shown[["truth", "mean"]].to_numpy(dtype=float))), 0.1)
        for panel, part, place in zip(grid, parts, chosen, strict=True):
            _heat(panel, part, rows, labels, columns, top)
            title = {key: value for key, value in place.items() if key != "objective"}
            words = [str(place["objective"])] if "objective" in place else []
            panel.set_title(", ".join([*words, *([place_label(title)] if title else [])]))
        if count > len(parts):
            figure.suptitle(f"first {len(parts)} of {count} panels")
        figure.supxlabel(what, fontsize=mpl.rcParams["axes.labelsize"])
    return figure, shown


def _values(shown: pd.DataFrame, rows: str) -> list[Any]:
    found = list(dict.fromkeys(shown[rows]))
    return (
        sorted(found, key=lambda z: READOUTS.index(z) if z in READOUTS else 99)
        if rows == "readout"
        else found
    )


def _grid(venue: str, count: int, columns: int, labels: list[str], truth: bool) -> tuple[Figure, list[Axes]]:
    """Panels as many beside each other as numbers stay legible in."""
    width = width_of(venue)
    margin = 0.15 + LETTER * max(map(len, labels))
    across = min(
        max(int((width - margin) / ((CELL + (0.0 if truth else BRACKETS)) * columns + 0.05)), 1), count
    )
    down = math.ceil(count / across)
    across = math.ceil(count / down)
    lines = (len(labels) + 1) if truth else 1.6 * len(labels)
    figure = Figure(figsize=(width, down * (0.4 + LINE * lines) + 0.2))
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for spare in grid.flat[count:]:
        spare.remove()
    return figure, list(grid.flat[:count])


def _heat(
    panel: Axes, part: pd.DataFrame, rows: str, labels: list[Any], columns: list[str], top: float
) -> None:
    captured, truth = (
        part.pivot(index=rows, columns="term", values=name).reindex(index=labels, columns=columns)
        for name in ("mean", "truth")
    )
    words = captured.map(_bits)
    names = [show(label) for label in labels]
    if rows == "objective":
        known = truth.bfill().iloc[:1]
        captured, words = pd.concat([known, captured]), pd.concat([known.map(_bits), words])
        names = ["truth", *names]
    else:
        words = words + truth.map(lambda bits: f"\n({_bits(bits)})" if bits == bits else "")
    bits = captured.to_numpy(dtype=float)
    panel.pcolormesh(bits, cmap="Blues", vmin=0.0, vmax=top, edgecolor="white", linewidth=0.6)
    panel.set_ylim(len(names), 0)
    size = "xx-small" if len(columns) > 9 else 6
    for (i, j), word in np.ndenumerate(words.to_numpy()):
        if np.isfinite(bits[i, j]):
            panel.text(
                j + 0.5,
                i + 0.5,
                word,
                color="white" if bits[i, j] > DARK * top else "0.15",
                fontsize=size,
                ha="center",
                va="center",
                in_layout=False,  # they stay in their cells: no need to measure them
            )
    panel.set_xticks(np.arange(len(columns)) + 0.5, [symbol_of(name) or name for name in columns])
    panel.set_yticks(np.arange(len(names)) + 0.5, names, va="center")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    inner = rows in ("objective", "readout") or not panel.get_subplotspec().is_first_col()  # type: ignore[union-attr]
    panel.set(xlabel="", ylabel="" if inner else written(rows))
    panel.set_facecolor("0.94")  # what was not measured
    if rows == "objective":
        panel.axhline(1.0, color="black", linewidth=0.6)
    first = next((i for i, name in enumerate(columns) if name.startswith(NUISANCE)), 0)
    if first:
        panel.axvline(first, color="black", linewidth=0.6)


def _bits(bits: float) -> str:
    return "" if bits != bits else f"{bits:.2f}".replace("-0.00", "0.00")
