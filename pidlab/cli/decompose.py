"""`pidlab estimate`: captured bits of a user's own representations."""

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


# Larger tables show the asked measure only: maximum-entropy laws of many cells take their time.
MOST_CELLS_SIDE_BY_SIDE = 4096
PICTURES = (".pdf", ".svg", ".png")
EPILOG = (
    "FILE is a table x1,x2,y,p (.csv, any symbols), rows or nested lists (.json) or an array (.npy), Y last. "
    "`pidlab list gates` and `pidlab list measures` say what there is."
)


def decompose(
    what: Annotated[str, typer.Argument(metavar="GATE|FILE", help="A named gate, or a file.")],
    measure: Annotated[str, typer.Option(metavar="M", help="Which definition of redundancy.")] = "broja",
    samples: Annotated[
        bool, typer.Option("--samples", help="FILE is a CSV x1,x2,y with a row per sample.")
    ] = False,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Accept counts: divide by their sum.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the terms as bars: .pdf, .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the exact decomposition of a distribution, in bits."""
    from pidlab.info import MEASURES
    from pidlab.info import decompose as solve
    from pidlab.info.tabular import load_pmf, read_samples

    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(measure, MEASURES)}")
    if plot is not None and plot.suffix not in PICTURES:
        raise InvalidRequest(f"--plot {plot}: expected a name that ends in {', '.join(PICTURES)}")
    extra: dict[str, Any] = {}
    drawn: Any = None
    if samples:
        from pidlab.info.samples import decompose_samples

        codes, counted = read_samples(what)
        pmf = counted.values / counted.values.sum()
        drawn = decompose_samples(codes, measure)
        found = drawn.plug_in
        extra = {
            "samples": drawn.n,
            "cells": drawn.cells,
            "samples_per_cell": drawn.n_per_cell,
            "corrected": drawn.corrected.to_dict(),
            "null_mean": drawn.null_mean,
            "null_high": drawn.null_high,
            "p_value": drawn.p_value,
        }
    else:
        pmf = load_pmf(what, normalize).values
        found = solve(pmf, measure)
    others = [] if pmf.size > MOST_CELLS_SIDE_BY_SIDE else [name for name in MEASURES if name != measure]
    every = {measure: found}
    if plot is not None or not as_json:
        every |= {name: solve(pmf, name) for name in others}
    if plot is not None:
        _draw(every, Path(what).name, plot)
    if as_json:
        typer.echo(json.dumps(found.to_dict() | extra, indent=2))
        return
    _show(what, pmf, every, drawn)


def _draw(every: dict[str, Decomposition], title: str, path: Path) -> None:
    from pidlab.plots.decomposition import decomposition_figure, decomposition_table
    from pidlab.plots.style import save

    try:
        figure, _ = decomposition_figure(decomposition_table(every), title=title)
        save(figure, path)
    except OSError as error:
        raise InvalidRequest(f"--plot {path}: cannot be written ({error.strerror})") from None
    typer.echo(f"drew {path}", err=True)


def _show(what: str, pmf: "np.ndarray", every: dict[str, Decomposition], drawn: Any) -> None:
    from rich.console import Console
    from rich.markup import escape

    from pidlab.info import entropy, gates

    console = Console(highlight=False)
    measure, found = next(iter(every.items()))
    sizes = " x ".join(map(str, pmf.shape))
    about = f": {gates()[what]}" if what in gates() else ""
    console.print(f"[bold]{escape(what)}[/bold]{about}")
    console.print(
        f"I(X1,X2;Y) = {bits(found.total)} bits of H(Y) = {bits(entropy(pmf.sum((0, 1))))}; "
        f"{sizes} symbols of X1, X2, Y\n"
    )
    if drawn is None:
        console.print(_terms(measure, found))
    else:
        console.print(_sampled(measure, drawn))
    console.print(_informations(found))
    if len(every) > 1:
        console.print(_side_by_side(every))


def _known(found: Decomposition) -> str:
    gap = float(found.gap)
    return f"by {found.how}, gap {gap:.1e}" if gap else f"by {found.how}"


def _plain(title: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _terms(measure: str, found: Decomposition) -> Any:
    table = _plain(f"{measure}, {_known(found)}")
    table.add_column("term")
    table.add_column("bits", justify="right")
    table.add_column("")
    scale = 36 / max(1e-9, *(abs(float(value)) for value in found.terms.values()))
    for term, value in found.terms.items():
        length = round(abs(float(value)) * scale)
        table.add_row(term, bits(value), ("█" if value > 0 else "░") * length)
    return table


def _sampled(measure: str, drawn: Any) -> Any:
    table = _plain(f"{measure} of {drawn.n} samples, {drawn.n_per_cell:.3g} per cell ({drawn.cells} cells)")
    table.add_column("term")
    for column in ("plug-in", "corrected", "null mean", "null 95 %", "p"):
        table.add_column(column, justify="right")
    for term in TERMS:
        values = (source[term] for source in (drawn.plug_in.terms, drawn.corrected.terms))
        null = (drawn.null_mean[term], drawn.null_high[term])
        table.add_row(term, *map(bits, (*values, *null)), f"{drawn.p_value[term]:.3f}")
    table.caption = (
        "corrected: jackknife; null: Y shuffled, so no information at all reads this much by chance"
    )
    table.caption_justify = "left"
    return table


def _informations(found: Decomposition) -> Any:
    table = _plain("What every measure agrees on")
    for column in ("", "bits", "", "bits"):
        table.add_column(column, justify="right" if column else "left")
    table.show_header = False
    table.add_row("I(X1;Y)", bits(found.mi1), "I(X1;Y|X2) = U1 + S", bits(found.conditional_mi1))
    table.add_row("I(X2;Y)", bits(found.mi2), "I(X2;Y|X1) = U2 + S", bits(found.conditional_mi2))
    table.add_row("I(X1,X2;Y)", bits(found.total), "co-information = R - S", bits(found.co_information))
    return table


def _side_by_side(every: dict[str, Decomposition]) -> Any:
    from pidlab.info import MEASURES

    table = _plain("Every measure")
    table.caption = ">= 0: no term is ever negative; adds: over independent parts"
    table.caption_justify = "left"
    for column in ("measure", *TERMS, ">= 0", "adds"):
        table.add_column(column, justify="left" if column in ("measure", ">= 0", "adds") else "right")
    for i, (name, found) in enumerate(every.items()):
        has = (MEASURES[name].nonnegative, MEASURES[name].additive)
        row = (name, *map(bits, found.terms.values()), *("yes" if true else "no" for true in has))
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
    for column in ("target", "readout", "probe", "bits", "95 % of the score", "converged", "headline"):
        table.add_column(column, justify="right" if column in ("bits", "target") else "left")
    for row in rows:
        table.add_row(
            str(row["target"]),
            row["readout"],
            row["probe"],
            f"{row['captured']:.3f}",
            f"{row['low']:.3f} .. {row['high']:.3f}",
            "yes" if row["converged"] else "no",
            "*" if row["headline"] else "",
            style="bold" if row["headline"] else "",
        )
    Console().print(table)
    typer.echo("Mean held-out log-ratio to the class frequencies: what the probes read, a lower bound.")
