"""`pidlab sweep`: train, probe and draw."""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    registered_names,
    term_axes,
    vary_axes,
)
from pidlab.cli.terminal import code_of, console
from pidlab.defaults import QUICK, Training, meaning

if TYPE_CHECKING:
    from rich.table import Table

    from pidlab.sweeps.execute import Engine
    from pidlab.sweeps.request import Request
    from pidlab.sweeps.run import SweepResult

_BASE = Training()


class Saved(StrEnum):
    """Files that can be kept of a run."""

    weights = "weights"
    representations = "representations"


TRAINING, SCOPE, OUTPUT = "Training", "What is compared", "Output"
EPILOG = (
    f"Defaults: {', '.join(f'{name} {value:g}' for name, value in defaults.ATOMS.items())}; "
    f"hidden {_BASE.hidden}, layers {_BASE.layers}, rate {_BASE.rate:g}. All of these can be varied. "
    f"A range has {defaults.RANGE_POINTS} points."
)


def _option(panel: str, *flags: str, help_: str, **more: Any) -> Any:
    return typer.Option(*flags, help=help_, rich_help_panel=panel, **more)


def _setting(name: str) -> Any:
    words, default = meaning(name), getattr(_BASE, name)
    stated = "" if default is None else f" Default: {default}."
    return _option(TRAINING, f"--{name.replace('_', '-')}", help_=f"{words[0].upper()}{words[1:]}.{stated}")


def _complete(incomplete: str) -> list[str]:
    return [name for name in registered_names("objectives") if name.startswith(incomplete)]


def sweep(
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    vary: Annotated[
        list[str] | None,
        _option(
            SCOPE,
            help_=f"Any parameter of the generator or the training; repeat for several. {AXIS}",
            metavar="NAME=AXIS",
        ),
    ] = None,
    zipped: Annotated[
        bool, _option(SCOPE, "--zip", help_="Pair the values of the axes instead of combining them.")
    ] = False,
    generator: GeneratorOption = defaults.GENERATOR,
    objective: Annotated[
        list[str] | None,
        _option(
            SCOPE,
            help_='Objective to train; repeat the option for several: comm, "comm(temperature=0.1)", '
            f"my_loss.py:MyLoss. Default: {' '.join(defaults.OBJECTIVES)}.",
            metavar="O",
            autocompletion=_complete,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        _option(SCOPE, help_=f"Number of seeds per point and objective. Default: {defaults.SEEDS}."),
    ] = None,
    views: Annotated[str | None, _setting("views")] = None,
    steps: Annotated[
        int | None,
        _option(TRAINING, help_=f"{meaning('steps').capitalize()}. Default: {_BASE.steps}."),
    ] = None,
    batch: Annotated[int | None, _setting("batch")] = None,
    width: Annotated[
        int | None,
        _option(
            TRAINING,
            help_=f"Number of values in an observation of one modality. Default: {defaults.ATOMS['width']}.",
        ),
    ] = None,
    dim: Annotated[int | None, _setting("dim")] = None,
    samples: Annotated[int | None, _setting("samples")] = None,
    recipe: Annotated[
        str | None,
        _option(
            TRAINING,
            help_=f"Published settings, used where no option sets one: {', '.join(defaults.RECIPES)}.",
        ),
    ] = None,
    optimizer: Annotated[str | None, _setting("optimizer")] = None,
    weight_decay: Annotated[float | None, _setting("weight_decay")] = None,
    schedule: Annotated[str | None, _setting("schedule")] = None,
    warmup: Annotated[int | None, _setting("warmup")] = None,
    clip: Annotated[float | None, _setting("clip")] = None,
    probes: Annotated[
        str | None,
        _option(
            TRAINING,
            help_=f"Effort of the probes: quick, standard or thorough. Default: {defaults.PROBES}.",
        ),
    ] = None,
    track: Annotated[
        int,
        _option(
            TRAINING,
            help_="Probe each run at N checkpoints during training, from step 0 to the last step, with quick "
            "probes. 0: only after training.",
            metavar="N",
        ),
    ] = 0,
    baselines: Annotated[
        bool,
        _option(
            SCOPE,
            "--baselines",
            help_="Measure the floor and the ceiling of every objective, too: its own model before training, "
            "and trained with the labels. Objectives of equal architecture share them.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        _option(
            OUTPUT,
            help_="Folder of the results. Default: runs/NAME, with a name made from the request.",
            metavar="DIR",
        ),
    ] = None,
    quick: Annotated[
        bool,
        _option(
            SCOPE,
            "--quick",
            help_=f"Use {QUICK['points']} points per range, {QUICK['seeds']} seed, {QUICK['steps']} steps "
            f"and {QUICK['probes']} probes where these are not set.",
        ),
    ] = False,
    device: Annotated[str, _option(TRAINING, help_="auto, cpu or cuda.")] = "auto",
    dry_run: Annotated[
        bool,
        _option(
            OUTPUT,
            "--dry-run",
            help_="Print the runs, the cohorts and an estimate of the time, and train nothing.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, _option(SCOPE, "--retry-failed", help_="Train failed runs once more.")
    ] = False,
    fail_fast: Annotated[
        bool, _option(SCOPE, "--fail-fast", help_="Stop after the first cohort in which a run fails.")
    ] = False,
    save: Annotated[
        list[Saved] | None,
        _option(
            OUTPUT,
            help_="Files to keep of every run, in safetensors format; repeat the option for both.",
        ),
    ] = None,
    engine: EngineOption = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train every objective at every point and measure, in bits, what its representation captures.

    [b]pidlab sweep --unique 0..1[/b] measures how much of 0 to 1 bit of unique information each default
    objective captures. Rerun the same command to resume; finished runs are not trained again.
    """
    from pidlab.sweeps.engines import select_engine
    from pidlab.sweeps.request import build_request

    axes: list[tuple[tuple[str, ...], str | int]] = [
        *term_axes(redundant, unique, unique1, unique2, synergy).items()
    ]
    if width is not None:
        axes.append((("width",), width))
    axes += vary_axes(vary, "NAME=AXIS, such as noise=0..1")
    request = build_request(
        axes,
        generator=generator,
        objectives=objective or None,
        zipped=zipped,
        device=device,
        remote=scheduler is not None,
        quick=quick,
        seeds=seeds,
        views=views,
        steps=steps,
        batch=batch,
        samples=samples,
        dim=dim,
        recipe=recipe,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        probes=probes,
        track=track,
        baselines=baselines,
    )
    selected = select_engine(engine and engine.value, workers, scheduler, threads)
    if dry_run:
        _print_plan(request, selected, as_json)
        return
    from pidlab.api import write_sweep_files
    from pidlab.sweeps import run_sweep
    from pidlab.sweeps.progress import show_progress

    try:
        with show_progress() as progress:
            result = run_sweep(
                request,
                out,
                progress=progress,
                command=["pidlab", *sys.argv[1:]],
                retry_failed=retry_failed,
                fail_fast=fail_fast,
                engine=selected,
                save=save or (),
            )
        write_sweep_files(result)
    except KeyboardInterrupt as stop:
        typer.echo("stopped: finished cohorts are kept; rerun the same command to resume", err=True)
        raise typer.Exit(code_of(stop)) from None
    if as_json:
        typer.echo(_as_json(result))
    else:
        print_captured(result)
    for line in [*_failure_lines(result), *_stuck_lines(result)]:
        typer.echo(line, err=True)
    if result.planned:
        typer.echo(
            f"{result.planned} runs were not trained because of --fail-fast; rerun without it to train them",
            err=True,
        )
    if result.failures:
        raise typer.Exit(1)


def _as_json(result: "SweepResult") -> str:
    document = {
        "directory": str(result.directory),
        "runs": result.runs,
        "failed": result.failures,
        "rows": json.loads(result.table.to_json(orient="records", double_precision=15)),
    }
    return json.dumps(document)


def _failure_lines(result: "SweepResult") -> list[str]:
    """Return one line per reason of failure."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for failure in result.record["failures"]:
        grouped.setdefault(failure["reason"], []).append(failure)
    lines = []
    for reason, parts in grouped.items():
        count, first = sum(part["runs"] for part in parts), parts[0]["run"]
        runs = f"run {first}" if count == 1 else f"{count} runs, the first {first}"
        lines.append(f"failed: {', '.join(part['objective'] for part in parts)} ({runs}): {reason}")
    return lines


def _stuck_lines(result: "SweepResult") -> list[str]:
    """Return one line per objective with runs that are flagged as not trained."""
    if result.sampled:  # the rows of all runs of a large sweep are not read
        return []
    stuck = result.shown[result.shown["trained"].eq(False).fillna(False)]
    return [
        f"not trained: {objective}: the loss of {count} runs ended within noise of its initial value or of "
        "chance; see pidlab plot --kind loss"
        for objective, count in stuck.groupby("objective", sort=False)["run"].nunique().items()
    ]


def _print_plan(request: "Request", engine: "Engine", as_json: bool) -> None:
    from pidlab.sweeps.baselines import Baselines
    from pidlab.sweeps.plan import Runs, estimate_seconds, plan

    engine.prepare(request.device)
    runs = Runs(request)
    cohorts = plan(runs, parts=engine.parts)
    if request.baselines:
        cohorts += plan(Baselines(request).missing_from(runs), parts=engine.parts)
    workers = min(engine.parts(sum(cohort.seconds for cohort in cohorts)), len(cohorts))
    seconds = estimate_seconds(cohorts) / workers
    listed = [{"objective": c.objective, "runs": len(c.runs)} for c in cohorts]
    total = sum(len(c.runs) for c in cohorts)
    if as_json:
        document = {
            "name": request.name,
            "runs": total,
            "cohorts": listed,
            "workers": workers,
            "estimated_seconds": seconds,
        }
        typer.echo(json.dumps(document))
        return
    places = "on this machine" if workers == 1 else f"with {workers} workers"
    typer.echo(f"{total} runs in {len(cohorts)} cohorts, about {max(1, round(seconds))} s {places}")
    for cohort in listed:
        typer.echo(f"  {cohort['objective']}: {cohort['runs']} runs")


def print_captured(result: "SweepResult") -> None:
    """Print captured bits at up to three points, and the names of the sweep's files."""
    screen = console()
    if len(result.shown):
        screen.print(_captured_table(result))
    failed = f"; {len(result.failures)} runs failed" if result.failures else ""
    screen.print(f"{result.runs} runs{failed}. Files in {result.directory}:", soft_wrap=True)
    screen.print("  report.html   captured.pdf .svg .png   results.csv   provenance.json")
    screen.print("Open report.html in a browser; its last section states how to cite.")
    screen.print("More figures: pidlab plot DIR --kind profile. All points: pidlab table DIR.")


def _captured_table(result: "SweepResult") -> "Table":
    from rich.table import Table

    from pidlab.results.formatting import format_interval
    from pidlab.results.means import thin_points
    from pidlab.results.panels import symbol_of
    from pidlab.results.tables import TRUTH, captured_table

    captured = captured_table(result.shown, result.request.axis_groups)
    has_terms = all(symbol_of(column.term) for column in captured.columns)
    points = list({tuple(row.point.items()): row.point for row in captured.rows}.values())
    drawn = thin_points(points)
    what = f"Captured bits{' of z12' if has_terms else ''}, best probe by validation"
    has_intervals = any(cell.half == cell.half for row in captured.rows for cell in row.cells)
    numbers = "mean ± half-width of the 95 % t-interval over seeds" if has_intervals else "mean over seeds"
    if result.shown["seed"].nunique() == 1:
        numbers = "a single seed"
    part = f"; {len(drawn)} of {len(points)} points" if len(drawn) < len(points) else ""
    table = Table(title=f"{what}: {numbers}{part}", title_justify="left")
    for name in captured.parameters:
        table.add_column(name, justify="right")
    table.add_column("objective", overflow="fold")
    for column in captured.columns:
        label = column.term if has_terms else f"I({column.readout};{column.term.upper()})"
        table.add_column(label, justify="right")
    for point in drawn:
        rows = [row for row in captured.rows if row.point == point]
        texts = [[format_interval(cell.mean, cell.half, " ±") for cell in row.cells] for row in rows]
        is_measured = [any(column) for column in zip(*texts, strict=True)]
        for row, cells in zip(rows, texts, strict=True):
            if row.objective == TRUTH:
                truths = [cell or "unknown" * known for cell, known in zip(cells, is_measured, strict=True)]
                table.add_row(*map(_value, point.values()), row.label, *truths, style="bold")
            else:
                # The class and arguments of a user-defined objective, without the path of its file.
                name = row.label if ":" in row.objective else row.objective
                table.add_row(*("" for _ in point), name, *cells)
        table.add_section()
    return table


def _value(value: Any) -> str:

    from pidlab.results.formatting import format_value

    return format_value(value)
