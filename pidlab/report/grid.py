"""A table as the page shows it: columns that know how they sort, rows of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Rows that stand in the page itself; the others are drawn from its data when they are asked for.
AT_ONCE = 500


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        label: its head.
        kind: `number` or `text`, for sorting, or `list`, which has no order.
        filter: the choice that it answers to: objective, readout or term.
        names: parameters whose value it holds, so that `noise=0.1` is found.
        hint: what it means, at length.
    """

    label: str
    kind: str = "number"
    filter: str = ""
    names: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Args:
        id: of the table in the page.
        caption: what it shows, with units.
        columns: the first of them heads the row.
        rows: a cell per column.
        note: what it leaves out.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    rows: list[list[str]]
    note: str = ""

    @property
    def at_once(self) -> list[list[str]]:
        """The rows that need no script."""
        return self.rows[:AT_ONCE]

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script needs."""
        columns = [{"kind": c.kind, "filter": c.filter, "names": list(c.names)} for c in self.columns]
        return {"columns": columns, "rows": self.rows}


def bits(value: Any) -> str:
    """Three decimals, no minus before a zero; nothing where nothing is known."""
    number = float(value)
    if number != number:
        return ""
    text = f"{number:.3f}"
    return "0.000" if text == "-0.000" else text


def plain(value: Any) -> str:
    """A parameter's value, as short as it is."""
    if isinstance(value, float):
        return "" if value != value else f"{value:g}"
    return str(value)
