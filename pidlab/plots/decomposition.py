"""Figure "decomposition": the four terms of partial information decompositions as stacked bars."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.plots.drawing import fix_ticks
from pidlab.plots.style import GREY, TERM_COLORS, escape_math, style
from pidlab.results.formatting import format_point
from pidlab.results.means import list_points, point_columns
from pidlab.results.panels import SYMBOLS, describe_term, require_columns, symbol_of

# Width in inches of a column of a two-column page.
WIDTH = 3.25
LABEL = "label"
# Terms within this distance of 0 have no bar, in bits.
LEAST = 1e-9


def decomposition_table(decompositions: Mapping[str, Decomposition]) -> pd.DataFrame:
    """Return scalar decompositions as a table with columns `label`, the four terms and `gap`, in bits.

    Args:
        decompositions: Decompositions by label.
    """
    return pd.DataFrame(
        [
            {
                LABEL: label,
                **{term: float(bits) for term, bits in decomposition.terms.items()},
                "gap": float(decomposition.gap),
            }
            for label, decomposition in decompositions.items()
        ]
    )


def decomposition_figure(
    table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = (), *, venue: str = "neurips", title: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Draw a horizontal bar of the four terms for each decomposition.

    Positive terms are stacked from 0 to the right; negative terms are hatched and stacked from 0 to the
    left. A grey line marks their sum.

    Args:
        table: Decompositions (`decomposition_table`), or rows as in results.csv, whose truth is drawn.
        axis_groups: Columns of the parameters that vary together, for the labels of points.
        venue: One of `VENUES`; the figure is one column wide.
        title: Title of the figure.

    Returns:
        The figure, and a table with columns `label`, the terms, `total` and `gap` (bits).

    Raises:
        InvalidRequest: If a term is missing, or the results are of more than two modalities.
    """
    require_columns(table, TERMS, "decomposition figure")
    shown = table if LABEL in table else _label_truths(table, axis_groups)
    shown = shown[[LABEL, *TERMS]].assign(total=shown[list(TERMS)].sum(axis=1), gap=shown.get("gap", 0.0))
    if shown[list(TERMS)].isna().any(axis=None) or _has_other_terms(table):
        raise InvalidRequest(
            "--kind decomposition: the four terms are not known; choose results of two modalities with a "
            "known truth"
        )
    names = shown[LABEL].astype(str).tolist()
    with style(venue):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.24 * len(names)))
        panel = figure.subplots()
        fix_ticks(panel)
        for row, (_, terms) in enumerate(shown.iterrows()):
            ends = {True: 0.0, False: 0.0}
            for term in TERMS:
                bits = float(terms[term])
                if abs(bits) <= max(float(terms["gap"]), LEAST):
                    continue
                panel.barh(
                    row,
                    bits,
                    0.72,
                    left=ends[bits > 0],
                    color=TERM_COLORS[term],
                    edgecolor="white",
                    linewidth=0.6,
                    hatch="" if bits > 0 else "/////",
                )
                ends[bits > 0] += bits
        rows = np.arange(len(names))
        panel.vlines(shown["total"], rows - 0.45, rows + 0.45, color=GREY, linewidth=0.9)
        panel.axvline(0.0, color="black", linewidth=0.6)
        panel.set_yticks(rows, map(escape_math, names))
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel("information about $Y$ [bits]")
        if title:
            panel.set_title(escape_math(title), loc="left")
        swatches = [panel.barh(0, 0, color=TERM_COLORS[term], label=describe_term(term)) for term in TERMS]
        line = panel.plot([], [], color=GREY, linewidth=0.9, label="total $I(X_1,X_2;Y)$")
        figure.legend(
            handles=[*swatches, *line],
            loc="outside lower center",
            ncols=2,
            handlelength=1.0,
            columnspacing=1.2,
        )
    return figure, shown


def _has_other_terms(table: pd.DataFrame) -> bool:
    """Return whether results are of more than two modalities, whose terms are not the four terms."""
    others = (str(name) for name in dict.fromkeys(table.get("term", ())) if str(name) not in SYMBOLS)
    return "z3" in set(table.get("readout", ())) or any(map(symbol_of, others))


def _label_truths(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the truth at every point of results, labeled by the varied parameters."""
    by = point_columns(table, axis_groups)
    shown = table.drop_duplicates(by) if by else table.iloc[:1]
    labels = [format_point(point) or "truth" for point in list_points(shown, by)]
    return shown.reset_index(drop=True).assign(**{LABEL: labels})
