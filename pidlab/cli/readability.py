"""`pidlab readability`: what survives noise, and what few rows suffice to read."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pidlab import defaults
from pidlab.cli.options import (
    AsJson,
    GeneratorOption,
    Redundant,
    Synergy,
    Unique,
    Unique1,
    Unique2,
    asked_axes,
    asked_bits,
)
from pidlab.defaults import Training


def readability(
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any parameter of the generator or the training."),
    ] = None,
    generator: GeneratorOption = defaults.GENERATOR,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="O", help=f"Again for more. Default: {' '.join(defaults.OBJECTIVES)}."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds per objective.")] = defaults.SEEDS,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = Training().steps,
    probes: Annotated[
        str, typer.Option(help="Effort of the probes: quick, standard or thorough.")
    ] = defaults.PROBES,
    sigma: Annotated[
        str | None, typer.Option(metavar="AXIS", help="Deviations of the noise. Default: 0 to 1.6, doubling.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the results. Default: runs/NAME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read bits from z12 through growing noise and from ever fewer rows, beside an untrained network.

    Takes one point of what `pidlab sweep` takes. A wide network keeps everything, trained or not; readable is
    what survives noise on its whitened output, and what few rows suffice to learn.
    """
    from pidlab.sweeps.ask import PLAIN, ask
    from pidlab.sweeps.axes import parse_axis
    from pidlab.sweeps.readability import run_readability

    axes = [*asked_bits(redundant, unique, unique1, unique2, synergy).items()]
    axes += asked_axes(vary, "NAME=VALUE, such as noise=0.3")
    points = PLAIN["points"]
    request = ask(axes, generator=generator, objectives=objective, seeds=seeds, steps=steps, probes=probes)
    directory = out or Path("runs") / f"readability-{request.name}"
    table, failed = run_readability(
        request,
        directory,
        parse_axis("sigma", sigma, points) if sigma else defaults.SIGMAS,
        ["pidlab", *sys.argv[1:]],
        lambda text: typer.echo(text, err=True),
    )
    if as_json:
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        typer.echo(json.dumps({"directory": str(directory), "failed": failed, "rows": rows}))
    else:
        best = table[table["headline"]]
        most = best[best["rows"] == best["rows"].max()]
        means = most.pivot_table(index=["term", "objective"], columns="sigma", values="captured", sort=False)
        typer.echo("bits read from whitened z12 + sigma * noise, means over seeds")
        typer.echo(means.round(3).to_string())
        typer.echo(f"{directory}/readability.pdf")
    for name, why in failed.items():
        typer.echo(f"failed: {name}: {why}", err=True)
    if failed:
        raise typer.Exit(1)
