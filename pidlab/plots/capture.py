"""Figure "capture": captured against true information, term by term."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pidlab.plots.drawing import (
    CAPTURED,
    DOT_SPREAD,
    LINE_SPREAD,
    axis_label,
    baseline_handles,
    draw_baselines,
    draw_hollow,
    draw_objectives,
    hollow_handle,
    label_row,
    label_values,
    legend,
    objective_handles,
    panel_grid,
    point_title,
    truth_handles,
    value_positions,
)
from pidlab.plots.style import TRUTH, TRUTH_BAND, Look, looks, style
from pidlab.results.means import (
    BASELINES,
    add_lower_bounds,
    add_single_seeds,
    list_points,
    mean_over_seeds,
    point_columns,
    rows_at,
    thin_points,
)
from pidlab.results.panels import BEST, LINEAR, Panel, is_synergy, panels, read_by, symbol_of

# A figure with more rows of panels does not fit on a page.
MOST_ROWS = 6
# Bits below which the means of a term without information count as zero.
ZERO = 0.05


def capture_figure(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    readout: str = "z12",
    terms: Sequence[str] = (),
    probes: Sequence[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw captured against true information, with a panel per term.

    A term that rises or falls along the first axis is drawn against its own truth, with the identity as a
    grey line. Any other term is drawn against the varied parameter, with its truth as a grey line. Marks
    are means over seeds with 95 % t-intervals, dots are single seeds. If the truth is known up to bounds, the
    grey line is its upper bound, the planted information, and a band reaches to the lower bound. Each further
    axis adds a row of panels per value. Terms without information that no objective captures have no panel.
    By default the best probe on validation rows is shown, and panels of synergy show the linear probe as
    well, as hollow marks: papers report the linear probe, and it cannot read an XOR of two concatenated
    representations. Hollow grey marks are the floor and the ceiling of each objective's own architecture, if
    the sweep measured them.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together; the first is drawn along x.
        venue: One of `VENUES`.
        readout: Readout to show.
        terms: Targets that are shown in addition to the terms.
        probes: Probes to show, each in its own panels.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If the table has no headline rows of that readout, or no such probe.
    """
    chosen = probes or (BEST,)
    parts = [_read(table, readout, terms, axis_groups, probe) for probe in chosen]
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    shown = pd.concat([part.shown for part in parts], ignore_index=True)
    divided = [panel for part in parts for panel in part.panels]
    if len(chosen) > 1:  # the panels of a term next to each other
        order = list(dict.fromkeys((panel.readout, panel.term) for panel in divided))
        divided.sort(key=lambda panel: order.index((panel.readout, panel.term)))
        divided = [replace(panel, title=f"{panel.title}\n({panel.probe} probe)") for panel in divided]
    by = parts[0].by
    linear = None
    if not probes and any(map(_is_synergy, divided)) and _has_linear(table, readout):
        linear = _read(table[table["term"].map(is_synergy)], readout, terms, axis_groups, LINEAR)
        shown = pd.concat([shown, linear.shown], ignore_index=True)
    visible = without_empty(divided, shown)
    points = list_points(rows, by[1:])
    drawn = thin_points(points, MOST_ROWS)
    palette = looks(rows["objective"])
    limits = bits_limits(shown)
    with style(venue):
        figure, grid = panel_grid(venue, len(drawn), len(visible))
        for line, (strip, point) in enumerate(zip(grid, drawn, strict=True)):
            means, seeds = rows_at(shown, point), rows_at(rows, point)
            for part, panel in zip(visible, strip, strict=True):
                compared = None
                if linear is not None and _is_synergy(part):
                    compared = replace(part, probe=LINEAR).rows(rows_at(linear.rows, point))
                _draw_panel(panel, part, part.rows(means), part.rows(seeds), by[0], palette, compared)
                panel.set_ylim(limits)
                if line == 0:
                    panel.set_title(part.title)
                if line < len(drawn) - 1:
                    panel.set_xlabel("")
            if point:
                label_row(strip[-1], point_title(point, "\n"))
        figure.supylabel(CAPTURED, fontsize="medium")
        if len(drawn) < len(points):
            figure.suptitle(f"{len(drawn)} of {len(points)} values; the table has all of them")
        hollow = [hollow_handle("linear probe")] if linear is not None else []
        entries = [*objective_handles(palette), *hollow, *baseline_handles(shown), *truth_handles(shown)]
        legend(figure, entries)
    return figure, shown


@dataclass(frozen=True)
class _Read:
    """Rows of one probe, their means, the panels, and the columns that distinguish points."""

    rows: pd.DataFrame
    shown: pd.DataFrame
    panels: list[Panel]
    by: list[str]


def _read(
    table: pd.DataFrame,
    readout: str,
    terms: Sequence[str],
    axis_groups: Sequence[Sequence[str]],
    probe: str,
) -> _Read:
    rows, divided = panels(read_by(table, probe), readout, terms)
    by = point_columns(rows, axis_groups) or ["redundant"]
    rows = rows.assign(probe=probe)
    means = add_lower_bounds(mean_over_seeds(rows, by), table, by)
    shown = add_single_seeds(means, rows, by).assign(probe=probe)
    return _Read(rows, shown, [replace(panel, probe=probe) for panel in divided], by)


def _has_linear(table: pd.DataFrame, readout: str) -> bool:
    """Return whether synergy was read from a readout by the linear probe and by another one."""
    if "probe" not in table:
        return False
    read = table[(table["readout"] == readout) & (table["quantity"] == "mi") & table["term"].map(is_synergy)]
    return {LINEAR} < set(read["probe"])


def _is_synergy(panel: Panel) -> bool:
    return is_synergy(panel.term)


def bits_limits(shown: pd.DataFrame) -> tuple[float, float]:
    """Return limits of an axis in bits that hold all truths, means, floors and ceilings."""
    drawn = [name for name in ("truth", "mean", *BASELINES) if name in shown]
    top = max(1.05 * float(shown[drawn].max().max()), 0.1)
    return -0.06 * top, 1.04 * top


def empty_targets(shown: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the (readout, term) pairs that are a line at 0: no information, and none captured.

    Args:
        shown: Means over seeds (`mean_over_seeds`).
    """
    size = shown[["truth", "mean"]].abs().groupby([shown["readout"], shown["term"]], sort=False).max()
    known = shown.groupby(["readout", "term"], sort=False)["truth"].count() > 0
    empty = size[known & (size["truth"] == 0) & (size["mean"] < ZERO)]
    return set(empty.index)


def without_empty(divided: list[Panel], shown: pd.DataFrame) -> list[Panel]:
    """Leave out the panels of empty targets, unless all of them are empty.

    Args:
        divided: Panels of a figure.
        shown: Means over seeds (`mean_over_seeds`).
    """
    empty = empty_targets(shown)
    return [part for part in divided if (part.readout, part.term) not in empty] or divided


def _draw_panel(
    panel: Axes,
    part: Panel,
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    along: str,
    palette: Mapping[str, Look],
    compared: pd.DataFrame | None = None,
) -> None:
    """Draw one panel; `compared` are rows of a second probe, drawn as hollow marks."""
    if means.empty:  # the generator lacks this term at this value of the other axes
        panel.set_axis_off()
        return
    is_own_axis = means["truth"].nunique() > 1 and _orders_points(means, along)
    x = "truth" if is_own_axis else along
    # Without a varied parameter, x may be a truth that is not known.
    means, seeds = means.fillna({x: 0.0}), seeds.fillna({x: 0.0})
    # Bits keep a linear axis, so that the identity is a straight line.
    positions, labeled = value_positions(means[x], linear=is_own_axis or symbol_of(x) is not None)
    connected = len(positions) > 1 and pd.api.types.is_numeric_dtype(means[x])
    spread = LINE_SPREAD if connected else DOT_SPREAD
    positioned = seeds.assign(x=seeds[x].map(positions))
    draw_objectives(panel, positioned, "x", palette, spread=spread, connected=connected)
    draw_baselines(panel, means.assign(x=means[x].map(positions)), "x", palette, spread, connected)
    if compared is not None and len(compared):
        others = compared.fillna({x: 0.0}).assign(x=lambda t: t[x].map(positions))
        draw_hollow(panel, others, "x", palette, connected=connected)
    has_band = "truth_low" in means
    truths = means.drop_duplicates(x).assign(x=lambda t: t[x].map(positions)).sort_values("x")
    if connected:
        panel.plot(truths["x"], truths["truth"], **TRUTH)
        if has_band:
            panel.fill_between(truths["x"], truths["truth_low"], truths["truth"], **TRUTH_BAND)
    else:
        panel.hlines(truths["truth"], truths["x"] - 0.45, truths["x"] + 0.45, **TRUTH)
        if has_band:
            height = truths["truth"] - truths["truth_low"]
            panel.bar(truths["x"], height, width=0.9, bottom=truths["truth_low"], **TRUTH_BAND)
    if len(positions) == 1:
        panel.set_xticks([])
        return
    if labeled:
        label_values(panel, positions)
    known = "planted" if has_band else "true"
    panel.set_xlabel(f"{known} {part.symbol} [bits]" if is_own_axis else axis_label(along, known))


def _orders_points(means: pd.DataFrame, along: str) -> bool:
    """Return whether the truth distinguishes the points of an axis in order, so that it can be the x-axis."""
    if not pd.api.types.is_numeric_dtype(means[along]):
        return True
    truths = means.drop_duplicates(along).sort_values(along)["truth"]
    return truths.is_unique and (truths.is_monotonic_increasing or truths.is_monotonic_decreasing)
