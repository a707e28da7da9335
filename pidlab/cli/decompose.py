"""`pidlab decompose` and `pidlab estimate`: information of distributions and of representations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pidlab.cli.options import AsJson
from pidlab.cli.terminal import bits
from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest, nearest

if TYPE_CHECKING:
    import numpy as np


# Larger distributions are decomposed by the selected measure only, because maximum-entropy laws are slow.
MOST_CELLS_OF_ALL_MEASURES = 4096
PICTURES = (".pdf", ".svg", ".png")
EPILOG = (
    "FILE is a table x1,x2,y,p (.csv, any symbols), rows or nested lists (.json) or an array (.npy), Y last. "
    "See `pidlab list gates` and `pidlab list measures` for the names."
)


def decompose(
    what: Annotated[str, typer.Argument(metavar="GATE|FILE", help="Name of a gate, or path of a file.")],
    measure: Annotated[str, typer.Option(metavar="M", help="Definition of redundancy.")] = "broja",
    samples: Annotated[
        bool, typer.Option("--samples", help="FILE is a CSV file x1,x2,y with one row per sample.")
    ] = False,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Accept counts or weights; divide by their sum.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the terms as bars; .pdf, .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the exact decomposition of a distribution, in bits."""
    from pidlab.info import MEASURES
    from pidlab.info import decompose as solve
    from pidlab.info.pmf_files import load_pmf, read_samples

    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(measure, MEASURES)}")
    if plot is not None and plot.suffix not in PICTURES:
        raise InvalidRequest(f"--plot {plot}: unknown format; use {', '.join(PICTURES)}")
    extra: dict[str, Any] = {}
    estimates: Any = None
    if samples:
        from pidlab.info.samples import decompose_samples

        codes, counted = read_samples(what)
        pmf = counted.values / counted.values.sum()
        estimates = decompose_samples(codes, measure)
        result = estimates.plug_in
        extra = {
            "samples": estimates.n,
            "cells": estimates.cells,
            "samples_per_cell": estimates.n_per_cell,
            "corrected": estimates.corrected.to_dict(),
            "null_mean": estimates.null_mean,
            "null_high": estimates.null_high,
            "p_value": estimates.p_value,
        }
    else:
        pmf = load_pmf(what, normalize).values
        result = solve(pmf, measure)
    by_measure = {measure: result}
    if (plot is not None or not as_json) and pmf.size <= MOST_CELLS_OF_ALL_MEASURES:
        by_measure |= {name: solve(pmf, name) for name in MEASURES if name != measure}
    if plot is not None:
        _draw(by_measure, Path(what).name, plot)
    if as_json:
        typer.echo(json.dumps(result.to_dict() | extra, indent=2))
        return
    _show(what, pmf, by_measure, estimates)


def _draw(by_measure: dict[str, Decomposition], title: str, path: Path) -> None:
    """Draw the terms of every measure as bars."""
    from pidlab.plots.decomposition import decomposition_figure, decomposition_table
    from pidlab.plots.style import save

    try:
        figure, _ = decomposition_figure(decomposition_table(by_measure), title=title)
        save(figure, path)
    except OSError as error:
        raise InvalidRequest(
            f"--plot {path}: cannot be written ({error.strerror}); choose another path"
        ) from None
    typer.echo(f"drew {path}", err=True)


def _show(what: str, pmf: "np.ndarray", by_measure: dict[str, Decomposition], estimates: Any) -> None:
    """Print the tables of one decomposition."""
    from rich.console import Console
    from rich.markup import escape

    from pidlab.info import entropy, gates

    console = Console(highlight=False)
    measure, result = next(iter(by_measure.items()))
    sizes = " x ".join(map(str, pmf.shape))
    about = f": {gates()[what]}" if what in gates() else ""
    console.print(f"[bold]{escape(what)}[/bold]{about}")
    console.print(
        f"I(X1,X2;Y) = {bits(result.total)} bits of H(Y) = {bits(entropy(pmf.sum((0, 1))))}; "
        f"{sizes} symbols of X1, X2, Y\n"
    )
    if estimates is None:
        console.print(_terms(measure, result))
    else:
        console.print(_estimates(measure, estimates))
    console.print(_informations(result))
    if len(by_measure) > 1:
        console.print(_all_measures(by_measure))


def _table(title: str) -> Any:
    """Return an empty table in the style of this command."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _terms(measure: str, result: Decomposition) -> Any:
    """Tabulate the terms with a bar for each."""
    gap = float(result.gap)
    table = _table(f"{measure}, by {result.how}" + (f", gap {gap:.1e}" if gap else ""))
    table.add_column("term")
    table.add_column("bits", justify="right")
    table.add_column("")
    scale = 36 / max(1e-9, *(abs(float(value)) for value in result.terms.values()))
    for term, value in result.terms.items():
        length = round(abs(float(value)) * scale)
        table.add_row(term, bits(value), ("█" if value > 0 else "░") * length)
    return table


def _estimates(measure: str, estimates: Any) -> Any:
    """Tabulate the terms estimated from samples."""
    per_cell = f"{estimates.n_per_cell:.3g} per cell ({estimates.cells} cells)"
    table = _table(f"{measure} of {estimates.n} samples, {per_cell}")
    table.add_column("term")
    for column in ("plug-in", "corrected", "null mean", "null 95 %", "p"):
        table.add_column(column, justify="right")
    for term in TERMS:
        values = (source[term] for source in (estimates.plug_in.terms, estimates.corrected.terms))
        null = (estimates.null_mean[term], estimates.null_high[term])
        table.add_row(term, *map(bits, (*values, *null)), f"{estimates.p_value[term]:.3f}")
    table.caption = "corrected: jackknife; null: Y shuffled, so that there is no information"
    table.caption_justify = "left"
    return table


def _informations(result: Decomposition) -> Any:
    """Tabulate the informations that do not depend on the measure."""
    table = _table("Independent of the measure")
    for column in ("", "bits", "", "bits"):
        table.add_column(column, justify="right" if column else "left")
    table.show_header = False
    table.add_row("I(X1;Y)", bits(result.mi1), "I(X1;Y|X2) = U1 + S", bits(result.conditional_mi1))
    table.add_row("I(X2;Y)", bits(result.mi2), "I(X2;Y|X1) = U2 + S", bits(result.conditional_mi2))
    table.add_row("I(X1,X2;Y)", bits(result.total), "co-information = R - S", bits(result.co_information))
    return table


def _all_measures(by_measure: dict[str, Decomposition]) -> Any:
    """Tabulate the terms of every measure."""
    from pidlab.info import MEASURES

    table = _table("All measures")
    table.caption = ">= 0: terms are never negative; additive: terms of independent parts add up"
    table.caption_justify = "left"
    for column in ("measure", *TERMS, ">= 0", "additive"):
        table.add_column(column, justify="left" if column in ("measure", ">= 0", "additive") else "right")
    for i, (name, result) in enumerate(by_measure.items()):
        flags = (MEASURES[name].nonnegative, MEASURES[name].additive)
        row = (name, *map(bits, result.terms.values()), *("yes" if flag else "no" for flag in flags))
        table.add_row(*row, style="bold" if i == 0 else "")
    return table


ESTIMATE_EPILOG = (
    "FILE (.npz, or .pt with a dictionary of tensors) contains z1 (n, d1), z2 (n, d2) and y (n,) or "
    "(n, targets) of whole numbers or strings. z12 (n, d) is z1 and z2 concatenated unless given. Rows with "
    "equal entries of groups (n,) are dependent. With z1_test, z2_test and y_test (and z12_test) only the "
    "test rows are scored; otherwise five folds are cross-fitted."
)


def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Representations and targets, .npz or .pt.")],
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Rows are a time series: cross-fit contiguous blocks of rows.")
    ] = False,
    max_rows: Annotated[
        int, typer.Option(metavar="N", help="Rows used of a larger file, drawn at random.")
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the folds and the probes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Estimate the information that probes read from your own frozen representations, in bits.

    There is no known truth to compare with. Scores are held-out log-ratios to the class frequencies in
    the file.
    """
    from pidlab.probes.cross_fit import estimate_representations
    from pidlab.probes.representations import load_representations

    if seed < 0:
        raise InvalidRequest(f"--seed {seed}: must be at least 0")
    train, test = load_representations(file)
    result = estimate_representations(train, test, seed, blocks, max_rows)
    for line in result.warnings:
        typer.echo(f"warning: {line}", err=True)
    if as_json:
        typer.echo(json.dumps(result.rows, indent=2))
        return
    _show_estimate(file, result.rows, len(train.y))


def _show_estimate(file: Path, rows: list[dict[str, Any]], n: int) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{file.name}, {n} rows: estimated bits that probes read (ground truth unknown)",
        title_justify="left",
    )
    for column in ("target", "readout", "probe", "bits", "95 % interval", "converged", "best"):
        table.add_column(column, justify="right" if column in ("bits", "target") else "left")
    for row in rows:
        table.add_row(
            str(row["target"]),
            row["readout"],
            row["probe"],
            f"{row['captured']:.3f}",
            f"[{row['low']:.3f}, {row['high']:.3f}]",
            "yes" if row["converged"] else "no",
            "*" if row["headline"] else "",
            style="bold" if row["headline"] else "",
        )
    Console().print(table)
    typer.echo("Mean held-out log-ratio to the class frequencies: what the probes read, a lower bound.")
