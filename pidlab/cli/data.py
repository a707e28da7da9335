"""`pidlab list`: what there is to choose from."""

import json
import shlex
import sys
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
)
from pidlab.cli.terminal import bits
from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest

if TYPE_CHECKING:
    from pidlab.generators import Generator


# What a decomposition of two sources says beside its terms.
PAIR = ("mi1", "mi2", "co_information")


def truth(
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    generator: GeneratorOption = defaults.GENERATOR,
    as_json: AsJson = False,
) -> None:
    """Print the exact decomposition of a generator, in bits."""
    from pidlab.generators import load_generator
    from pidlab.sweeps.axes import parse_axis

    given = term_axes(redundant, unique, unique1, unique2, synergy)
    parameters: dict[str, float] = {}
    for terms, text in given.items():
        name = " and ".join(terms)
        value, *more = parse_axis(name, text, defaults.RANGE_POINTS)
        if more:
            raise InvalidRequest(f"{name} {text!r}: truth takes one number; ranges are for sweep")
        parameters |= dict.fromkeys(terms, value)
    made = load_generator(generator, **parameters)
    found = made.truth
    if found.how == "unknown":
        raise InvalidRequest(f"{made.name} has no known truth: its law is known by its rows alone")
    solved, note = _solved(made)
    if as_json:
        solver = {} if solved is None else {"solver": solved.to_dict()}
        typer.echo(json.dumps(found.to_dict() | solver, indent=2))
        if note:
            typer.echo(note, err=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{made.name}: information about Y, in bits ({found.measure}, by {found.how})",
        title_justify="left",
    )
    sets = _sets(made)
    names = (",".join(f"X{m + 1}" for m in key) for key in sets)
    held = names if len(made.modalities) > 2 else (f"I({name};T)" for name in names)
    for column in ("target", "H(target)", *held):
        table.add_column(column, justify="left" if column == "target" else "right")
    for target in made.targets.values():
        known = (target.entropy, *(target.information[key] for key in sets))
        table.add_row(target.name, *(f"{bits:.6g}" for bits in known))
    console = Console()
    console.print(table)
    if not isinstance(found, Decomposition):
        console.print(
            f"{found.total:.6g} bits in all; a column per set of modalities, its I(set;T)", highlight=False
        )
        return
    names = (*found.terms, "total", *PAIR)
    table = Table(title="Designed, and solved on the law", title_justify="left")
    table.add_column("bits")
    within = f", within {float(found.gap):.0e}" if found.gap else ""
    table.add_column(f"designed ({found.how}{within})", justify="right")
    if solved is not None:
        table.add_column(f"solver (gap {float(solved.gap):.0e})", justify="right")
    for name in names:
        values = [float(getattr(known, name)) for known in (found, solved) if known is not None]
        table.add_row(name, *(bits(value) for value in values))
    console.print(table)
    if note:
        console.print(note, highlight=False)


def _sets(made: "Generator") -> list[tuple[int, ...]]:
    """Every set of modalities, the smallest first."""
    modalities = range(len(made.modalities))
    return [s for size in modalities for s in combinations(modalities, size + 1)]


def _solved(made: "Generator") -> tuple[Decomposition | None, str]:
    """The solver's decomposition of the generator's joint law, or a word on why there is none."""
    if not isinstance(made.truth, Decomposition):
        return None, "no solver's value: it decomposes what two modalities hold"
    if made.truth.how == "solver":
        return None, ""
    try:
        found = made.solved()
    except InvalidRequest as error:
        return None, f"no solver's value: {error}"
    if found is None:
        return None, f"no solver's value: {made.name} has no joint law of finitely many symbols"
    return found, ""


def generate(
    generator: Annotated[
        str, typer.Argument(metavar="GENERATOR", help='Such as factorcl or "atoms(unique1=0.5)".')
    ],
    samples: Annotated[int, typer.Option(help="How many rows.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where to write; must not exist.")],
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    split: Annotated[
        str, typer.Option(help="The law to draw from: train or eval, to which the truth belongs.")
    ] = "eval",
    as_json: AsJson = False,
) -> None:
    """Write samples with their truth to an .npz file: x1, x2, y, factors, truth, seed.

    [b]generator "arrays('FILE.npz')"[/b] reads such files, or any with x1, x2 and y.
    """
    import numpy as np

    from pidlab.generators import load_generator
    from pidlab.generators.arrays import arrays

    if out.suffix != ".npz":
        raise InvalidRequest(f"--out {out}: expected a name that ends in .npz")
    if out.exists():
        raise InvalidRequest(f"--out {out}: the file exists; choose another name or remove it")
    if seed < 0:
        raise InvalidRequest(f"--seed {seed}: expected 0 or more")
    made = arrays(load_generator(generator), samples, seed, split)
    try:
        np.savez(out, **made)  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    shapes = {name: list(array.shape) for name, array in made.items() if array.ndim}
    if as_json:
        typer.echo(json.dumps({"file": str(out), "arrays": shapes, "truth": json.loads(str(made["truth"]))}))
        return
    typer.echo(f"{out}: " + ", ".join(f"{name} {'x'.join(map(str, s))}" for name, s in shapes.items()))


def picture(
    generator: Annotated[
        str, typer.Argument(metavar="GENERATOR", help='One of images, such as "trifeature(size=64)".')
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="Where to write: .png, .pdf or .svg.")],
    samples: Annotated[int, typer.Option(help="How many, side by side.")] = 8,
    views: Annotated[list[str] | None, typer.Option(help="Views to show beneath; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    split: Annotated[str, typer.Option(help="The law to draw from: train or eval.")] = "eval",
) -> None:
    """Draw a few samples of a generator of images, a row per modality, and views of them."""
    from pidlab.encoders import Image
    from pidlab.generators import load_generator
    from pidlab.plots.parts import images_figure
    from pidlab.plots.style import FORMATS, save
    from pidlab.seeds import child

    if out.suffix.removeprefix(".") not in FORMATS:
        raise InvalidRequest(f"--out {out}: expected a name that ends in .{', .'.join(FORMATS)}")
    made = load_generator(generator)
    if not all(isinstance(m, Image) for m in made.modalities):
        raise InvalidRequest(f"{made.name} does not draw images: there is nothing to see")
    sample, other = made.sample(samples, seed, split), child(seed, "views")
    shown = [("", sample), *((policy, made.view(sample, policy, other)) for policy in views or ())]
    rows = [
        (f"$x_{m + 1}$ {policy}".strip(), drawn.x[m].numpy())
        for policy, drawn in shown
        for m in range(len(made.modalities))
    ]
    about = {
        "command": shlex.join(["pidlab", *sys.argv[1:]]),
        "generator": repr(made),
        "labels": {name: y.tolist() for name, y in sample.targets.items()},
    }
    try:
        save(images_figure(rows), out)
        out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    typer.echo(f"{out}, and how it was made in {out.with_suffix('.json')}")


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
    named = {Kind.gates: _info, Kind.measures: _info}
    entries = named.get(kind, _registered)(kind)
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
