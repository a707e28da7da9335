"""`pidlab list`: what there is to choose from."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer


class Kind(StrEnum):
    """What can be listed."""

    objectives = "objectives"
    generators = "generators"
    gates = "gates"
    measures = "measures"


def catalogue(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List objectives and generators with their parameters, gates, or measures."""
    entries = _info(kind) if kind in (Kind.gates, Kind.measures) else _registered(kind)
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        known = entry.get("parameters", {})
        arguments = ", ".join([*entry.get("required", []), *(f"{key}={known[key]!r}" for key in known)])
        typer.secho(entry["name"], bold=True, nl=False)
        typer.echo(f"({arguments})" if arguments else "")
        typer.echo(f"    {entry['about']}")


def _registered(kind: Kind) -> list[dict[str, Any]]:
    import inspect

    from pidlab.generators import generators
    from pidlab.objectives import objectives

    known = objectives() if kind is Kind.objectives else generators()
    entries = []
    for name, cls in known.items():
        taken = inspect.signature(cls).parameters.items()
        default = {key: p.default for key, p in taken if key not in ("encoders", "world")}
        required = [key for key, value in default.items() if value is inspect.Parameter.empty]
        parameters = {key: value for key, value in default.items() if key not in required}
        about = (inspect.getdoc(cls) or "").split("\n")[0]
        entry = {"name": name, "about": about, "parameters": parameters}
        entries.append(entry | ({"required": required} if required else {}))
    return entries


def _info(kind: Kind) -> list[dict[str, Any]]:
    from pidlab.info import MEASURES, gates

    if kind is Kind.gates:
        return [{"name": name, "about": about} for name, about in gates().items()]
    return [
        {
            "name": name,
            "about": f"{measure.definition}; {measure.properties} ({measure.source})",
            "nonnegative": measure.nonnegative,
            "additive": measure.additive,
        }
        for name, measure in MEASURES.items()
    ]
