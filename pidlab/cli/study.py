"""`pidlab study`: questions in TOML files, answered by experiments, with figures and tested claims."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pidlab.cli.options import AsJson
from pidlab.cli.terminal import code_of, console
from pidlab.errors import InvalidRequest

study = typer.Typer(
    help="Run studies: TOML files with sweeps, figures and claims that are tested on the results.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NAME = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of a study, or path of a .toml file.", show_default=False),
]
FIGURES = Annotated[
    Path,
    typer.Option("--figures", metavar="DIR", help="Write figures, claims and results to DIR/NAME."),
]


@study.command("list")
def list_(figures: FIGURES = Path("figures"), as_json: AsJson = False) -> None:
    """List the studies: title, whether results exist, and the verdicts on the claims.

    `shipped` results come with pidlab; a run in the folder of figures replaces them in the list.
    """
    from pidlab.studies.folders import study_files

    rows = [_status(name, path, figures) for name, path in study_files(figures).items()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.table import Table

    table = Table(box=None)
    for column in ("study", "status", "claims", "title"):
        table.add_column(column, no_wrap=column == "study")
    for row in rows:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in row["verdicts"].items())
        table.add_row(row["name"], row["status"], counts, row["title"])
    screen = console()
    screen.print(table)
    for row in rows:
        for claim in row["unmet"]:
            finding = f": {claim['finding']}" if claim["finding"] else ""
            line = f"{row['name']}: {claim['verdict']}: {claim['claim']}{finding}"
            screen.print(line, soft_wrap=True)


@study.command()
def run(
    name: NAME,
    profile: Annotated[str, typer.Option(help="Effort: quick, laptop or paper.")] = "quick",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Store the experiments in DIR/NAME/PROFILE.")
    ] = Path("runs/studies"),
    figures: FIGURES = Path("figures"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Run a study, draw its figures and test its claims. Rerun the same command to resume.

    Exits with 0, or with 1 if runs failed. Use [b]pidlab study check[/b] for an exit code that depends on the
    claims.
    """
    from pidlab.studies.folders import load_study
    from pidlab.studies.settings import PROFILES

    named = load_study(name)
    if profile not in PROFILES:
        raise InvalidRequest(f"--profile {profile}: unknown profile; choose one of {', '.join(PROFILES)}")
    from pidlab.studies.run_study import run_study
    from pidlab.studies.verdicts import count_verdicts
    from pidlab.sweeps.progress import show_progress
    from pidlab.sweeps.request import resolve_device

    try:
        with show_progress() as shown:
            result = run_study(named, profile, out, figures, device=resolve_device(device), progress=shown)
    except KeyboardInterrupt as stop:
        typer.echo("stopped; finished cohorts are stored; rerun the same command to resume", err=True)
        raise typer.Exit(code_of(stop)) from None
    if as_json:
        document = {
            "study": named.name,
            "profile": profile,
            "directory": str(result.directory),
            "runs": result.runs,
            "failed": result.failures,
            "claims": [claim.to_dict() for claim in result.claims],
        }
        _print_json(document)
    else:
        for claim in result.claims:
            typer.echo(claim)
        typer.echo(f"{result.directory}: {result.runs} runs; claims: {count_verdicts(result.claims)}")
    for experiment, failures in result.failures.items():
        for objective, reason in failures.items():
            typer.echo(f"failed: {experiment}, {objective}: {reason}", err=True)
    if result.failures:
        raise typer.Exit(1)


@study.command()
def check(
    name: NAME,
    figures: FIGURES = Path("figures"),
    write: Annotated[
        bool, typer.Option("--write", help="Update claims.json and claims.md in DIR/NAME.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Test the claims of a study on its stored results.

    Exits with 0 if no claim is refuted, with 1 if a claim is refuted or its runs failed.
    """
    from pidlab.studies.folders import load_study, results_folder, seal_again
    from pidlab.studies.verdicts import REFUTED, count_verdicts, judge_study, write_claims

    named = load_study(name)
    directory = figures / named.name if write else results_folder(named.name, figures)
    profile, judged = judge_study(named, directory)
    if write:
        write_claims(named, profile, judged, figures / named.name)
        seal_again(figures / named.name)
    if as_json:
        met, claims = sum(claim.met for claim in judged), [claim.to_dict() for claim in judged]
        _print_json(
            {"study": named.name, "profile": profile, "met": met, "of": len(judged), "claims": claims}
        )
    else:
        for claim in judged:
            typer.echo(claim)
        typer.echo(f"{named.name}, profile {profile}: {count_verdicts(judged)}")
    if any(claim.verdict == REFUTED or claim.failure for claim in judged):
        raise typer.Exit(1)


@study.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from pidlab.studies.schema import Study

    typer.echo(json.dumps(Study.model_json_schema(), indent=2))


def _status(name: str, path: Path, figures: Path) -> dict[str, Any]:
    from pidlab.studies.folders import NamedStudy, find_damage, find_difference, read_record, results_folder
    from pidlab.studies.schema import read_study
    from pidlab.studies.verdicts import VERDICTS

    row: dict[str, Any] = {"name": name, "title": "", "profiles": ["quick", "laptop", "paper"], "unmet": []}
    row |= {"verdicts": {}}
    row |= {"status": "not run", "profile": None, "met": None, "claims": None}
    try:
        found = read_study(path)
    except InvalidRequest as error:  # an invalid file must not hide the others
        return row | {"status": f"invalid: {error}"}
    row |= {"title": found.title, "claims": len(found.claim)}
    directory = results_folder(name, figures)
    record = read_record(directory)
    if record is None:
        return row
    row["profile"] = record["profile"]
    if damage := find_damage(record, directory):
        return row | {"status": f"outdated: {damage}"}
    if difference := find_difference(NamedStudy(name, path, found), record):
        return row | {"status": f"outdated: results of {difference}"}
    try:
        claims = json.loads((directory / "claims.json").read_text(encoding="utf-8"))
        unmet = [
            {key: claim[key] for key in ("claim", "finding", "verdict")}
            for claim in claims
            if not claim["met"]
        ]
        verdicts = [claim["verdict"] for claim in claims]
        row["verdicts"] = {name: n for name in VERDICTS if (n := verdicts.count(name))}
    except (OSError, ValueError, KeyError, TypeError):
        return row | {"status": f"outdated: {record['profile']}, no valid claims.json"}
    met = len(claims) - len(unmet)
    status = f"run at {record['profile']}"
    if directory.parent != figures:
        status = f"shipped, {record['profile']}"
    return row | {"status": status, "met": met, "claims": len(claims), "unmet": unmet}


def _print_json(value: Any) -> None:
    from pidlab.studies.folders import replace_nonfinite

    typer.echo(json.dumps(replace_nonfinite(value), allow_nan=False))
