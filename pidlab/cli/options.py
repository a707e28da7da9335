"""Options that several commands share, and how bits per term are read from them."""

from typing import Annotated

import typer

from pidlab.sweeps.ask import spread

AXIS = "A number, a range [b]0..1[/b] or [b]0..1:5[/b], or a list [b]0,0.25,1[/b]."
BITS = "Bits of the four terms"

Redundant = Annotated[
    str | None, typer.Option(metavar="AXIS", help=f"Bits in both modalities. {AXIS}", rich_help_panel=BITS)
]
Unique = Annotated[
    str | None,
    typer.Option(
        metavar="AXIS", help="Bits in one modality only; sets both unique terms.", rich_help_panel=BITS
    ),
]
Unique1 = Annotated[
    str | None, typer.Option(metavar="AXIS", help="Bits in the first only.", rich_help_panel=BITS)
]
Unique2 = Annotated[
    str | None, typer.Option(metavar="AXIS", help="Bits in the second only.", rich_help_panel=BITS)
]
Synergy = Annotated[
    str | None, typer.Option(metavar="AXIS", help="Bits in neither alone.", rich_help_panel=BITS)
]
GeneratorOption = Annotated[
    str, typer.Option("--generator", metavar="G", help='Where the data come from: atoms, "atoms(noise=0.1)".')
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else there.")]


def asked_bits(
    redundant: str | None, unique: str | None, unique1: str | None, unique2: str | None, synergy: str | None
) -> dict[tuple[str, ...], str]:
    """The axis texts that were given, by the terms they set; `--unique1/2` override `--unique`."""
    given = {
        "redundant": redundant,
        "unique": unique,
        "unique1": unique1,
        "unique2": unique2,
        "synergy": synergy,
    }
    return dict(spread((name, text) for name, text in given.items() if text is not None))
