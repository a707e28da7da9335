"""The table that a sweep ends with."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pidlab.sweeps.request import Request
from pidlab.sweeps.run import SweepResult
from pidlab.tables.panels import Panel, panels
from pidlab.tables.symbols import symbol_of

MOST_POINTS = 3


def print_captured(result: SweepResult, request: Request) -> None:
    """Prints captured bits of the headline probe, mean over seeds with their range, and the files."""
    console = Console()
    axes = [request.columns[axis.names[0]] for axis in request.varied]
    if len(result.shown):
        console.print(_table(*panels(result.shown), axes))
    kept = "" if not result.failures else f"; {len(result.failures)} runs failed"
    console.print(f"{result.runs} runs{kept}. Files in {result.directory}:", highlight=False, soft_wrap=True)
    console.print(
        "  report.html   captured.pdf .svg .png   results.csv   provenance.json   results.sqlite",
        highlight=False,
        soft_wrap=True,
    )


def _table(rows: pd.DataFrame, divided: list[Panel], axes: list[str]) -> Table:
    terms = all(symbol_of(panel.term) for panel in divided)
    what = "Captured bits of z12" if terms else "Captured bits"
    title = f"{what}, best probe by validation: mean ± standard deviation over seeds"
    table = Table(title=title, title_justify="left")
    for name in axes:
        table.add_column(name, justify="right")
    table.add_column("objective")
    for panel in divided:
        table.add_column(panel.term if terms else f"I({panel.readout};{panel.term.upper()})", justify="right")
    points = list(dict.fromkeys(rows[axes].itertuples(index=False, name=None))) if axes else [()]
    chosen = points if len(points) <= MOST_POINTS else [points[0], points[len(points) // 2], points[-1]]
    for point in chosen:
        at = rows
        for name, value in zip(axes, point, strict=True):
            at = at[at[name] == value]
        true = (_truth(panel.of(at)["truth"]) for panel in divided)
        table.add_row(*(_show(value) for value in point), "truth", *true, style="bold")
        for objective, group in at.groupby("objective", sort=False):
            cells = (_cell(panel.of(group)["captured"]) for panel in divided)
            table.add_row(*("" for _ in point), str(objective), *cells)
        table.add_section()
    return table


def _truth(bits: pd.Series) -> str:
    if bits.empty:  # a readout that no sound run has there
        return ""
    return "unknown" if bits.isna().iloc[0] else f"{bits.iloc[0]:.2f}"


def _cell(bits: pd.Series) -> str:
    if bits.empty:  # an objective without this readout
        return ""
    spread = f" ±{bits.std():.2f}" if len(bits) > 1 else ""
    return f"{bits.mean():.2f}{spread}".replace("-0.00", "0.00")


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
