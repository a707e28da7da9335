"""Tables of decompositions in a terminal."""

from typing import TYPE_CHECKING, Any

from pidlab.cli.terminal import bits, console
from pidlab.decomposition import TERMS, Decomposition

if TYPE_CHECKING:
    import numpy as np


def show_pointwise(measure: str, rows: list[dict[str, Any]]) -> None:
    """Print the terms of each outcome."""
    table = plain_table(f"{measure}, each outcome")
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("x1", "x2", "y") else "right")
    for row in rows:
        table.add_row(*(bits(value) if isinstance(value, float) else value for value in row.values()))
    console().print(table)


def show_decomposition(
    what: str, pmf: "np.ndarray", by_measure: dict[str, Decomposition], estimates: Any
) -> None:
    """Print the tables of one decomposition."""
    from rich.text import Text

    from pidlab.info import entropy, gates

    screen = console()
    measure, result = next(iter(by_measure.items()))
    sizes = " x ".join(map(str, pmf.shape))
    about = f": {gates()[what]}" if what in gates() else ""
    screen.print(Text(what, style="bold") + about)
    screen.print(
        f"I(X1,X2;Y) = {bits(result.total)} bits of H(Y) = {bits(entropy(pmf.sum((0, 1))))}; "
        f"{sizes} symbols of X1, X2, Y\n"
    )
    if estimates is None:
        screen.print(terms_table(measure, result))
    else:
        screen.print(estimates_table(measure, estimates))
    screen.print(informations_table(result))
    if len(by_measure) > 1:
        screen.print(measures_table(by_measure))


def plain_table(title: str) -> Any:
    """Return an empty table in the style of this command."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def terms_table(measure: str, result: Decomposition) -> Any:
    """Tabulate the terms with a bar for each."""
    gap = float(result.gap)
    table = plain_table(f"{measure}, by {result.how}" + (f", gap {gap:.1e}" if gap else ""))
    table.add_column("term")
    table.add_column("bits", justify="right")
    table.add_column("")
    scale = 36 / max(1e-9, *(abs(float(value)) for value in result.terms.values()))
    for term, value in result.terms.items():
        length = round(abs(float(value)) * scale)
        table.add_row(term, bits(value), ("█" if value > 0 else "░") * length)
    return table


def estimates_table(measure: str, estimates: Any) -> Any:
    """Tabulate the terms estimated from samples."""
    per_cell = f", {estimates.n_per_cell:.3g} per cell ({estimates.cells} cells)" if estimates.cells else ""
    table = plain_table(f"{measure} of {estimates.n} samples{per_cell}")
    table.add_column("term")
    for column in ("plug-in", "corrected", "95 % interval"):
        table.add_column(column, justify="right")
    for term in TERMS:
        interval = f"{bits(estimates.low[term])} .. {bits(estimates.high[term])}"
        table.add_row(
            term, bits(estimates.plug_in.terms[term]), bits(estimates.corrected.terms[term]), interval
        )
    table.caption = "corrected: plug-in minus its bootstrap bias; intervals: bootstrap"
    if estimates.p_value is not None:
        table.caption += f"\np = {estimates.p_value:.3f} for I(X1,X2;Y) = 0 (Y shuffled)"
    if estimates.n_per_cell < 5:
        table.caption += "\nfewer than 5 samples per cell: the bias correction is rough"
    table.caption_justify = "left"
    return table


def informations_table(result: Decomposition) -> Any:
    """Tabulate the informations that do not depend on the measure."""
    table = plain_table("Independent of the measure")
    for column in ("", "bits", "", "bits"):
        table.add_column(column, justify="right" if column else "left")
    table.show_header = False
    table.add_row("I(X1;Y)", bits(result.mi1), "I(X1;Y|X2) = U1 + S", bits(result.conditional_mi1))
    table.add_row("I(X2;Y)", bits(result.mi2), "I(X2;Y|X1) = U2 + S", bits(result.conditional_mi2))
    table.add_row("I(X1,X2;Y)", bits(result.total), "co-information = R - S", bits(result.co_information))
    return table


def measures_table(by_measure: dict[str, Decomposition]) -> Any:
    """Tabulate the terms of every measure."""
    from pidlab.info import MEASURES

    table = plain_table("All measures")
    table.caption = ">= 0: terms are never negative; additive: terms of independent parts add up"
    table.caption_justify = "left"
    for column in ("measure", *TERMS, ">= 0", "additive"):
        table.add_column(column, justify="left" if column in ("measure", ">= 0", "additive") else "right")
    for i, (name, result) in enumerate(by_measure.items()):
        flags = (MEASURES[name].nonnegative, MEASURES[name].additive)
        row = (name, *map(bits, result.terms.values()), *("yes" if flag else "no" for flag in flags))
        table.add_row(*row, style="bold" if i == 0 else "")
    return table
