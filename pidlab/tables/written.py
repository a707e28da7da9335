"""Result tables as LaTeX, Markdown, CSV and HTML: mean ± half of the t-interval over seeds, in bits."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.registry import look_up
from pidlab.tables.captured import CapturedTable, captured_table
from pidlab.tables.means import few
from pidlab.tables.panels import Panel

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


def written(found: CapturedTable, form: str) -> str:
    """The table in a format of that name.

    Raises:
        InvalidRequest: no such format.
    """
    return look_up("format", form, FORMATS)(found)


def notebook(table: pd.DataFrame, directions: Sequence[Sequence[str]], directory: Path, failed: int) -> str:
    """What a notebook shows of results: how many there are, and captured bits at a few points."""
    runs = table["run"].nunique() if "run" in table else 0
    lost = f", {failed} failed" if failed else ""
    head = f"<p>{runs} runs{lost} in <code>{html.escape(str(directory))}</code></p>"
    try:
        found = captured_table(table, directions)
    except InvalidRequest as reason:
        return f"{head}<p>{html.escape(str(reason))}</p>"
    points = list(dict.fromkeys(tuple(place.items()) for place, _, _ in found.rows))
    shown = [tuple(place.items()) for place in few([dict(point) for point in points])]
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
