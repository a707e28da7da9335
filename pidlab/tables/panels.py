"""Which captured bits a sweep shows: the terms of one readout, or the readouts of one target."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.tables.symbols import symbol_of

# Readouts of the first modality, of the second and of both.
READOUTS = ("z1", "z2", "z12")


@dataclass(frozen=True)
class Panel:
    """Bits about one target that one readout holds."""

    readout: str
    term: str
    title: str
    symbol: str

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows that it shows."""
        return rows[(rows["readout"] == self.readout) & (rows["term"] == self.term)]


def headlines(table: pd.DataFrame, quantity: str = "mi") -> pd.DataFrame:
    """The rows of the probe that speaks for a (run, readout, target)."""
    return table[table["headline"].astype(bool) & (table["quantity"] == quantity)]


def beside(table: pd.DataFrame) -> pd.Series:
    """Which rows are about something beside the targets, such as `nuisance:1`: a colon marks it."""
    return table["term"].astype(str).str.contains(":")


def panels(
    table: pd.DataFrame, readout: str = "z12", terms: Sequence[str] = (), quantity: str = "mi"
) -> tuple[pd.DataFrame, list[Panel]]:
    """The headlines to show of results, and how they are divided.

    A generator with a target per term, or per factor planted in more modalities, shows what `readout`
    holds of each. One with targets of other
    names shows I(z1;T), I(z2;T) and I(z12;T), for what a single modality tells is a part of the story.

    Args:
        table: rows as in results.csv.
        readout: of which headlines are shown.
        terms: asked for by name; others that stand beside the targets (`nuisance:1`) are not shown.
        quantity: `mi`, or `tracked` for bits along training.

    Raises:
        InvalidRequest: nothing in the table is a headline of that readout.
    """
    rows = headlines(table, quantity)
    rows = rows[~beside(rows) | rows["term"].isin(list(terms))]
    own = rows[rows["readout"] == readout]
    if own.empty:
        held = ", ".join(dict.fromkeys(rows["readout"].astype(str)))
        there = f"there are {held}" if held else f"and of no other, among rows of quantity {quantity!r}"
        raise InvalidRequest(f"nothing to draw: no headline of readout {readout!r} in these results; {there}")
    symbols = {str(name): symbol_of(str(name)) for name in dict.fromkeys(own["term"])}
    if all(symbols.values()):
        return own, [Panel(readout, name, f"{name} {s}", str(s)) for name, s in symbols.items()]
    held = [name for name in READOUTS if name in set(rows["readout"])]
    found = []
    for term in dict.fromkeys(rows["term"]):
        for name in held:
            symbol = f"$I(z_{{{name[1:]}}};{str(term).upper()})$"
            found.append(Panel(name, str(term), symbol, symbol))
    return rows[rows["readout"].isin(held)], found
