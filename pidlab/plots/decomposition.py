"""Decompositions as stacked bars: the four terms of each, in bits."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.plots.parts import fix_ticks, place_label
from pidlab.plots.style import GREY, TERM_COLOURS, style
from pidlab.results.means import columns_of, places
from pidlab.results.panels import SYMBOLS, require, symbol_of

# Width of a column of a two-column page, in inches.
WIDTH = 3.25
LABEL = "label"
# Terms within this of 0 have no bar.
LEAST = 1e-9


def decomposition_table(decompositions: Mapping[str, Decomposition]) -> pd.DataFrame:
    """Scalar decompositions as a table, a row each: `label`, the terms, `gap`, in bits."""
    return pd.DataFrame(
        [
            {
                LABEL: label,
                **{term: float(bits) for term, bits in found.terms.items()},
                "gap": float(found.gap),
            }
            for label, found in decompositions.items()
        ]
    )


def decomposition_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    title: str = "",
) -> tuple[Figure, pd.DataFrame]:
    """Draws a horizontal bar of four terms for every decomposition, the first on top.

    Positive terms are stacked from 0 to the right, negative ones from 0 to the left and hatched, so that
    the two sides of a bar still differ by the total, which a grey line marks.

    Args:
        table: decompositions (`decomposition_table`), or rows as in results.csv, of which the truth at
            every point is drawn.
        axis_groups: columns of the parameters that move together, to name the points of results by.
        venue: whose page the figure is for; it is a column wide.
        title: of the figure.

    Returns:
        The figure, and the table of what it shows: `label`, the terms, `total`, `gap` (bits).

    Raises:
        InvalidRequest: a table that has no terms, or results of more modalities than two.
    """
    require(table, TERMS, "a decomposition figure")
    shown = table if LABEL in table else _truths(table, axis_groups)
    shown = shown[[LABEL, *TERMS]].assign(total=shown[list(TERMS)].sum(axis=1), gap=shown.get("gap", 0.0))
    if shown[list(TERMS)].isna().any(axis=None) or _of_more(table):
        raise InvalidRequest("nothing to draw: the four terms are those of two modalities and a known truth")
    names = shown[LABEL].astype(str).tolist()
    with style(venue):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.24 * len(names)))
        panel = figure.subplots()
        fix_ticks(panel)
        for row, (_, found) in enumerate(shown.iterrows()):
            ends = {True: 0.0, False: 0.0}
            for term in TERMS:
                bits = float(found[term])
                if abs(bits) <= max(float(found["gap"]), LEAST):
                    continue
                panel.barh(
                    row,
                    bits,
                    0.72,
                    left=ends[bits > 0],
                    color=TERM_COLOURS[term],
                    edgecolor="white",
                    linewidth=0.6,
                    hatch="" if bits > 0 else "/////",
                )
                ends[bits > 0] += bits
        rows = np.arange(len(names))
        panel.vlines(shown["total"], rows - 0.45, rows + 0.45, color=GREY, linewidth=0.9)
        panel.axvline(0.0, color="black", linewidth=0.6)
        panel.set_yticks(rows, names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel("information about $Y$ [bits]")
        if title:
            panel.set_title(title, loc="left")
        swatches = [panel.barh(0, 0, color=TERM_COLOURS[term], label=SYMBOLS[term]) for term in TERMS]
        line = panel.plot([], [], color=GREY, linewidth=0.9, label="$I(X_1,X_2;Y)$")
        figure.legend(
            handles=[*swatches, *line],
            loc="outside lower center",
            ncols=5,
            handlelength=1.0,
            columnspacing=1.2,
        )
    return figure, shown


def _of_more(table: pd.DataFrame) -> bool:
    """Whether results are of more modalities than two, where other factors stand beside the four terms."""
    factors = (str(name) for name in dict.fromkeys(table.get("term", ())) if str(name) not in SYMBOLS)
    return "z3" in set(table.get("readout", ())) or any(map(symbol_of, factors))


def _truths(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The truth at every point of results, labelled by what varies."""
    by = columns_of(table, axis_groups)
    shown = table.drop_duplicates(by) if by else table.iloc[:1]
    labels = [place_label(place) or "truth" for place in places(shown, by)]
    return shown.reset_index(drop=True).assign(**{LABEL: labels})
