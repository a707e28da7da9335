"""`pidlab truth`: the decomposition that a generator is designed to have."""

import json

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
from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest


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
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
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
    for name in (*TERMS, "total", "mi1", "mi2", "co_information"):
        console.print(f"  {name:<15} {float(getattr(found, name)):.6g}", highlight=False)
