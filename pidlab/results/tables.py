"""Tables of captured bits as LaTeX, Markdown, CSV and HTML: mean ± half of the t-interval over seeds."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.registry import look_up
from pidlab.results.baseline_columns import has_baselines
from pidlab.results.formatting import format_bits, format_interval, format_objective, format_value
from pidlab.results.means import (
    BASELINES,
    TRAINED,
    above_floor,
    count_trained,
    find_axis_groups,
    has_bounds,
    is_reference,
    mean_over_seeds,
    point_columns,
    point_key,
    thin_points,
)
from pidlab.results.panels import BEST, BITS, Panel, find_labels, objectives_of, panels, read_by, select

TRUTH = "truth"
NAN = float("nan")
UNIT = "[bits]"
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Cell:
    """A mean with its interval, in bits.

    Args:
        mean: Mean over seeds, or the ground truth; NaN if nothing was measured.
        half: Half the width of the 95 % t-interval; NaN for fewer than three seeds and for the ground truth.
        best: Whether it is the largest value of its column, not counting floor and ceiling, and lies
            above the floor.
    """

    mean: float
    half: float = NAN
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    """A row of a table: an objective, or the ground truth, at one point.

    Args:
        point: Values of the varied parameters.
        objective: Reference of the objective, or `truth`.
        cells: One cell per column.
        label: Name of the objective in the table.
        trained: Number of seeds whose loss training changed, such as `2 of 3`; empty if it is not known.
    """

    point: dict[str, Any]
    objective: str
    cells: list[Cell]
    label: str
    trained: str = ""


@dataclass(frozen=True)
class CapturedTable:
    """Captured bits of objectives at the points of a sweep.

    Args:
        columns: Target and readout of each column.
        rows: Rows by point; the ground truth comes first.
        unit: Unit of the numbers.
        shows_trained: Whether the column `trained` is shown, because a run is flagged as not trained.
    """

    columns: list[Panel]
    rows: list[TableRow]
    unit: str = UNIT
    shows_trained: bool = False

    @property
    def parameters(self) -> list[str]:
        """Varied parameters."""
        return list(self.rows[0].point) if self.rows else []

    @property
    def words(self) -> list[str]:
        """The columns before the numbers."""
        return [*self.parameters, "objective", *[TRAINED] * self.shows_trained]


def captured_table(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    readout: str = "z12",
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    order: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    probes: Sequence[str] = (BEST,),
    quantity: str = BITS,
    baselines: bool = False,
) -> CapturedTable:
    """Build the table of captured bits, with one row per point and objective.

    The best value of a column is the largest one at a point, rounded to two decimals; the floor and the
    ceiling do not compete. No value is best where the truth is 0, where there is a single seed, or where an
    untrained network is in the table and the value does not lie above it (see `above_floor`, which is
    corrected for the number of objectives).

    If a run is flagged as not trained, the column `trained` counts the seeds whose loss training changed.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together.
        readout: Readout to show.
        objectives: Subset and order of the objectives; all if empty.
        terms: Subset and order of the terms; all if empty.
        at: Values of parameters, to select points.
        order: Objectives that come first; the others follow.
        labels: Names of objectives, by reference.
        probes: Probes to show side by side; `best` is the best one on validation rows.
        quantity: `bits`, or `accuracy` or `balanced_accuracy` of the probe; accuracies have no ground truth.
        baselines: Whether to show the floor and the ceiling of each objective beside its bits.

    Raises:
        InvalidRequest: If no row is left, there is no such probe or quantity, or baselines cannot be shown.
    """
    selected = select(table, objectives, terms, at, order)
    labels = find_labels(labels or {}, objectives_of(table))
    chosen = list(dict.fromkeys(probes or (BEST,)))
    if baselines:
        _check_baselines(selected, chosen, quantity)
    parts = [
        _table_of_probe(read_by(selected, probe, quantity), axis_groups, readout, terms, labels)
        for probe in chosen
    ]
    if baselines:
        read = read_by(selected, chosen[0])
        parts += [_table_of_probe(read, axis_groups, readout, terms, labels, name) for name in BASELINES]
        chosen += BASELINES
    joined = _side_by_side(parts, chosen) if len(parts) > 1 else parts[0]
    flagged = TRAINED in selected and bool(selected[TRAINED].eq(False).any())
    joined = replace(joined, shows_trained=flagged)
    if quantity == BITS:
        return joined
    measured = [row for row in joined.rows if row.objective != TRUTH]
    return replace(joined, rows=measured, unit=f"[{quantity.replace('_', ' ')}]")


def _check_baselines(table: pd.DataFrame, probes: Sequence[str], quantity: str) -> None:
    """Refuse floors and ceilings that a table does not have.

    Raises:
        InvalidRequest: If there are none, or several probes or accuracies are shown.
    """
    if not has_baselines(table):
        raise InvalidRequest(
            "--baselines: these results have no floors and ceilings; rerun the sweep with --baselines to add "
            "them"
        )
    if len(probes) > 1 or quantity != BITS:
        raise InvalidRequest("--baselines: shows bits of one probe; give one --probe, and no --quantity")


def _side_by_side(parts: Sequence[CapturedTable], probes: Sequence[str]) -> CapturedTable:
    """Return one table with the columns of several probes, those of a target next to each other."""
    places = [(i, j) for i, part in enumerate(parts) for j in range(len(part.columns))]
    targets = list(dict.fromkeys((c.readout, c.term) for part in parts for c in part.columns))
    places.sort(
        key=lambda p: targets.index((parts[p[0]].columns[p[1]].readout, parts[p[0]].columns[p[1]].term))
    )
    columns = [replace(parts[i].columns[j], probe=probes[i]) for i, j in places]
    cells = [{(tuple(row.point.items()), row.objective): row.cells for row in part.rows} for part in parts]
    first = {(tuple(row.point.items()), row.objective): row for part in parts for row in part.rows}
    rows = [
        replace(row, cells=[cells[i][key][j] if key in cells[i] else Cell(NAN) for i, j in places])
        for key, row in first.items()
    ]
    return CapturedTable(columns, rows)


def _table_of_probe(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]],
    readout: str,
    terms: Sequence[str],
    labels: Mapping[str, str] | None,
    value: str = "captured",
) -> CapturedTable:
    """Return the table of the headlines of selected rows; `value` is the column to show."""
    rows, columns = panels(table, readout, terms)
    by = point_columns(rows, find_axis_groups(rows, axis_groups))
    if value != "captured":
        rows = rows.assign(captured=rows[value], floor=np.nan)
    means = mean_over_seeds(rows, by).assign(above=above_floor(rows, by))
    trained = count_trained(rows, [*by, "objective"])
    # means of each objective by (readout, term), at each point
    points: dict[tuple[Any, ...], dict[str, dict[tuple[str, str], dict[str, Any]]]] = {}
    for record in means.astype(dict.fromkeys(("truth", "mean", "low", "high"), float)).to_dict("records"):
        point = point_key(record[name] for name in by)
        objective = points.setdefault(point, {}).setdefault(str(record["objective"]), {})
        objective[record["readout"], record["term"]] = {str(key): value for key, value in record.items()}
    # Truths that are known up to bounds are upper bounds.
    label = f"{TRUTH} (at most)" if has_bounds(table) else TRUTH
    table_rows: list[TableRow] = []
    for values, found in points.items():
        point = dict(zip(by, values, strict=True))
        measured = [
            {name: cells[key] for name, cells in found.items() if key in cells}
            for key in ((column.readout, column.term) for column in columns)
        ]
        truths = [_first_known(record["truth"] for record in column.values()) for column in measured]
        best = [
            _best(column) if truth and value == "captured" else set()
            for column, truth in zip(measured, truths, strict=True)
        ]
        table_rows.append(TableRow(point, TRUTH, [Cell(truth) for truth in truths], label))
        for name in found:
            cells = [
                _cell(column[name], name in winners) if name in column else Cell(NAN)
                for column, winners in zip(measured, best, strict=True)
            ]
            seeds = trained.get((*values, name), "")
            table_rows.append(TableRow(point, name, cells, format_objective(name, labels), seeds))
    return CapturedTable(columns, table_rows)


def _first_known(values: Any) -> float:
    return next((value for value in values if value == value), NAN)


def _cell(record: Mapping[str, Any], best: bool) -> Cell:
    # With two seeds the interval is 13 standard errors wide on each side and says nothing.
    half = (record["high"] - record["low"]) / 2 if record["seeds"] >= LEAST_SEEDS else NAN
    return Cell(record["mean"], half, best and record["seeds"] > 1)


def _best(column: dict[str, dict[str, Any]]) -> set[str]:
    means = {name: record["mean"] for name, record in column.items() if not is_reference(name)}
    if not means:
        return set()
    largest = format_bits(max(means.values()))
    return {name for name, mean in means.items() if format_bits(mean) == largest and column[name]["above"]}


def to_frame(table: CapturedTable) -> pd.DataFrame:
    """Return the numbers unrounded: a column of means and a column of half-widths per term, in bits."""
    records = []
    for row in table.rows:
        record: dict[str, Any] = {**row.point, "objective": row.objective}
        if table.shows_trained:
            record[TRAINED] = row.trained
        for column, cell in zip(table.columns, row.cells, strict=True):
            record[f"{_plain_name(column)} {table.unit}"] = cell.mean
            record[f"{_plain_name(column)} ± {table.unit}"] = cell.half
        records.append(record)
    return pd.DataFrame(records)


def to_csv(table: CapturedTable) -> str:
    """Return the unrounded numbers as CSV."""
    return to_frame(table).to_csv(index=False)


def to_markdown(table: CapturedTable) -> str:
    """Return a Markdown table with the best value of each column in bold."""
    words = len(table.words)
    frame = _text_frame(table, lambda text, best: f"**{text}**" if best else text)
    frame.iloc[:, :words] = frame.iloc[:, :words].map(lambda text: text.replace("|", "\\|"))
    alignment = ["left"] * words + ["right"] * len(table.columns)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=alignment) + "\n"


def to_html(table: CapturedTable) -> str:
    """Return an HTML table for notebooks with the best value of each column in bold."""
    words = len(table.words)
    frame = _text_frame(table, lambda text, best: f"<b>{text}</b>" if best else text)
    frame.iloc[:, :words] = frame.iloc[:, :words].map(html.escape)
    frame.columns = [html.escape(name) for name in frame.columns]
    return frame.to_html(index=False, escape=False, border=0)


def to_latex(table: CapturedTable) -> str:
    """Return a LaTeX table for the package booktabs with the best value of each column in bold.

    Rules separate the points of the sweep, and the values of a point are written in its first row.
    """
    words = len(table.words)

    def number(text: str, best: bool) -> str:
        return f"$\\mathbf{{{text}}}$" if best else f"${text}$" if text else ""

    frame = _text_frame(table, number, r" \pm ")
    frame.columns = [
        *frame.columns[:words],
        *(f"{_with_probe(column.symbol, column)} {table.unit}" for column in table.columns),
    ]
    starts = [i for i, row in enumerate(table.rows) if i == 0 or row.point != table.rows[i - 1].point]
    repeated = [i for i in range(len(frame)) if i not in starts]
    frame.iloc[repeated, : len(table.parameters)] = ""
    styler = frame.style.hide(axis="index").format_index(escape="latex-math", axis=1)
    styler = styler.format(escape="latex", subset=list(frame.columns[:words]))
    alignment = "l" * words + "r" * len(table.columns)
    lines = styler.to_latex(hrules=True, column_format=alignment).splitlines()
    # Four lines precede the first row: begin, toprule, head, midrule.
    for i in reversed(starts[1:]):
        lines.insert(4 + i, r"\midrule")
    return "\n".join(lines) + "\n"


def _text_frame(
    table: CapturedTable, mark: Callable[[str, bool], str], plus_minus: str = " ± "
) -> pd.DataFrame:
    """Return the table as text; `mark` formats a number and takes whether it is the best of its column."""
    names = [f"{_plain_name(column)} {table.unit}" for column in table.columns]
    lines = [
        [
            *map(format_value, row.point.values()),
            row.label,
            *[row.trained] * table.shows_trained,
            *(mark(format_interval(cell.mean, cell.half, plus_minus), cell.best) for cell in row.cells),
        ]
        for row in table.rows
    ]
    return pd.DataFrame(lines, columns=[*table.words, *names], dtype=object)


def _plain_name(column: Panel) -> str:
    name = f"I({column.readout};{column.term})" if column.symbol.startswith("$I(") else column.term
    return _with_probe(name, column)


def _with_probe(name: str, column: Panel) -> str:
    return f"{name} ({column.probe})" if column.probe else name


FORMATS: dict[str, Callable[[CapturedTable], str]] = {
    "latex": to_latex,
    "markdown": to_markdown,
    "csv": to_csv,
}


def format_table(table: CapturedTable, format_: str) -> str:
    """Return a table in one of the formats `latex`, `markdown` and `csv`.

    Args:
        table: Result of `captured_table`.
        format_: Name of the format.

    Raises:
        InvalidRequest: If there is no such format.
    """
    return look_up("format", format_, FORMATS)(table)


def notebook(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]], directory: Path, failed: int) -> str:
    """Return the HTML that represents results in a notebook: their size, and captured bits at three points.

    Args:
        table: Rows as in results.csv.
        axis_groups: Columns of the parameters that vary together.
        directory: Folder of the results.
        failed: Number of failed runs.
    """
    runs = table["run"].nunique() if "run" in table else 0
    lost = f", {failed} failed" if failed else ""
    head = f"<p>{runs} runs{lost} in <code>{html.escape(str(directory))}</code></p>"
    try:
        captured = captured_table(table, axis_groups)
    except InvalidRequest as reason:
        return f"{head}<p>{html.escape(str(reason))}</p>"
    points = list({tuple(row.point.items()): row.point for row in captured.rows}.values())
    shown = thin_points(points)
    rows = [row for row in captured.rows if row.point in shown]
    note = f"<p>{len(shown)} of {len(points)} points</p>" if len(shown) < len(points) else ""
    about = "<p>Captured information, mean ± half the 95 % t-interval over seeds:</p>"
    return head + about + to_html(replace(captured, rows=rows)) + note
