"""What commands that show results share: folders, and what is chosen of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pidlab.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

Folders = Annotated[
    list[Path],
    typer.Argument(metavar="DIR...", help="Folders of sweeps, shown together.", show_default=False),
]
Readout = Annotated[str | None, typer.Option(metavar="Z", help="Which readout. Default: z12.")]
Objectives = Annotated[
    list[str] | None, typer.Option("--objective", metavar="O", help="Only these, in this order; repeatable.")
]
Terms = Annotated[
    list[str] | None,
    typer.Option(
        "--term", metavar="T", help="Only these, in this order; repeatable. Also such as nuisance:1."
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="NAME=VALUE", help="Only points of this value; repeatable."),
]


def values_of(pairs: list[str] | None, option: str = "--at") -> dict[str, str]:
    """NAME=VALUE pairs by name."""
    found: dict[str, str] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise InvalidRequest(f"{option} {pair!r}: expected NAME=VALUE, such as unique1=0.5")
        if name.strip() in found:
            raise InvalidRequest(f"{option} {name.strip()} is given twice: give each name once")
        found[name.strip()] = value.strip()
    return found


def read_together(directories: list[Path]) -> tuple["pd.DataFrame", list[list[str]]]:
    """The rows of all folders, and the directions they vary along."""
    from pidlab.results import directions_together, read, together

    found = [read(directory) for directory in directories]
    return together(found), directions_together(found)
