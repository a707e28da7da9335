"""`pidlab sweep`: train, examine, draw."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pidlab import defaults
from pidlab.cli.options import (
    AXIS,
    AsJson,
    EngineOption,
    GeneratorOption,
    Redundant,
    Scheduler,
    Synergy,
    Threads,
    Unique,
    Unique1,
    Unique2,
    Workers,
    asked_axes,
    asked_bits,
    chosen_engine,
)
from pidlab.cli.terminal import code_of
from pidlab.defaults import QUICK, Training, meaning

_BASE = Training()


class Saved(StrEnum):
    """What can be kept of a run."""

    weights = "weights"
    representations = "representations"


TRAINING, SCOPE, OUTPUT = "Training", "What is compared", "Output"
EPILOG = (
    f"Where nothing is asked: {', '.join(f'{name} {value:g}' for name, value in defaults.ATOMS.items())}; "
    f"hidden {_BASE.hidden}, layers {_BASE.layers}, rate {_BASE.rate:g}. All of these can be varied. "
    f"A range has {defaults.RANGE_POINTS} points."
)


def _setting(name: str, flag: str) -> Any:
    words = meaning(name)
    return typer.Option(flag, help=words[0].upper() + words[1:] + ".", rich_help_panel=TRAINING)


def _complete(incomplete: str) -> list[str]:
    return [name for name in defaults.OBJECTIVES if name.startswith(incomplete)]


def sweep(
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=AXIS",
            help=f"Any parameter of the generator or the training. {AXIS}",
            rich_help_panel=SCOPE,
        ),
    ] = None,
    zipped: Annotated[
        bool,
        typer.Option(
            "--zip", help="Axes go along together instead of in all combinations.", rich_help_panel=SCOPE
        ),
    ] = False,
    generator: GeneratorOption = defaults.GENERATOR,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="O",
            help='An objective, again for more: comm, "comm(temperature=0.1)". '
            f"Default: {' '.join(defaults.OBJECTIVES)}.",
            autocompletion=_complete,
            rich_help_panel=SCOPE,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help=f"Seeds per point and objective. Default: {defaults.SEEDS}.", rich_help_panel=SCOPE
        ),
    ] = None,
    views: Annotated[str, _setting("views", "--views")] = _BASE.views,
    steps: Annotated[
        int | None,
        typer.Option(
            help=f"{meaning('steps').capitalize()}. Default: {_BASE.steps}.", rich_help_panel=TRAINING
        ),
    ] = None,
    batch: Annotated[int, _setting("batch", "--batch")] = _BASE.batch,
    width: Annotated[
        int | None,
        typer.Option(
            help=f"Numbers in an observation of one modality. Default: {defaults.ATOMS['width']}.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    dim: Annotated[int, _setting("dim", "--dim")] = _BASE.dim,
    samples: Annotated[int | None, _setting("samples", "--samples")] = _BASE.samples,
    probes: Annotated[
        str | None,
        typer.Option(
            help=f"Effort of the probes: quick, standard or thorough. Default: {defaults.PROBES}.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    track: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Read every run by quick probes after N steps of its training as well, the first 0, the "
            "last the end.",
            rich_help_panel=TRAINING,
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the results. Default: runs/NAME, NAME from the request.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"{QUICK['points']} points per range, {QUICK['seeds']} seed, {QUICK['steps']} steps, "
            f"{QUICK['probes']} probes, where nothing else is asked.",
            rich_help_panel=SCOPE,
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=TRAINING)] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print runs, cohorts and an estimate of the time.", rich_help_panel=OUTPUT
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train runs that failed once more.", rich_help_panel=SCOPE)
    ] = False,
    fail_fast: Annotated[
        bool,
        typer.Option(
            "--fail-fast",
            help="Train nothing more after a cohort in which a run fails.",
            rich_help_panel=SCOPE,
        ),
    ] = False,
    save: Annotated[
        list[Saved] | None,
        typer.Option(
            help="What to keep of every run that is trained, as safetensors files beside the results; again "
            "for both.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    engine: EngineOption = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train every objective at every point and measure, in bits, what its representation captured.

    [b]pidlab sweep --unique 0..1[/b] asks how many of 0 to 1 unique bits each default objective keeps.
    Rerunning the same command goes on where it stopped, and trains nothing twice.
    """
    from pidlab.sweeps.request import build_request

    axes: list[tuple[tuple[str, ...], str | int]] = [
        *asked_bits(redundant, unique, unique1, unique2, synergy).items()
    ]
    if width is not None:
        axes.append((("width",), width))
    axes += asked_axes(vary, "NAME=AXIS, such as noise=0..1")
    request = build_request(
        axes,
        generator=generator,
        objectives=objective or None,
        zipped=zipped,
        device=device,
        elsewhere=scheduler is not None,
        quick=quick,
        seeds=seeds,
        views=views,
        steps=steps,
        batch=batch,
        samples=samples,
        dim=dim,
        probes=probes,
        track=track,
    )
    trained_by = chosen_engine(engine, workers, scheduler, threads)
    if dry_run:
        _describe(request, as_json)
        return
    from pidlab.cli.progress import progress
    from pidlab.sweeps import run_sweep

    try:
        with progress() as shown:
            result = run_sweep(
                request,
                out,
                progress=shown,
                command=["pidlab", *sys.argv[1:]],
                retry_failed=retry_failed,
                fail_fast=fail_fast,
                engine=trained_by,
                save=save or (),
            )
    except KeyboardInterrupt as stop:
        typer.echo("stopped: finished cohorts are kept; the same command goes on from there", err=True)
        raise typer.Exit(code_of(stop)) from None
    if as_json:
        rows = json.loads(result.table.to_json(orient="records", double_precision=15))
        document = {
            "directory": str(result.directory),
            "runs": result.runs,
            "failed": result.failures,
            "rows": rows,
        }
        typer.echo(json.dumps(document))
    else:
        from pidlab.cli.progress import print_captured

        print_captured(result, request)
    names = {run.key: run.objective for run in request.runs()} if result.failures else {}
    for why, keys in _grouped(result.failures).items():
        runs = f"run {keys[0]}" if len(keys) == 1 else f"{len(keys)} runs, the first {keys[0]}"
        typer.echo(f"failed: {', '.join(dict.fromkeys(names[k] for k in keys))} ({runs}): {why}", err=True)
    if result.planned:
        typer.echo(f"{result.planned} runs were not trained: --fail-fast; without it they are", err=True)
    if result.failures:
        raise typer.Exit(1)


def _grouped(failures: dict[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, reason in failures.items():
        grouped.setdefault(reason, []).append(key)
    return grouped


def _describe(request: Any, as_json: bool) -> None:
    from pidlab.sweeps.plan import estimate_seconds, plan

    runs = request.runs()
    cohorts = plan(runs)
    seconds = estimate_seconds(cohorts)
    listed = [{"objective": c.objective, "runs": len(c.runs)} for c in cohorts]
    if as_json:
        document = {"name": request.name, "runs": len(runs), "cohorts": listed, "estimated_seconds": seconds}
        typer.echo(json.dumps(document))
        return
    typer.echo(
        f"{len(runs)} runs in {len(cohorts)} cohorts, about {max(1, round(seconds))} s on this machine"
    )
    for cohort in listed:
        typer.echo(f"  {cohort['objective']}: {cohort['runs']} runs")
