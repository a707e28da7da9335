"""`pidlab bench`: training and probing speed relative to the limits of this machine."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pidlab import defaults
from pidlab.cli.options import AsJson
from pidlab.cli.terminal import console
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest, reason
from pidlab.io import check_memory


def bench(
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="O", help="Objective to train; repeat the option for several. Default: all default ones."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps per measurement.")] = 100,
    solver: Annotated[
        bool,
        typer.Option(
            "--solver", help="Time the BROJA solver against cvxpy, Clarabel and dit (if installed) instead."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare cohort training with one model at a time, and training and probing with the matrix rate."""
    if solver:
        if objective:
            raise InvalidRequest("--solver takes no --objective; it times the decomposition of pmfs")
        _solvers(as_json)
        return
    from pidlab.bench import compare, matrix_rate, memory_rate, probing, sampling_ms, sampling_ratio

    Training(steps=steps)  # refuses an impossible number before anything is timed
    runs = defaults.RANGE_POINTS * defaults.SEEDS
    # Two copies of the losses of every step and run, in float32.
    check_memory(f"--steps {steps}", 4 * 2 * steps * runs)
    objectives = objective or [*defaults.TRAINED_OBJECTIVES]
    rate, memory, sampling, factorcl = matrix_rate(), memory_rate(), sampling_ms(), sampling_ratio()
    rows, failed = [], False
    for name in objectives:
        try:
            rows.append(compare(name, steps))
        except InvalidRequest:
            raise
        except Exception as error:
            failed = True
            typer.echo(f"failed: {name}: {reason(error)}", err=True)
    if not rows:
        raise typer.Exit(1)
    probes = [probing(level) for level in ("quick", defaults.PROBES)]
    cohort, single = sum(r["cohort_ms"] for r in rows), sum(r["single_ms"] for r in rows)
    if as_json:
        document = {
            "matrix_gflops": rate,
            "memory_gbytes_per_s": memory,
            "sampling_30000_ms": sampling,
            "factorcl_30000": factorcl,
            "objectives": rows,
            "probing": probes,
            "ratio": single / cohort,
        }
        typer.echo(json.dumps(document, indent=2))
        raise typer.Exit(1 if failed else 0)
    from rich.table import Table

    # Long explanations stand above the table: a title would be wrapped to the table's width.
    typer.echo(f"CPU ms per run and step, cohort of {rows[0]['members']} and one model, one thread")
    typer.echo(f"flops: share of this machine's {rate:.0f} Gflop/s in matrix products")
    typer.echo(f"bytes: traffic relative to its {memory:.0f} GB/s outside of the caches")
    table = Table()
    for column in ("objective", "cohort", "single", "ratio", "flops", "bytes"):
        table.add_column(column, justify="left" if column == "objective" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["objective"],
            f"{row['cohort_ms']:.3f}",
            f"{row['single_ms']:.3f}",
            f"{row['single_ms'] / row['cohort_ms']:.2f}x",
            f"{row['gflops'] / rate:.0%}",
            f"{row['gbytes_per_s'] / memory:.0%}",
        )
    table.add_section()
    table.add_row("sum", f"{cohort:.3f}", f"{single:.3f}", f"{single / cohort:.2f}x")
    console().print(table)
    growth = Table(title="CPU ms per run and step by number of members", title_justify="left")
    growth.add_column("objective", no_wrap=True)
    for members in rows[0]["growth"]:
        growth.add_column(str(members), justify="right")
    for row in rows:
        growth.add_row(row["objective"], *(f"{ms:.2f}" for ms in row["growth"].values()))
    console().print(growth)
    for row in probes:
        typer.echo(
            f"{row['level']} probes, {row['members']} representations at once: {row['ms']:.0f} ms each, "
            f"{row['gflop']:.1f} Gflop in matrix products, {row['gflops'] / rate:.0%} of peak"
        )
    typer.echo(f"30,000 samples of atoms on one thread: {sampling:.1f} ms")
    typer.echo(
        f"30,000 pairs of factorcl: {factorcl['at_once_ms']:.1f} ms, "
        f"one by one {factorcl['loop_ms']:.0f} ms: {factorcl['ratio']:.0f}x"
    )
    if failed:
        raise typer.Exit(1)


def _solvers(as_json: bool) -> None:
    """Print the timings of the BROJA solvers."""
    from pidlab.bench import dit_errors, time_solvers

    rows = time_solvers()
    wrong = {size: dit_errors(size, 5) for size in (2, 3, 4)}
    if as_json:
        solvers = [
            {**asdict(row), "over_cvxpy": row.over_cvxpy, "over_clarabel": row.over_clarabel} for row in rows
        ]
        typer.echo(json.dumps({"solvers": solvers, "dit_errors": wrong}, indent=2))
        return
    from rich.table import Table

    title = "BROJA, ms per pmf on one core; Clarabel is the solver part of cvxpy"
    table = Table(title=title, title_justify="left")
    for column in ("symbols", "at once", "pidlab", "cvxpy", "Clarabel", "faster", "gap [bits]"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.size),
            str(row.batch),
            *(f"{1e3 * seconds:.3g}" for seconds in (row.ours, row.cvxpy, row.clarabel)),
            f"{row.over_cvxpy:.0f}x, {row.over_clarabel:.0f}x",
            f"{row.gap:.0e}",
        )
    console().print(table)
    for row in rows:
        typer.echo(f"{row.size} symbols: cvxpy + Clarabel differs by up to {row.difference:.0e} bits")
    for size, errors in wrong.items():
        if errors:
            typer.echo(f"{size} symbols: dit's default solver differs by up to {max(errors):.0e} bits")
