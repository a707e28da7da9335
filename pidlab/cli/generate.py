"""`pidlab generate`: a generator's samples as arrays."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pidlab.cli.options import AsJson
from pidlab.errors import InvalidRequest


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
    from pidlab.generators.export import arrays

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
