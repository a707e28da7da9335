"""`pidlab readability`: what survives noise, and what few rows suffice to read."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
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

OTHERS = ("coverage", "invariances", "estimators")


def known_answers(
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="quick, standard, thorough, exam: probes of that effort; coverage of intervals; "
            "invariances; estimators of continuous information. Again for more. Default: all but the last."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Default: figures/examination, or figures/estimators for those alone."
        ),
    ] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Known cases that probes are examined on. Default: all.")
    ] = None,
    estimator: Annotated[
        list[str] | None, typer.Option(help="Estimators that are examined. Default: all.")
    ] = None,
    replicates: Annotated[int, typer.Option(help="Replicates of the coverage.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seeds the rows and the probes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Examine probes and estimators where the information is known, and draw the result.

    A part replaces its own rows in DIR and leaves the others; provenance.json says of each how it was made.
    Files: table.csv, levels.csv, coverage.csv, invariances.csv, known-answers.{pdf,svg,png}; estimators.csv,
    estimators.md. Exits with 1 where a headline of the exam, an invariance, coverage by an exact posterior or
    InfoNCE on a task with a gate lies outside what is allowed, or any row above its truth by more than
    chance.
    """
    import pandas as pd

    from pidlab import defaults
    from pidlab.errors import InvalidRequest, nearest
    from pidlab.sweeps.provenance import environment_record
    from pidlab.validation.estimator_tasks import examine_estimators
    from pidlab.validation.estimators import ESTIMATORS
    from pidlab.validation.examination import EXAMS, coverage, examine, invariances
    from pidlab.validation.known_cases import KNOWN

    asked = part or [*EXAMS, *OTHERS[:2]]
    for name in asked:
        if name not in (*EXAMS, *OTHERS):
            raise InvalidRequest(f"unknown part {name!r}: {nearest(name, [*EXAMS, *OTHERS])}")
    for name in estimator or []:
        if name not in ESTIMATORS:
            raise InvalidRequest(f"unknown estimator {name!r}: {nearest(name, ESTIMATORS)}")
    for name in case or []:
        if name not in KNOWN:
            raise InvalidRequest(f"unknown case {name!r}: {nearest(name, KNOWN)}")
    if replicates < 2:
        raise InvalidRequest(f"{replicates} replicates: expected 2 or more")
    out = out or Path("figures/estimators" if asked == ["estimators"] else "figures/examination")
    out.mkdir(parents=True, exist_ok=True)
    for name in asked:
        typer.echo(f"examining {name}", err=True)
        how = environment_record(["pidlab", *sys.argv[1:]]) | {"seed": seed}
        if name in EXAMS:
            cases = tuple(case or KNOWN)
            _replace(out / "table.csv", examine(name, seed, cases), "level", [*EXAMS])
            how["cases"] = cases
        elif name == "estimators":
            names = tuple(estimator or ESTIMATORS)
            found = examine_estimators(names, seed=seed, say=lambda text: typer.echo(text, err=True))
            _replace(out / "estimators.csv", found, "estimator", [*ESTIMATORS])
            name = f"estimators: {', '.join(names)}"
        elif name == "coverage":
            coverage(replicates, seed=seed).to_csv(out / "coverage.csv", index=False)
        else:
            moved = [invariances(level, seed) for level in (defaults.PROBES, "exam")]
            pd.concat(moved, ignore_index=True).to_csv(out / "invariances.csv", index=False)
        # Each part when it is done, so that one that is stopped takes no other along.
        _record(out, name, how)
    faults, document = _verdict(out)
    if as_json:
        typer.echo(json.dumps(document))
    for fault in faults:
        typer.echo(fault, err=as_json)
    if faults:
        raise typer.Exit(1)


def _replace(file: Path, found: Any, key: str, order: list[str]) -> None:
    """Writes rows to a table in place of those of the same level or estimator, in order."""
    import pandas as pd

    if file.exists():
        kept = pd.read_csv(file)
        found = pd.concat([kept[~kept[key].isin(found[key])], found], ignore_index=True)
    found.sort_values(key, key=lambda v: v.map(order.index), kind="stable").to_csv(file, index=False)


def _record(out: Path, part: str, how: dict[str, Any]) -> None:
    file = out / "provenance.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    record.setdefault("parts", {})[part] = how
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _verdict(out: Path) -> tuple[list[str], dict[str, Any]]:
    """What lies outside of what is allowed, in words, and all that a folder holds, summed up."""
    import pandas as pd

    from pidlab.validation.examination import family_wise, summary

    pass
    from pidlab.plots.examination import LEAST, MOST, known_answers_figure
    from pidlab.plots.style import FORMATS, save

    held = {
        file.stem: pd.read_csv(file) for file in sorted(out.glob("*.csv")) if file.stem in ("table", *OTHERS)
    }
    faults: list[str] = []
    document: dict[str, Any] = {}
    if "table" in held:
        table = held["table"]
        levels, (excess, allowed) = summary(table), family_wise(table)
        levels.to_csv(out / "levels.csv", index=False)
        last = table[
            (table["level"] == "exam") & table["headline"] & (table["within"].astype(str) == "False")
        ]
        document |= {"levels": levels.to_dict("records"), "excess": excess, "allowed": allowed}
        document["outside"] = json.loads(last.to_json(orient="records"))
        faults += [
            f"outside its tolerance: {row['case']} {row['readout']} {row['term']}: {row['captured']:.4f} "
            f"for {row['truth']:.4f} ± {row['tolerance']:.3f}"
            f"{'' if row['converged'] in (True, 'True') else ', flagged as not converged'}"
            for _, row in last.iterrows()
        ]
        if excess > allowed:
            faults.append(
                f"above its truth: by {excess:.2f} standard errors, where chance allows {allowed:.2f}"
            )
        if "coverage" in held:
            figure, _ = known_answers_figure(table, coverage=held["coverage"])
            for suffix in FORMATS:
                save(figure, out / f"known-answers.{suffix}")
    if "coverage" in held:
        rates = held["coverage"]
        wrong = (rates["probe"] == "exact posterior") & ~rates["coverage"].between(LEAST, MOST)
        document["uncovered"] = json.loads(rates[wrong].to_json(orient="records"))
        faults += [
            f"coverage outside {LEAST} to {MOST}: {row['case']} {row['readout']} {row['term']}: "
            f"{row['coverage']:.3f} of {row['replicates']} intervals"
            for _, row in rates[wrong].iterrows()
        ]
    if "invariances" in held:
        moved = held["invariances"]
        moved = moved[~moved["within"].astype(bool)]
        document["moved"] = json.loads(moved.to_json(orient="records"))
        faults += [
            f"moved by {row['change']}: {row['case']} {row['term']} ({row['probe']}): "
            f"by {row['difference']:+.4f}, allowed {row['most']:.4f}"
            for _, row in moved.iterrows()
        ]
    if "estimators" in held:
        (out / "estimators.md").write_text(estimators_markdown(held["estimators"]), encoding="utf-8")
        document["estimators"] = json.loads(held["estimators"].to_json(orient="records"))
        faults += estimators_faults(held["estimators"])
    return faults, document


# The estimator that gates are for; the others are shown beside it on the same samples.
GATED = "infonce"


def estimators_markdown(table: pd.DataFrame) -> str:
    """A row per task, a column per estimator: bits and their interval, with the gate's verdict."""
    names = list(dict.fromkeys(table["estimator"]))
    lines = [
        "Mutual information of continuous variables, in bits: estimates with 95 % intervals over fresh rows",
        "(they know no bias). ✓ within the gate, ✗ not; gates are stated in nats (-.05 to +.05, of two",
        "pairs in 25 dimensions -.15 to +.05) and converted; tasks without one are reported only. The gate",
        "is `infonce`'s; `club` and `nce-club` bound from above, where their q is right, and are not meant",
        "to meet it; `cca` is exact for normal variables alone. All estimators of a task see the same",
        "samples, `ksg` uses 5,000 of them.",
        "",
        "| task | truth | gate | " + " | ".join(names) + " |",
        "| --- " * (len(names) + 3) + "|",
    ]
    for task, rows in table.groupby("task", sort=False):
        first, by_name = rows.iloc[0], rows.set_index("estimator")
        gate = "" if pd.isna(first["least"]) else f"{first['least']:+.3f} … {first['most']:+.3f}"
        cells = [_cell(by_name.loc[name]) if name in by_name.index else "" for name in names]
        lines.append(f"| {task} | {first['truth']:.3f} | {gate} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def estimators_faults(table: pd.DataFrame) -> list[str]:
    """The tasks on which the gated estimator fails, in words."""
    asked = table[(table["estimator"] == GATED) & (table["within"].astype(str) == "False")]
    return [
        f"outside its gate: {GATED} on {row['task']}: {row['estimate']:.4f} bits for {row['truth']:.4f}, "
        f"off by {row['error']:+.4f}, allowed {row['least']:+.4f} to {row['most']:+.4f}"
        for _, row in asked.iterrows()
    ]


def _cell(row: pd.Series) -> str:
    mark = {"True": " ✓", "False": " ✗"}.get(str(row["within"]), "")
    return f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]{mark}"


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
    from pidlab.api import write_readability_files
    from pidlab.sweeps.axes import PLAIN, parse_axis
    from pidlab.sweeps.readability import run_readability
    from pidlab.sweeps.request import build_request

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
