"""`pidlab study`: questions in TOML files, answered by sweeps, with figures and claims that are checked."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pidlab.cli.options import AsJson
from pidlab.cli.terminal import code_of
from pidlab.errors import InvalidRequest

study = typer.Typer(
    help="Questions in TOML files: sweeps that answer them, figures, claims that are checked.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NAME = Annotated[
    str, typer.Argument(metavar="NAME", help="A study by name, or the path of its .toml.", show_default=False)
]
FIGURES = Annotated[
    Path,
    typer.Option("--figures", metavar="DIR", help="Figures, claims and results of NAME are in DIR/NAME."),
]


@study.command("list")
def list_(figures: FIGURES = Path("figures"), as_json: AsJson = False) -> None:
    """List the studies: what they ask, whether they were run, how many of their claims are met."""
    from pidlab.studies.store import studies

    rows = [_status(name, path, figures) for name, path in studies().items()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in ("study", "status", "claims met", "title"):
        table.add_column(column, no_wrap=column == "study")
    for row in rows:
        claims = "" if row["met"] is None else f"{row['met']} of {row['claims']}"
        table.add_row(row["name"], row["status"], claims, row["title"])
    console = Console()
    console.print(table)
    for row in rows:
        for claim in row["unmet"]:
            said = f"{row['name']}: not met: {claim['claim']}"
            found = f": {claim['finding']}" if claim["finding"] else ""
            console.print(said + found, highlight=False, markup=False, soft_wrap=True)


@study.command()
def run(
    name: NAME,
    profile: Annotated[str, typer.Option(help="Effort: quick, laptop or paper.")] = "quick",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Sweeps are in DIR/NAME/PROFILE, and resumed from there.")
    ] = Path("runs/studies"),
    figures: FIGURES = Path("figures"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Run a study's sweeps, draw its figures, judge its claims; rerunning goes on where it stopped.

    Exits with 1 where runs failed; claims that are not met are for [b]pidlab study check[/b].
    """
    from pidlab.studies.settings import PROFILES

    named = _named(name)
    if profile not in PROFILES:
        raise InvalidRequest(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    from pidlab.studies.run import run_study
    from pidlab.sweeps.progress import show_progress
    from pidlab.sweeps.request import resolve_device

    try:
        with show_progress() as shown:
            done = run_study(named, profile, out, figures, device=resolve_device(device), progress=shown)
    except KeyboardInterrupt as stop:
        typer.echo("stopped: finished cohorts are kept; the same command goes on from there", err=True)
        raise typer.Exit(code_of(stop)) from None
    if as_json:
        document = {
            "study": named.name,
            "profile": profile,
            "directory": str(done.directory),
            "runs": done.runs,
            "failed": done.failures,
            "claims": [one.to_dict() for one in done.checked],
        }
        _print_json(document)
    else:
        for one in done.checked:
            typer.echo(one)
        met = sum(one.met for one in done.checked)
        typer.echo(f"{done.directory}: {done.runs} runs, {met} of {len(done.checked)} claims met")
    for experiment, failed in done.failures.items():
        for objective, why in failed.items():
            typer.echo(f"failed: {experiment}, {objective}: {why}", err=True)
    if done.failures:
        raise typer.Exit(1)


@study.command()
def check(name: NAME, figures: FIGURES = Path("figures"), as_json: AsJson = False) -> None:
    """Hold a study's claims against its stored results: met or not, by how much; exits 1 if not all are."""
    from pidlab.studies.evaluate import check as judged

    named = _named(name)
    profile, checked = judged(named, figures / named.name)
    met = sum(one.met for one in checked)
    if as_json:
        claims = [one.to_dict() for one in checked]
        _print_json(
            {"study": named.name, "profile": profile, "met": met, "of": len(checked), "claims": claims}
        )
    else:
        for one in checked:
            typer.echo(one)
        typer.echo(f"{named.name}, profile {profile}: {met} of {len(checked)} claims met")
    if met < len(checked):
        raise typer.Exit(1)


@study.command()
def schema() -> None:
    """Print the JSON Schema of a study's file, for editors."""
    from pidlab.studies.schema import Study

    typer.echo(json.dumps(Study.model_json_schema(), indent=2))


def _named(name: str) -> Any:
    from pidlab.studies.schema import read_study
    from pidlab.studies.store import Named, find

    path = find(name)
    return Named(path.stem, path, read_study(path))


def _status(name: str, path: Path, figures: Path) -> dict[str, Any]:
    from pidlab.studies.schema import read_study
    from pidlab.studies.store import Named, differs, record_of

    row: dict[str, Any] = {"name": name, "title": "", "profiles": ["quick", "laptop", "paper"], "unmet": []}
    row |= {"status": "not run", "profile": None, "met": None, "claims": None}
    try:
        found = read_study(path)
    except InvalidRequest as error:  # one broken file must not hide the others
        return row | {"status": f"broken: {error}"}
    row |= {"title": found.title, "claims": len(found.claim)}
    record = record_of(figures / name)
    if record is None:
        return row
    row["profile"] = record["profile"]
    stale = differs(Named(name, path, found), record)
    if stale:
        return row | {"status": f"stale: of {stale}"}
    try:
        claims = json.loads((figures / name / "claims.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return row | {"status": f"stale: {record['profile']}, no claims.json"}
    unmet = [{"claim": c["claim"], "finding": c["finding"]} for c in claims if not c["met"]]
    return row | {
        "status": f"run at {record['profile']}",
        "met": len(claims) - len(unmet),
        "claims": len(claims),
        "unmet": unmet,
    }


def _print_json(value: Any) -> None:
    from pidlab.studies.store import finite

    typer.echo(json.dumps(finite(value), allow_nan=False))
