"""The table that a sweep ends with."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pidlab.decomposition import TERMS
from pidlab.sweeps.request import Request
from pidlab.sweeps.run import SweepResult

READOUT = "z12"
MOST_POINTS = 3


def print_captured(result: SweepResult, request: Request) -> None:
    """Prints captured bits of the headline probe, mean over seeds with their range, and the files."""
    console = Console()
    rows = result.table
    rows = rows[rows["headline"] & (rows["readout"] == READOUT)]
    axes = [axis.names[0] for axis in request.varied]
    if len(rows):
        console.print(_table(rows, axes))
    kept = "" if not result.failures else f"; {len(result.failures)} runs failed"
    console.print(f"{result.runs} runs{kept}. Files in {result.directory}:", highlight=False, soft_wrap=True)
    console.print(
        "  captured.pdf .svg .png   results.csv   provenance.json   results.sqlite", highlight=False
    )


def _table(rows: pd.DataFrame, axes: list[str]) -> Table:
    title = "Captured bits of z12, best probe by validation: mean ± standard deviation over seeds"
    table = Table(title=title, title_justify="left")
    for name in axes:
        table.add_column(name, justify="right")
    table.add_column("objective")
    for term in TERMS:
        table.add_column(term, justify="right")
    points = list(dict.fromkeys(rows[axes].itertuples(index=False, name=None))) if axes else [()]
    chosen = points if len(points) <= MOST_POINTS else [points[0], points[len(points) // 2], points[-1]]
    for point in chosen:
        at = rows
        for name, value in zip(axes, point, strict=True):
            at = at[at[name] == value]
        true = [f"{at[at['term'] == term]['truth'].iloc[0]:.2f}" for term in TERMS]
        table.add_row(*(_show(value) for value in point), "truth", *true, style="bold")
        for objective, group in at.groupby("objective", sort=False):
            cells = (_cell(group[group["term"] == term]["captured"]) for term in TERMS)
            table.add_row(*("" for _ in point), str(objective), *cells)
        table.add_section()
    return table


def _cell(bits: pd.Series) -> str:
    spread = f" ±{bits.std():.2f}" if len(bits) > 1 else ""
    return f"{bits.mean():.2f}{spread}".replace("-0.00", "0.00")


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
