"""`pidlab truth`: the decomposition that a generator is designed to have, beside the solver's."""

import json
from itertools import combinations
from typing import TYPE_CHECKING

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
    asked_bits,
)
from pidlab.cli.show import bits
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

    given = asked_bits(redundant, unique, unique1, unique2, synergy)
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
