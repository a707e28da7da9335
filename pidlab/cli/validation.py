"""`pidlab known-answers` and `pidlab readability`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

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
    term_axes,
    vary_axes,
)
from pidlab.defaults import Training
from pidlab.io import atomic_write, write_csv

OTHER_PARTS = ("coverage", "invariances", "hard")


def known_answers(
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Part to run: probes at level quick, standard, thorough or exam; coverage; invariances; "
            "hard, the readouts that are hard to read, at the levels of a sweep. "
            "Repeat the option for several. Default: all."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the results. Default: figures/examination."),
    ] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Known case; repeat the option for several. Default: all.")
    ] = None,
    replicates: Annotated[int, typer.Option(help="Replicates of the coverage.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the rows and the probes.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of worker processes with one thread each; 1: this process. Results do not depend on "
            "N. Default: one per core.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine the probes on cases with known information, and draw the result.

    A part replaces its own rows in DIR and keeps the others; provenance.json records how each part was made.
    Files: table.csv, levels.csv, coverage.csv, invariances.csv, hard.csv, known-answers.{pdf,svg,png}. The
    exit code is 1 if a headline of the exam, an invariance or the coverage of an exact posterior is outside
    its limits, a row exceeds its truth by more than chance allows, or a headline of a hard readout is more
    than 0.05 bits below its truth at `standard` without a flag.
    """
    import pandas as pd

    from pidlab import defaults
    from pidlab.errors import InvalidRequest, nearest
    from pidlab.io import check_memory
    from pidlab.probes.levels import LEVELS
    from pidlab.sweeps.provenance import environment_record
    from pidlab.validation.examination import EXAMS, coverage, examine, invariances
    from pidlab.validation.hard_readouts import examine_hard
    from pidlab.validation.known_cases import KNOWN
    from pidlab.workers import available_cores

    parts = part or [*EXAMS, *OTHER_PARTS]
    for name in parts:
        if name not in (*EXAMS, *OTHER_PARTS):
            raise InvalidRequest(f"unknown part {name!r}: {nearest(name, [*EXAMS, *OTHER_PARTS])}")
    for name in case or []:
        if name not in KNOWN:
            raise InvalidRequest(f"unknown case {name!r}: {nearest(name, KNOWN)}")
    if replicates < 2:
        raise InvalidRequest(f"--replicates {replicates}: must be at least 2")
    if workers is not None and workers < 1:
        raise InvalidRequest(f"--workers {workers}: must be at least 1")
    count = available_cores() if workers is None else workers
    # The three numbers of every interval, and a copy of them.
    check_memory(f"--replicates {replicates}", 2 * 3 * 8 * replicates)
    if seed < 0:
        raise InvalidRequest(f"--seed {seed}: must be at least 0")
    out = out or Path("figures/examination")
    out.mkdir(parents=True, exist_ok=True)
    for name in parts:
        typer.echo(f"examining {name}", err=True)
        record = environment_record(["pidlab", *sys.argv[1:]]) | {"seed": seed}
        if name in EXAMS:
            cases = tuple(case or KNOWN)
            _replace_level(out / "table.csv", examine(name, seed, cases, workers=count), [*EXAMS])
            record["cases"] = cases
        elif name == "coverage":
            write_csv(coverage(replicates, seed=seed, workers=count), out / "coverage.csv")
        elif name == "hard":
            tables = [examine_hard(level, seed) for level in LEVELS]
            write_csv(pd.concat(tables, ignore_index=True), out / "hard.csv")
        else:
            tables = [invariances(level, seed, workers=count) for level in (defaults.PROBES, "exam")]
            write_csv(pd.concat(tables, ignore_index=True), out / "invariances.csv")
        # After each part, so that finished parts survive an interruption.
        _record(out, name, record)
    faults, document = _verdict(out)
    if as_json:
        typer.echo(json.dumps(document))
    for fault in faults:
        typer.echo(fault, err=as_json)
    if faults:
        raise typer.Exit(1)


def _replace_level(file: Path, rows: Any, order: list[str]) -> None:
    """Replace the rows of one level in a table."""
    import pandas as pd

    if file.exists():
        stored = pd.read_csv(file)
        rows = pd.concat([stored[~stored["level"].isin(rows["level"])], rows], ignore_index=True)
    write_csv(rows.sort_values("level", key=lambda v: v.map(order.index), kind="stable"), file)


def _record(out: Path, part: str, record: dict[str, Any]) -> None:
    """Record in provenance.json how a part was made."""
    file = out / "provenance.json"
    document = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    document.setdefault("parts", {})[part] = record
    with atomic_write(file) as text:
        text.write(json.dumps(document, indent=2) + "\n")


def _verdict(out: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the violated limits in words, and a summary of all results in a folder."""
    import pandas as pd

    from pidlab.plots.known_answers import LEAST, MOST, known_answers_figure
    from pidlab.plots.style import FORMATS, save
    from pidlab.validation.examination import family_wise, summary
    from pidlab.validation.hard_readouts import SHORT

    tables = {
        file.stem: pd.read_csv(file)
        for file in sorted(out.glob("*.csv"))
        if file.stem in ("table", *OTHER_PARTS)
    }
    faults: list[str] = []
    document: dict[str, Any] = {}
    if "table" in tables:
        table = tables["table"]
        levels, (excess, allowed) = summary(table), family_wise(table)
        write_csv(levels, out / "levels.csv")
        outside = table[
            (table["level"] == "exam") & table["headline"] & (table["within"].astype(str) == "False")
        ]
        document |= {"levels": levels.to_dict("records"), "excess": excess, "allowed": allowed}
        document["outside"] = json.loads(outside.to_json(orient="records"))
        faults += [
            f"outside its tolerance: {row['case']} {row['readout']} {row['term']}: {row['captured']:.4f} "
            f"for {row['truth']:.4f} ± {row['tolerance']:.3f}"
            f"{'' if row['converged'] in (True, 'True') else ', flagged as not converged'}"
            for _, row in outside.iterrows()
        ]
        if excess > allowed:
            faults.append(f"above its truth: by {excess:.2f} standard errors; chance allows {allowed:.2f}")
        if "coverage" in tables:
            figure, _ = known_answers_figure(table, coverage=tables["coverage"])
            for suffix in FORMATS:
                save(figure, out / f"known-answers.{suffix}")
    if "coverage" in tables:
        rates = tables["coverage"]
        is_wrong = (rates["probe"] == "exact posterior") & ~rates["coverage"].between(LEAST, MOST)
        document["uncovered"] = json.loads(rates[is_wrong].to_json(orient="records"))
        faults += [
            f"coverage outside {LEAST} to {MOST}: {row['case']} {row['readout']} {row['term']}: "
            f"{row['coverage']:.3f} of {row['replicates']} intervals"
            for _, row in rates[is_wrong].iterrows()
        ]
    if "hard" in tables:
        hard = tables["hard"]
        is_missed = (hard["level"] == "standard") & (hard["short"] > SHORT) & ~hard["flagged"].astype(bool)
        document["unflagged"] = json.loads(hard[is_missed].to_json(orient="records"))
        faults += [
            f"short without a flag: {row['case']}: {row['captured']:.3f} of {row['truth']:.3f} bits"
            for _, row in hard[is_missed].iterrows()
        ]
    if "invariances" in tables:
        moved = tables["invariances"]
        moved = moved[~moved["within"].astype(bool)]
        document["moved"] = json.loads(moved.to_json(orient="records"))
        faults += [
            f"moved by {row['change']}: {row['case']} {row['term']} ({row['probe']}): "
            f"by {row['difference']:+.4f}, allowed {row['most']:.4f}"
            for _, row in moved.iterrows()
        ]
    return faults, document


def readability(
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Parameter of the generator or the training; repeatable."),
    ] = None,
    generator: GeneratorOption = defaults.GENERATOR,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="O",
            help=f"Objective to train; repeatable. Default: {' '.join(defaults.OBJECTIVES)}.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds per objective.")] = defaults.SEEDS,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = Training().steps,
    probes: Annotated[str, typer.Option(help="Probe level: quick, standard or thorough.")] = defaults.PROBES,
    sigma: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Standard deviations of the noise. Default: 0 to 1.6, doubling."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the results. Default: runs/NAME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure captured bits of z12 under added noise and with fewer training rows.

    Takes the options of `pidlab sweep` at one point. A wide network retains all information even without
    training. Readability is what remains after noise on its whitened output, and what probes learn from few
    rows.
    """
    from pidlab.api import write_readability_files
    from pidlab.sweeps.axes import PLAIN, parse_axis
    from pidlab.sweeps.request import build_request
    from pidlab.sweeps.run_readability import run_readability

    axes = [*term_axes(redundant, unique, unique1, unique2, synergy).items()]
    axes += vary_axes(vary, "NAME=VALUE, such as noise=0.3")
    points = PLAIN["points"]
    request = build_request(
        axes, generator=generator, objectives=objective, seeds=seeds, steps=steps, probes=probes
    )
    directory = out or Path("runs") / f"readability-{request.name}"
    table, failed = run_readability(
        request,
        directory,
        parse_axis("sigma", sigma, points) if sigma else defaults.SIGMAS,
        ["pidlab", *sys.argv[1:]],
        lambda text: typer.echo(text, err=True),
    )
    write_readability_files(table, directory)
    if as_json:
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        typer.echo(json.dumps({"directory": str(directory), "failed": failed, "rows": rows}))
    else:
        headlines = table[table["headline"]]
        all_rows = headlines[headlines["rows"] == headlines["rows"].max()]
        means = all_rows.pivot_table(
            index=["term", "objective"], columns="sigma", values="captured", sort=False
        )
        typer.echo("captured bits of whitened z12 + sigma * noise, means over seeds")
        typer.echo(means.round(3).to_string())
        typer.echo(f"{directory}/readability.pdf")
    for name, why in failed.items():
        typer.echo(f"failed: {name}: {why}", err=True)
    if failed:
        raise typer.Exit(1)
