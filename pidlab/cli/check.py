"""`pidlab check`: contract and profile of an objective."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from pidlab.cli.options import AsJson
from pidlab.cli.terminal import console


def check(
    objective: Annotated[
        str, typer.Argument(metavar="OBJECTIVE", help='comm, my_loss.py:MyLoss, "pkg.mod:Loss(weight=2)".')
    ],
    generator: Annotated[
        str | None,
        typer.Option(metavar="G", help="Generator of the data, such as factorcl or trifeature."),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Limit the time of each training. By default all objectives are trained for 600 steps.",
        ),
    ] = None,
    against: Annotated[
        Literal["leaderboard"] | None,
        typer.Option(
            help="Train on the data of the leaderboard as well, and show the objective among all others."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the contract of an objective and measure which information it captures.

    The contract covers gradients, devices, randomness, vmap and loop. The profile compares captured bits per
    term with those of CLIP, FactorCL, CoMM, an untrained and a supervised network. Takes a minute.
    """
    from rich.text import Text

    from pidlab.check import Finding, contract, profile
    from pidlab.errors import InvalidRequest, reason
    from pidlab.generators import load_generator
    from pidlab.objectives import load_objective

    if budget is not None and not 0 < budget < math.inf:
        raise InvalidRequest(f"--budget {budget}: must be a finite number of seconds above 0")
    notes = console(stderr=True)
    world = load_generator(generator) if generator else None
    if against:
        from pidlab.studies.compare import comparable_results

        comparable_results()  # refuses before anything is trained
    findings, make = [], None
    with notes.status("checking the contract"):
        try:
            make = load_objective(objective)
            found = contract(make, world)
        except InvalidRequest:
            raise
        except Exception as error:  # the user's file raises an exception when it is imported
            found = iter([Finding("it can be imported", False, reason(error))])
        for finding in found:
            findings.append(finding)
            if not as_json:
                _print_finding(finding)
    ok, shown = all(f.ok for f in findings), None
    if make is not None and len(findings) > 1:  # the loss could be computed
        try:
            with notes.status("training") as status:
                shown = profile(
                    make,
                    objective,
                    world,
                    budget=budget,
                    on_objective=lambda name: status.update(Text(f"training {name}")),
                )
        except InvalidRequest:
            raise
        except Exception as error:
            typer.echo(f"no profile: {reason(error)}", err=True)
            ok = False
    board = None
    if against and ok:
        from pidlab.studies.compare import compare_with_leaderboard
        from pidlab.sweeps.progress import show_progress

        with TemporaryDirectory(prefix="pidlab-") as folder, show_progress() as progress:
            board = compare_with_leaderboard(objective, Path(folder), progress=progress)
    if as_json:
        document: dict[str, Any] = {
            "ok": ok,
            "contract": [{"rule": f.rule, "ok": f.ok, "why": f.why} for f in findings],
            "profile": shown.terms(objective) if shown else None,
            "verdict": shown.verdict if shown else "",
        }
        if board is not None:
            document["leaderboard"] = json.loads(board.to_json(orient="records"))
        typer.echo(json.dumps(document, indent=2))
    elif shown:
        _print_profile(shown, objective)
        if board is not None:
            _print_leaderboard(board, objective)
    if not ok:
        raise typer.Exit(1)


def _print_finding(finding: Any) -> None:
    word, color = ("ok  ", "green") if finding.ok else ("no  ", "red")
    if finding.why.startswith("not applicable"):
        word, color = "n/a ", "yellow"
    mark = typer.style(word, fg=color, bold=True)
    typer.echo(mark + finding.rule)
    for line in finding.why.splitlines():
        typer.echo(f"      {line}")


def _print_profile(shown: Any, name: str) -> None:
    from rich.table import Table

    table = Table(
        title=f"Captured bits of z12, {shown.views} views; mean ± 95 % t-interval over 3 seeds",
        title_justify="left",
    )
    table.add_column("objective")
    truth = shown.terms(name)
    for term in truth:
        table.add_column(term, justify="right")
    table.add_row("truth", *(f"{cell['truth']:.2f}" for cell in truth.values()), end_section=True)
    for other in dict.fromkeys(shown.table["objective"]):
        cells = shown.terms(other).values()
        texts = [f"{c['captured']:.2f} ±{c['high'] - c['captured']:.2f}" for c in cells]
        table.add_row(other, *texts, style="bold" if other == name else None)
    console().print(table)
    typer.echo(f"{name} {shown.verdict}.")


def _print_leaderboard(board: Any, name: str) -> None:
    """Print the share of each term by the best probe, one table per view policy and data."""
    from rich.table import Table

    board = board[board["probe"] == "best"]
    for (views, data), rows in board.groupby(["views", "data"], sort=False):
        table = Table(
            title=f"Share of each term, data {data}, {views} views; mean ± 95 % t-interval over seeds",
            title_justify="left",
        )
        terms = list(dict.fromkeys(rows["term"]))
        table.add_column("objective")
        for term in terms:
            table.add_column(term, justify="right")
        for other, cells in rows.groupby("objective", sort=False):
            by_term = cells.set_index("term")
            shares, halves = (by_term[column].reindex(terms) for column in ("share", "half_width"))
            texts = [f"{share:.2f} ±{half:.2f}" for share, half in zip(shares, halves, strict=True)]
            table.add_row(str(other), *texts, style="bold" if other == name else None)
        console().print(table)
