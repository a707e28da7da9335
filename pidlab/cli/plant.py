"""`pidlab plant`: paired rows of feature banks, with planted information, for other frameworks."""

from pathlib import Path
from typing import Annotated

import typer

from pidlab.cli.data import write_samples
from pidlab.cli.options import AsJson, Redundant, Synergy, Unique, Unique1, Unique2, term_values

PLANTED_SPLIT = "Part of the rows: train, probe, validation, test, or eval (all but train)."


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
