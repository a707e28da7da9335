"""`pidlab decompose` and `pidlab estimate`: information of distributions and of representations."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pidlab.cli.decomposition_tables import (
    estimates_table,
    informations_table,
    plain_table,
    show_decomposition,
    show_pointwise,
    terms_table,
)
from pidlab.cli.options import AsJson
from pidlab.cli.terminal import bits, console
from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest, nearest

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
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,TARGET", help="Columns of a CSV file for X1, X2, Y. Default: x1,x2,y."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --samples: number of samples of each row.")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="With --samples: groups of dependent rows, such as subjects."),
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --samples: cut numeric columns into N bins of equal mass."),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Accept counts or weights; divide by their sum.")
    ] = False,
    gaussian: Annotated[
        str | None,
        typer.Option(
            metavar="DY,D1,D2",
            help="FILE is a covariance of (Y, X1, X2) of these sizes (.npy or .csv); with --samples, one row "
            "per sample, normalized to a Gaussian copula.",
        ),
    ] = None,
    sources: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Number of sources. For 3 or 4: redundancy and union information only; all measures but "
            "dep, and broja without redundancy; columns x1,x2,x3,y,p.",
        ),
    ] = 2,
    pointwise: Annotated[
        bool, typer.Option("--pointwise", help="Add the terms of each outcome; measures sx and ccs.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the terms as bars; .pdf, .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the exact decomposition of a distribution, or an estimate from samples, in bits."""
    from pidlab.info import MEASURES
    from pidlab.info import decompose as solve
    from pidlab.info import pointwise as local_terms
    from pidlab.info.pmf_files import load_pmf

    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(measure, MEASURES)}")
    if plot is not None and plot.suffix not in PICTURES:
        raise InvalidRequest(f"--plot {plot}: unknown format; use {', '.join(PICTURES)}")
    for option, value in (("--weights", weights), ("--groups", groups), ("--bins", bins)):
        if value is not None and not samples:
            raise InvalidRequest(f"{option} {value}: only for samples; add --samples")
    if sources != 2:
        _check_sources(sources, samples or pointwise or gaussian or columns or plot)
        _sources(what, sources, measure, normalize, as_json)
        return
    if pointwise and (samples or gaussian or measure not in ("sx", "ccs")):
        raise InvalidRequest("--pointwise: only for a pmf and --measure sx or ccs")
    if gaussian is not None:
        for option, value in (("--columns", columns), ("--weights", weights), ("--groups", groups)):
            if value is not None:
                raise InvalidRequest(f"{option} {value}: not available with --gaussian")
        if bins is not None or normalize or measure != "broja":
            raise InvalidRequest("--gaussian: takes no --bins or --normalize, and --measure broja only")
        _gaussian(what, gaussian, samples, plot, as_json)
        return
    names = _columns(columns)
    extra: dict[str, Any] = {}
    estimates: Any = None
    if samples:
        import numpy as np

        from pidlab.info.samples import decompose_samples, read_samples

        data = read_samples(what, names, weights=weights, groups=groups, bins=bins)
        estimates = decompose_samples(data.codes, measure, weights=data.weights, groups=data.groups)
        pmf = np.zeros([len(s) for s in data.symbols])
        np.add.at(pmf, tuple(data.codes.T), 1.0 if data.weights is None else data.weights)
        pmf /= pmf.sum()
        result = estimates.plug_in
        extra = estimates.to_dict()
    else:
        table = load_pmf(what, normalize, names)
        pmf = table.values
        result = solve(pmf, measure)
        if pointwise:
            extra["pointwise"] = _outcomes(local_terms(pmf, measure), table.symbols)
    by_measure = {measure: result}
    if (plot is not None or not as_json) and pmf.size <= MOST_CELLS_OF_ALL_MEASURES:
        by_measure |= {name: solve(pmf, name) for name in MEASURES if name != measure}
    if plot is not None:
        _draw(by_measure, Path(what).name, plot)
    if as_json:
        typer.echo(json.dumps(result.to_dict() | extra, indent=2))
        return
    show_decomposition(what, pmf, by_measure, estimates)
    if pointwise:
        show_pointwise(measure, extra["pointwise"])


def _check_sources(sources: int, other: Any) -> None:
    """Refuse numbers of sources that are not supported, and options for two sources."""
    if sources not in (3, 4):
        raise InvalidRequest(f"--sources {sources}: must be 2, 3 or 4")
    if other:
        raise InvalidRequest(f"--sources {sources}: takes only --measure, --normalize and --json")


def _sources(what: str, sources: int, measure: str, normalize: bool, as_json: bool) -> None:
    """Print the redundancy and the union information of more than two sources."""
    from pidlab.info.multisource import check_measure, decompose_sources
    from pidlab.info.pmf_files import read_pmf

    check_measure(measure)
    found = decompose_sources(read_pmf(what, normalize, sources=sources).values, measure)
    if as_json:
        typer.echo(json.dumps(found | {"measure": measure}, indent=2))
        return
    gap = found.pop("gap")
    table = plain_table(f"{measure}, {sources} sources" + (f", gap {gap:.1e}" if gap else ""))
    table.add_column("information")
    table.add_column("bits", justify="right")
    for name, value in found.items():
        table.add_row(name, "not defined" if value is None else bits(value))
    console().print(table)


def _gaussian(what: str, sizes: str, samples: bool, plot: Path | None, as_json: bool) -> None:
    """Decompose a covariance or samples of jointly Gaussian variables."""
    from pidlab.info import gaussian
    from pidlab.info.gaussian_samples import decompose_gaussian_samples, read_numbers

    try:
        dims = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        dims = ()
    if len(dims) != 3 or min(dims) < 1:
        raise InvalidRequest(f"--gaussian {sizes}: expected the sizes of Y, X1, X2, such as 1,2,1")
    values = read_numbers(what)
    try:
        estimates = decompose_gaussian_samples(values, dims) if samples else None
        result = estimates.plug_in if estimates else gaussian(values, dims)
    except InvalidRequest as error:
        raise InvalidRequest(f"{what}: {error}") from None
    if plot is not None:
        _draw({"broja": result}, Path(what).name, plot)
    if as_json:
        typer.echo(json.dumps(estimates.to_dict() if estimates else result.to_dict(), indent=2))
        return
    screen = console()
    screen.print(
        estimates_table("Gaussian broja", estimates) if estimates else terms_table("Gaussian broja", result)
    )
    screen.print(informations_table(result))


def _outcomes(local: dict[str, Any], symbols: Any) -> list[dict[str, Any]]:
    """Convert local terms to one record per outcome with mass."""
    import numpy as np

    return [
        {name: names[i] for name, names, i in zip(("x1", "x2", "y"), symbols, cell, strict=True)}
        | {name: float(values[tuple(cell)]) for name, values in local.items()}
        for cell in np.argwhere(local["p"] > 0)
    ]


def _columns(text: str | None) -> tuple[str, ...]:
    """Parse --columns; an empty tuple selects the default."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if len(names) not in (3, 4) or len(set(names)) < len(names) or "" in names:
        raise InvalidRequest(f"--columns {text}: expected three different names A,B,TARGET (and P)")
    return names


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


ESTIMATE_EPILOG = (
    "FILE (.npz, .npy, .csv, .parquet, .pt, .safetensors or .mat) contains z1 (n, d1), z2 (n, d2) and "
    "y (n,) or (n, targets) of whole numbers or strings; in a table, columns z1_0, z1_1, ... Images are "
    "flattened. z12 (n, d) is z1 and z2 concatenated unless given. Rows with equal entries of groups (n,) "
    "are dependent. With z1_test, z2_test and y_test (and z12_test) only the test rows are scored; otherwise "
    "five folds are cross-fitted."
)


def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Arrays z1, z2 and y.")],
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

    def report(line: str) -> None:
        typer.echo(line, err=True)

    result = estimate_representations(train, test, seed, blocks, max_rows, report)
    for line in result.warnings:
        typer.echo(f"warning: {line}", err=True)
    if as_json:
        typer.echo(json.dumps(result.rows, indent=2))
        return
    _show_estimate(file, result.rows, len(train.y))


def _show_estimate(file: Path, rows: list[dict[str, Any]], n: int) -> None:
    """Print the rows as a table."""
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
    console().print(table)
    typer.echo("Mean held-out log-ratio to the class frequencies: what the probes read, a lower bound.")
