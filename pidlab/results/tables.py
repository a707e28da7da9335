"""Result tables as LaTeX, Markdown, CSV and HTML: mean ± half of the t-interval over seeds, in bits."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.registry import look_up
from pidlab.results.means import (
    above_floor,
    axis_groups_of,
    columns_of,
    is_reference,
    means,
    places,
    thin_points,
)
from pidlab.results.panels import Panel, panels, select

TRUTH = "truth"
NAN = float("nan")


@dataclass(frozen=True)
class Cell:
    """A mean with its interval, in bits.

    Args:
        mean: over seeds, or the truth; NaN where nothing was measured.
        half: half of the 95 % t-interval; NaN of one seed and of a truth.
        best: whether it is the most that an objective captured, floor and ceiling apart, and above the floor.
    """

    mean: float
    half: float = NAN
    best: bool = False

    def text(self, plus_minus: str) -> str:
        """Two decimals; empty where nothing was measured."""
        if self.mean != self.mean:
            return ""
        half = "" if self.half != self.half else f"{plus_minus}{self.half:.2f}"
        return f"{rounded(self.mean)}{half}"


@dataclass(frozen=True)
class CapturedTable:
    """Captured bits of objectives at points: what every written form is made of.

    Args:
        columns: what the cells are about.
        rows: the point, the objective (or `truth`) and a cell per column.
    """

    columns: list[Panel]
    rows: list[tuple[dict[str, Any], str, list[Cell]]]


def captured_table(
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    readout: str = "z12",
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
) -> CapturedTable:
    """Means over seeds of headlines, a row per point and objective, the truth first.

    The best of a column is the most captured at a point by what is neither floor nor ceiling, to the two
    decimals shown; there is none where the truth is 0. Where an untrained network stands in the table, the
    best must be above it too: the lower 95 % t-bound of the mean difference, paired by seed, above 0 (of one
    seed the difference itself).

    Args:
        table: rows as in results.csv.
        axis_groups: columns of the parameters that move together.
        readout: which readout.
        objectives: subset and order.
        terms: subset and order.
        at: chooses a point.

    Raises:
        InvalidRequest: nothing of that kind in the table.
    """
    chosen = select(table, objectives, terms, at)
    rows, divided = panels(chosen, readout, terms)
    by = columns_of(rows, axis_groups_of(rows, axis_groups))
    shown = means(rows, by).assign(above=above_floor(rows, by))
    format_table = []
    for place, here in zip(places(shown, by), _by_place(shown, by), strict=True):
        rows_of = [
            [row for row in here if (row["readout"], row["term"]) == (p.readout, p.term)] for p in divided
        ]
        parts = [{str(row["objective"]): row for row in found} for found in rows_of]
        true = [next((p["truth"] for p in part.values() if p["truth"] == p["truth"]), NAN) for part in parts]
        format_table.append((place, TRUTH, [Cell(bits) for bits in true]))
        best = [set() if bits == 0.0 else _best(part) for part, bits in zip(parts, true, strict=True)]
        for objective in dict.fromkeys(str(row["objective"]) for row in here):
            cells = [
                _cell(part.get(objective), objective in most) for part, most in zip(parts, best, strict=True)
            ]
            format_table.append((place, objective, cells))
    return CapturedTable(divided, format_table)


def _by_place(shown: pd.DataFrame, by: Sequence[str]) -> list[list[dict[Any, Any]]]:
    """The means at every point, in the order of the points."""
    groups = shown.groupby(list(by), sort=False, dropna=False).ngroup() if by else pd.Series(0, shown.index)
    found = [[] for _ in range(groups.max() + 1)]
    rows = shown.astype(dict.fromkeys(("truth", "mean", "low", "high"), float)).to_dict("records")
    for group, row in zip(groups, rows, strict=True):
        found[group].append(row)
    return found


def _cell(row: dict[str, Any] | None, best: bool) -> Cell:
    if row is None:  # an objective without this readout
        return Cell(NAN)
    return Cell(row["mean"], (row["high"] - row["low"]) / 2, best)


def _best(part: dict[str, dict[str, Any]]) -> set[str]:
    own = {name: row["mean"] for name, row in part.items() if not is_reference(name)}
    most = [name for name, bits in own.items() if rounded(bits) == rounded(max(own.values()))]
    return {name for name in most if part[name]["above"]}


def rounded(bits: float) -> str:
    """Two decimals, without a minus before a zero."""
    text = f"{bits:.2f}"
    return "0.00" if text == "-0.00" else text


UNIT = "[bits]"


def as_frame(found: CapturedTable) -> pd.DataFrame:
    """The numbers as a table, unrounded: a column of means and one of half-widths per term, in bits."""
    records = []
    for place, objective, cells in found.rows:
        record: dict[str, Any] = {**place, "objective": objective}
        for column, cell in zip(found.columns, cells, strict=True):
            record[f"{_plain(column)} {UNIT}"] = cell.mean
            record[f"{_plain(column)} ± {UNIT}"] = cell.half
        records.append(record)
    return pd.DataFrame(records)


def as_csv(found: CapturedTable) -> str:
    """As CSV, numbers unrounded."""
    return as_frame(found).to_csv(index=False)


def as_markdown(found: CapturedTable) -> str:
    """As a Markdown table, the best of a column in bold."""
    head = [*_place_names(found), "objective", *(f"{_plain(column)} {UNIT}" for column in found.columns)]
    rule = [*("---" for _ in head[: -len(found.columns)]), *("---:" for _ in found.columns)]
    lines = [head, rule]
    for place, objective, cells in found.rows:
        words = (cell.text(" ± ") for cell in cells)
        bold = (f"**{word}**" if cell.best else word for word, cell in zip(words, cells, strict=True))
        lines.append([*map(_value, place.values()), objective.replace("|", "\\|"), *bold])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def as_latex(found: CapturedTable) -> str:
    r"""As a LaTeX table for the package booktabs, the best of a column in bold.

    Points are divided by a rule; what does not change from a row to the next is written once.
    """
    names = _place_names(found)
    head = [*map(_escape, names), "objective", *(f"{column.symbol} {UNIT}" for column in found.columns)]
    blocks: list[list[list[str]]] = []
    before = None
    for place, objective, cells in found.rows:
        first = place != before
        if first:
            blocks.append([])
        words = (cell.text(r" \pm ") for cell in cells)
        bold = [_mathematics(word, cell.best) for word, cell in zip(words, cells, strict=True)]
        where = [_escape(_value(value)) if first else "" for value in place.values()]
        blocks[-1].append([*where, _escape(objective), *bold])
        before = place
    lines = [f"\\begin{{tabular}}{{{'l' * (len(names) + 1)}{'r' * len(found.columns)}}}", r"\toprule"]
    lines.append(" & ".join(head) + r" \\")
    for block in blocks:
        lines.append(r"\midrule")
        lines += [" & ".join(row) + r" \\" for row in block]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def as_html(found: CapturedTable) -> str:
    """As an HTML table for notebooks."""
    head = [*_place_names(found), "objective", *(f"{_plain(column)} {UNIT}" for column in found.columns)]
    lines = [
        "<table><thead><tr>",
        *(f"<th>{html.escape(name)}</th>" for name in head),
        "</tr></thead><tbody>",
    ]
    for place, objective, cells in found.rows:
        words = [html.escape(word) for word in (*map(_value, place.values()), objective)]
        bits = (f"<b>{cell.text(' ± ')}</b>" if cell.best else cell.text(" ± ") for cell in cells)
        lines.append(f"<tr>{''.join(f'<td>{word}</td>' for word in (*words, *bits))}</tr>")
    return "".join([*lines, "</tbody></table>"])


FORMATS: dict[str, Callable[[CapturedTable], str]] = {
    "latex": as_latex,
    "markdown": as_markdown,
    "csv": as_csv,
}


def format_table(found: CapturedTable, form: str) -> str:
    """The table in a format of that name.

    Raises:
        InvalidRequest: no such format.
    """
    return look_up("format", form, FORMATS)(found)


def notebook(table: pd.DataFrame, axis_groups: Sequence[Sequence[str]], directory: Path, failed: int) -> str:
    """What a notebook shows of results: how many there are, and captured bits at a few points."""
    runs = table["run"].nunique() if "run" in table else 0
    lost = f", {failed} failed" if failed else ""
    head = f"<p>{runs} runs{lost} in <code>{html.escape(str(directory))}</code></p>"
    try:
        found = captured_table(table, axis_groups)
    except InvalidRequest as reason:
        return f"{head}<p>{html.escape(str(reason))}</p>"
    points = list(dict.fromkeys(tuple(place.items()) for place, _, _ in found.rows))
    shown = [tuple(place.items()) for place in thin_points([dict(point) for point in points])]
    rows = [row for row in found.rows if tuple(row[0].items()) in shown]
    some = f"<p>{len(shown)} of {len(points)} points</p>" if len(shown) < len(points) else ""
    about = "<p>Captured, mean ± half of the 95 % t-interval over seeds:</p>"
    return head + about + as_html(CapturedTable(found.columns, rows)) + some


def _place_names(found: CapturedTable) -> list[str]:
    return list(found.rows[0][0]) if found.rows else []


def _plain(column: Panel) -> str:
    own = column.symbol.startswith("$I(")
    return f"I({column.readout};{column.term})" if own else column.term


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mathematics(word: str, bold: bool) -> str:
    if not word:
        return ""
    return f"$\\mathbf{{{word}}}$" if bold else f"${word}$"


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
