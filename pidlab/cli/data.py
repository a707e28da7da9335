"""Commands on generators and catalogs: `pidlab truth`, `generate`, `plant`, `picture` and `list`."""

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
    term_values,
)
from pidlab.cli.terminal import bits, console
from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.io import atomic_path, atomic_write, check_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from pidlab.generators import Generator
    from pidlab.generators.generator import Target

# Informations of two sources that are shown besides the terms.
PAIR = ("mi1", "mi2", "co_information")

# Samples in a picture.
MOST_PANELS = 64

GENERATED_SPLIT = "Distribution to draw from: train, or eval, whose truth is reported."
PLANTED_SPLIT = "Part of the rows: train, probe, validation, test, or eval (all but train)."


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

    parameters = term_values("truth", redundant, unique, unique1, unique2, synergy)
    made = load_generator(generator, **parameters)
    if made.truth.how == "unknown":
        raise InvalidRequest(f"{made.name} has no known truth: its distribution is given only by its rows")
    solved, note = _solve(made)
    if as_json:
        solver = {} if solved is None else {"solver": solved.to_dict()}
        bounds = {} if made.bounds is None else {"bounds": made.bounds}
        typer.echo(json.dumps(made.truth.to_dict() | bounds | solver, indent=2))
        if note:
            typer.echo(note, err=True)
        return
    screen = console()
    screen.print(_target_table(made))
    if not isinstance(made.truth, Decomposition):
        which = "each set" if len(made.modalities) <= 3 else "each set that has more than its subsets"
        screen.print(f"{made.truth.total:.6g} bits in all; columns: I(set;T) of {which} of modalities")
        return
    screen.print(_truth_table(made.truth, solved, made.bounds))
    if note:
        screen.print(note)


def _solve(made: "Generator") -> tuple[Decomposition | None, str]:
    """Return the solver's decomposition of the generator's joint law, or a note why there is none."""
    if not isinstance(made.truth, Decomposition):
        return None, "no solver's value: it decomposes the information of two modalities"
    if made.truth.how == "solver":
        return None, ""
    try:
        solved = made.solve()
    except InvalidRequest as error:
        return None, f"no solver's value: {error}"
    if solved is None:
        return None, f"no solver's value: {made.name} has no joint law of finitely many symbols"
    return solved, ""


def _target_table(made: "Generator") -> "Table":
    """Tabulate entropy and information of every target."""
    from rich.table import Table

    table = Table(
        title=f"{made.name}: information about Y, in bits ({made.truth.measure}, by {made.truth.how})",
        title_justify="left",
    )
    modalities = range(len(made.modalities))
    sets = [s for size in modalities for s in combinations(modalities, size + 1)]
    if len(modalities) > 3:  # too many columns: only sets that add to what their subsets have
        sets = [s for s in sets if any(_adds(target, s) for target in made.target_specs.values())]
    names = [",".join(f"X{m + 1}" for m in key) for key in sets]
    if len(modalities) == 2:
        names = [f"I({name};T)" for name in names]
    for column in ("target", "H(target)", *names):
        table.add_column(column, justify="left" if column == "target" else "right")
    for target in made.target_specs.values():
        low = target.low or {}
        values = [
            (f"{low[key]:.3g} to " if key in low else "") + f"{target.information[key]:.6g}" for key in sets
        ]
        table.add_row(target.name, f"{target.entropy:.6g}", *values)
    return table


def _adds(target: "Target", held: tuple[int, ...]) -> bool:
    """Return whether a set of modalities has more information than each set with one modality less."""
    fewer = [target.information[part] for part in combinations(held, len(held) - 1) if part]
    return target.information[held] > max(fewer, default=0.0) + 1e-12


def _truth_table(
    designed: Decomposition,
    solved: Decomposition | None,
    bounds: "Mapping[str, tuple[float, float]] | None" = None,
) -> "Table":
    """Tabulate the terms of the design, next to those of the solver and the bounds of the truth."""
    from rich.table import Table

    table = Table(title="Designed, and solved on the law", title_justify="left")
    table.add_column("bits")
    within = f", within {float(designed.gap):.0e}" if designed.gap else ""
    table.add_column(f"designed ({designed.how}{within})", justify="right")
    if solved is not None:
        table.add_column(f"solver (gap {float(solved.gap):.0e})", justify="right")
    if bounds is not None:
        table.add_column("bounds of the truth", justify="right")
    for name in (*designed.terms, "total", *PAIR):
        values = [float(getattr(one, name)) for one in (designed, solved) if one is not None]
        low, high = (bounds or {}).get(name, (None, None))
        known = [] if low is None or high is None else [f"{low:.3g} to {high:.3g}"]
        table.add_row(name, *(bits(value) for value in values), *known)
    return table


def generate(
    generator: Annotated[
        str, typer.Argument(metavar="GENERATOR", help='Such as factorcl or "atoms(unique1=0.5)".')
    ],
    samples: Annotated[int, typer.Option(help="Number of rows.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="File to write; it must not exist.")],
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    split: Annotated[str, typer.Option(help=GENERATED_SPLIT)] = "eval",
    as_json: AsJson = False,
) -> None:
    """Write samples with their truth to an .npz file: x1, x2, y, factors, truth, seed.

    [b]--generator "arrays('FILE.npz')"[/b] reads such files, or any with x1, x2 and y.
    """
    from pidlab.generators import load_generator

    write_samples(load_generator(generator), samples, out, seed, split, as_json)


def plant(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Feature banks x1, c1, x2, c2; or digits, those of scikit-learn."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="File to write; it must not exist.")],
    samples: Annotated[
        int | None,
        typer.Option(
            help="Number of pairs. Default: those of part test that share no row.", show_default=False
        ),
    ] = None,
    redundant: Redundant = None,
    unique: Unique = None,
    unique1: Unique1 = None,
    unique2: Unique2 = None,
    synergy: Synergy = None,
    law: Annotated[
        str | None, typer.Option(help="Generator of the symbols, such as \"gate('and')\". Default: atoms.")
    ] = None,
    split: Annotated[str, typer.Option(help=PLANTED_SPLIT)] = "train",
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    world: Annotated[int, typer.Option(help="Seed of the parts and of the classes of symbols.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Pair rows of feature banks so that their classes have planted information.

    The file has x1, x2, y, factors (symbols and row numbers), truth with its bounds, and seed. Parts of one
    world share no rows.
    """
    from pidlab.generators.planted import PlantedFeatures

    sizes = term_values("plant", redundant, unique, unique1, unique2, synergy)
    given = {} if law is None else {"law": law}
    made = PlantedFeatures(file, **sizes, **given, world=world)  # type: ignore[arg-type]
    write_samples(made, made.rows("test") if samples is None else samples, out, seed, split, as_json)


def write_samples(made: "Generator", samples: int, out: Path, seed: int, split: str, as_json: bool) -> None:
    """Write samples with their truth to an .npz file, and print the shapes of its arrays.

    Args:
        made: Generator to sample.
        samples: Number of rows.
        out: File to write; it must not exist.
        seed: Seed of the draw, 0 or more.
        split: Split to draw from.
        as_json: Print one JSON document.

    Raises:
        InvalidRequest: If a value is not possible or the file cannot be written.
    """
    import numpy as np

    from pidlab.generators.arrays import export_arrays

    if out.suffix != ".npz":
        raise InvalidRequest(f"--out {out}: expected a name that ends in .npz")
    if out.exists():
        raise InvalidRequest(f"--out {out}: the file exists; choose another name or remove it")
    if seed < 0:
        raise InvalidRequest(f"--seed {seed}: expected 0 or more")
    # Tensors and the arrays that are written from them.
    check_memory(f"--samples {samples}", 2 * samples * made.sample(1, seed, split).nbytes)
    exported = export_arrays(made, samples, seed, split)
    try:
        with atomic_write(out, "wb") as file:
            np.savez(file, **exported)  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    shapes = {name: list(array.shape) for name, array in exported.items() if array.ndim}
    if as_json:
        record = {"file": str(out), "arrays": shapes, "truth": json.loads(str(exported["truth"]))}
        typer.echo(json.dumps(record))
        return
    typer.echo(f"{out}: " + ", ".join(f"{name} {'x'.join(map(str, s))}" for name, s in shapes.items()))


def picture(
    generator: Annotated[
        str, typer.Argument(metavar="GENERATOR", help='One of images, such as "trifeature(size=64)".')
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="File to write: .png, .pdf or .svg.")],
    samples: Annotated[int, typer.Option(help="Number of samples, side by side.")] = 8,
    views: Annotated[
        list[str] | None, typer.Option(help="View policy to show below; repeat the option for several.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    split: Annotated[str, typer.Option(help="Distribution to draw from: train or eval.")] = "eval",
) -> None:
    """Draw a few samples of a generator of images, one row per modality, and views of them."""
    from pidlab.encoders import Image
    from pidlab.generators import load_generator
    from pidlab.plots.drawing import images_figure
    from pidlab.plots.style import FORMATS, save
    from pidlab.seeds import child

    if out.suffix.removeprefix(".") not in FORMATS:
        raise InvalidRequest(f"--out {out}: expected a name that ends in .{', .'.join(FORMATS)}")
    if samples > MOST_PANELS:
        raise InvalidRequest(f"--samples {samples}: expected {MOST_PANELS} or fewer, one panel each")
    made = load_generator(generator)
    if not all(isinstance(m, Image) for m in made.modalities):
        raise InvalidRequest(f"{made.name} does not draw images: there is nothing to show")
    sample, view_seed = made.sample(samples, seed, split), child(seed, "views")
    shown = [("", sample), *((policy, made.view(sample, policy, view_seed)) for policy in views or ())]
    rows = [
        (f"$x_{m + 1}$ {policy}".strip(), drawn.x[m].numpy())
        for policy, drawn in shown
        for m in range(len(made.modalities))
    ]
    record = {
        "command": shlex.join(["pidlab", *sys.argv[1:]]),
        "generator": repr(made),
        "labels": {name: y.tolist() for name, y in sample.targets.items()},
    }
    try:
        with atomic_path(out) as partial:
            save(images_figure(rows), partial)
        with atomic_write(out.with_suffix(".json")) as file:
            file.write(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise InvalidRequest(f"cannot write {out} ({error.strerror}): choose another --out") from None
    typer.echo(f"{out}, and its provenance in {out.with_suffix('.json')}")


class Kind(StrEnum):
    """Kinds of things that can be listed."""

    objectives = "objectives"
    generators = "generators"
    gates = "gates"
    measures = "measures"


def catalogue(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: AsJson = False,
) -> None:
    """List objectives or generators with their parameters, gates, or measures."""
    entries = {Kind.gates: _gates, Kind.measures: _measures}.get(
        kind, _objectives if kind is Kind.objectives else _generators
    )()
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        parameters = entry.get("parameters", {})
        optional = (f"{key}={value!r}" for key, value in parameters.items())
        arguments = ", ".join([*entry.get("required", []), *optional])
        typer.secho(entry["name"], bold=True, nl=False)
        typer.echo(f"({arguments})" if arguments else "")
        typer.echo(f"    {entry['about']}")


def _objectives() -> list[dict[str, Any]]:
    from pidlab.objectives import objectives

    return _describe_all(objectives())


def _generators() -> list[dict[str, Any]]:
    from pidlab.generators import generators

    return _describe_all(generators())


def _describe_all(catalog: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """Describe every registered class; report plug-ins that cannot be loaded on stderr."""
    for name, why in getattr(catalog, "failures", {}).items():
        typer.echo(f"warning: the plug-in {name!r} cannot be loaded: {why}", err=True)
    return [_describe(name, cls) for name, cls in catalog.items()]


def _describe(name: str, cls: Any) -> dict[str, Any]:
    """Return the first line of a class's docstring, its parameters with their defaults, and required ones."""
    import inspect

    try:
        taken = inspect.signature(cls).parameters.items()
    except (TypeError, ValueError):  # a plug-in may be any callable
        taken = ()
    default = {key: p.default for key, p in taken if key not in ("encoders", "world")}
    required = [key for key, value in default.items() if value is inspect.Parameter.empty]
    parameters = {key: value for key, value in default.items() if key not in required}
    about = (inspect.getdoc(cls) or "").split("\n")[0]
    return {"name": name, "about": about, "parameters": parameters} | (
        {"required": required} if required else {}
    )


def _gates() -> list[dict[str, Any]]:
    from pidlab.info import gates

    return [{"name": name, "about": about} for name, about in gates().items()]


def _measures() -> list[dict[str, Any]]:
    from pidlab.info import MEASURES

    return [
        {
            "name": name,
            "about": f"{measure.definition}; {measure.properties} ({measure.source})",
            "nonnegative": measure.nonnegative,
            "additive": measure.additive,
        }
        for name, measure in MEASURES.items()
    ]
