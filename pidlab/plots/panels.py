"""Which captured bits a sweep shows: the terms of one readout, or the readouts of one target."""

from dataclasses import dataclass

import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.plots.style import symbol_of

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


def panels(table: pd.DataFrame, readout: str = "z12") -> tuple[pd.DataFrame, list[Panel]]:
    """The headlines to show of results, and how they are divided.

    A generator with a target per term, or per factor planted in more modalities, shows what `readout`
    holds of each. One with targets of other
    names shows I(z1;T), I(z2;T) and I(z12;T), for what a single modality tells is a part of the story.

    Raises:
        InvalidRequest: nothing in the table is a headline of that readout.
    """
    # A colon in its name marks what stands beside the targets.
    target = ~table["term"].astype(str).str.contains(":")
    rows = table[table["headline"].astype(bool) & (table["quantity"] == "mi") & target]
    own = rows[rows["readout"] == readout]
    if own.empty:
        raise InvalidRequest(f"nothing to draw: no headline of readout {readout!r} in these results")
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
