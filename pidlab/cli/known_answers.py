"""`pidlab known-answers`: the probes examined where the answer is known."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pidlab.cli.options import AsJson


def known_answers(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path(
        "figures/known-answers"
    ),
    level: Annotated[
        list[str] | None, typer.Option(help="Levels to examine: quick, standard, thorough, exam.")
    ] = None,
    replicates: Annotated[int, typer.Option(help="Replicates of the coverage.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seeds the rows and the probes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Examine the probes on representations whose information is known, and draw the result.

    Files: table.csv, levels.csv, coverage.csv, known-answers.{pdf,svg,png}, provenance.json. Exits with 1
    where a headline of the exam lies outside its tolerance, or any row above its truth by more than chance.
    """
    import pandas as pd

    from pidlab.analysis.coverage import coverage
    from pidlab.analysis.known_answers import EXAMS, examine, family_wise, summary
    from pidlab.errors import InvalidRequest
    from pidlab.plots.capture import FORMATS, save
    from pidlab.plots.known_answers import known_answers_figure
    from pidlab.sweeps.provenance import surroundings

    levels = level or list(EXAMS)
    for name in levels:
        if name not in EXAMS:
            raise InvalidRequest(f"unknown level {name!r}: expected one of {', '.join(EXAMS)}")
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in levels:
        typer.echo(f"examining {name}", err=True)
        parts.append(examine(name, seed))
    table, covered = pd.concat(parts, ignore_index=True), coverage(replicates, seed=seed)
    levels_table = summary(table)
    excess, allowed = family_wise(table)
    for name, frame in (("table", table), ("levels", levels_table), ("coverage", covered)):
        frame.to_csv(out / f"{name}.csv", index=False)
    figure = known_answers_figure(table, covered)
    for suffix in FORMATS:
        save(figure, out / f"known-answers.{suffix}")
    record = surroundings(["pidlab", *sys.argv[1:]]) | {
        "seed": seed,
        "levels": levels,
        "excess": excess,
        "allowed": allowed,
    }
    (out / "provenance.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    last = table[(table["level"] == levels[-1]) & table["headline"]]
    outside = last[last["within"] == False]  # noqa: E712 - None where there is no verdict
    if as_json:
        document = {
            "levels": levels_table.to_dict("records"),
            "outside": json.loads(outside.to_json(orient="records")),
            "excess": excess,
            "allowed": allowed,
        }
        typer.echo(json.dumps(document))
    else:
        typer.echo(levels_table.round(4).to_string(index=False))
        typer.echo(
            f"largest excess over the truth: {excess:.2f} standard errors, chance allows {allowed:.2f}"
        )
        for _, row in outside.iterrows():
            typer.echo(
                f"outside its tolerance: {row['case']} {row['readout']} {row['term']}: {row['captured']:.4f} "
                f"for {row['truth']:.4f} ± {row['tolerance']:.3f}"
                f"{', flagged as not converged' if row['converged'] is False else ''}"
            )
    if len(outside) or excess > allowed:
        raise typer.Exit(1)
