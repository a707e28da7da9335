"""`pidlab picture`: samples of a generator of images, to look at."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pidlab.errors import InvalidRequest


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
    from pidlab.generators import load_generator
    from pidlab.modality import Image
    from pidlab.plots.images import images_figure
    from pidlab.plots.save import FORMATS, save
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
