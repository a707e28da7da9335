"""`pidlab truth`: the decomposition that a generator is designed to have, beside the solver's."""

import json
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
from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest

if TYPE_CHECKING:
    from pidlab.generators import Generator


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
    for column in ("target", "H(target)", "I(X1;T)", "I(X2;T)", "I(X1,X2;T)"):
        table.add_column(column, justify="left" if column == "target" else "right")
    for target in made.targets.values():
        known = (target.entropy, *(target.information[key] for key in ((0,), (1,), (0, 1))))
        table.add_row(target.name, *(f"{bits:.6g}" for bits in known))
    console = Console()
    console.print(table)
    names = (*TERMS, "total", "mi1", "mi2", "co_information")
    table = Table(title="Designed, and solved on the law", title_justify="left")
    table.add_column("bits")
    table.add_column(f"designed ({found.how})", justify="right")
    if solved is not None:
        table.add_column(f"solver (gap {float(solved.gap):.0e})", justify="right")
    for name in names:
        values = [float(getattr(known, name)) for known in (found, solved) if known is not None]
        table.add_row(name, *(bits(value) for value in values))
    console.print(table)
    if note:
        console.print(note, highlight=False)


def _solved(made: "Generator") -> tuple[Decomposition | None, str]:
    """The solver's decomposition of the generator's joint law, or a word on why there is none."""
    if made.truth.how == "solver":
        return None, ""
    try:
        found = made.solved()
    except InvalidRequest as error:
        return None, f"no solver's value: {error}"
    if found is None:
        return None, f"no solver's value: {made.name} has no joint law of finitely many symbols"
    return found, ""
