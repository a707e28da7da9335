"""Options and arguments that several commands share."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pidlab.errors import InvalidRequest
from pidlab.sweeps.axes import spread

if TYPE_CHECKING:
    import pandas as pd

    from pidlab.sweeps.store import Store


AXIS = "A number, a range [b]0..1[/b] or [b]0..1:5[/b], or a list [b]0,0.25,1[/b]."


def registered_names(package: str) -> list[str]:
    """Return the names that `pidlab.PACKAGE` and installed plug-ins register, without importing torch.

    Args:
        package: objectives or generators.
    """
    from importlib.metadata import entry_points

    folder = Path(__file__).parents[1] / package
    # The file of the interface is named in the singular, and defines nothing that is registered.
    paths = (path for path in folder.glob("*.py") if path.stem != package.removesuffix("s"))
    texts = (path.read_text(encoding="utf-8") for path in paths)
    names = {name for text in texts for name in re.findall(r'^    name(?:: [^=]+)? = "([^"]+)"', text, re.M)}
    return sorted(names | {point.name for point in entry_points(group=f"pidlab.{package}")})


def _complete_generator(incomplete: str) -> list[str]:
    return [name for name in registered_names("generators") if name.startswith(incomplete)]


def _bits(help_: str) -> Any:
    return typer.Option(metavar="AXIS", help=help_, rich_help_panel="Information of the four terms, in bits")


Redundant = Annotated[str | None, _bits(f"Bits in both modalities. {AXIS}")]
Unique = Annotated[str | None, _bits("Bits in one modality only; sets both unique terms.")]
Unique1 = Annotated[str | None, _bits("Bits in the first modality only.")]
Unique2 = Annotated[str | None, _bits("Bits in the second modality only.")]
Synergy = Annotated[str | None, _bits("Bits in neither modality alone.")]
GeneratorOption = Annotated[
    str,
    typer.Option(
        "--generator",
        metavar="G",
        help='Generator of the data: atoms, "atoms(noise=0.1)".',
        autocompletion=_complete_generator,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


class EngineName(StrEnum):
    """Engines that train cohorts."""

    local = "local"
    dask = "dask"


MACHINES = "Machines"
EngineOption = Annotated[
    EngineName | None,
    typer.Option(
        "--engine",
        help="Train on this machine (local) or on the workers of a Dask scheduler. Default: local; dask with "
        "--scheduler.",
        rich_help_panel=MACHINES,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of worker processes on this machine, with one thread each; 1: this process. Results do "
        "not depend on N. Default: one per core, fewer for short sweeps.",
        rich_help_panel=MACHINES,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Running Dask scheduler: tcp://HOST:8786, or its file.",
        rich_help_panel=MACHINES,
    ),
]
# Accepted because older versions had it; only the value 1 is left.
Threads = Annotated[int | None, typer.Option(hidden=True)]


def vary_axes(vary: list[str] | None, form: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the axes of `--vary` as parameter names and text.

    Args:
        vary: NAME=AXIS texts.
        form: The expected form, for error messages.

    Raises:
        InvalidRequest: If a text has no name or no `=`.
    """
    axes: list[tuple[str, str]] = []
    for text in vary or []:
        name, equals, values = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"--vary {text!r}: expected {form}")
        axes.append((name, values))
    return spread(axes)


def term_axes(
    redundant: str | None, unique: str | None, unique1: str | None, unique2: str | None, synergy: str | None
) -> dict[tuple[str, ...], str]:
    """Return the text of every axis that is given, by the terms that it sets."""
    axes = {
        "redundant": redundant,
        "unique": unique,
        "unique1": unique1,
        "unique2": unique2,
        "synergy": synergy,
    }
    return dict(spread((name, text) for name, text in axes.items() if text is not None))


def term_values(command: str, *terms: str | None) -> dict[str, float]:
    """Return the number of every term that is given, for a command that takes no ranges.

    Args:
        command: Name of the command.
        terms: Arguments of `term_axes`, in their order.

    Raises:
        InvalidRequest: If a term has several numbers.
    """
    from pidlab import defaults
    from pidlab.sweeps.axes import parse_axis

    values: dict[str, float] = {}
    for names, text in term_axes(*terms).items():
        shown = " and ".join(names)
        value, *others = parse_axis(shown, text, defaults.RANGE_POINTS)
        if others:
            raise InvalidRequest(f"{shown} {text!r}: {command} takes one number; ranges are for sweep")
        values |= dict.fromkeys(names, value)
    return values


Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR...", help="Folders of sweeps; several are shown together.", show_default=False
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.", show_default=False)]
Readout = Annotated[str | None, typer.Option(metavar="Z", help="Readout to show. Default: z12.")]
Objectives = Annotated[
    list[str] | None,
    typer.Option("--objective", metavar="O", help="Objective to show; repeat for several, in this order."),
]
Probes = Annotated[
    list[str] | None,
    typer.Option(
        "--probe",
        metavar="P",
        help="Probe to show: best (on validation rows), linear, mlp, pair or experts; repeat for several, "
        "side by side. Default: best.",
    ),
]
Terms = Annotated[
    list[str] | None,
    typer.Option(
        "--term",
        metavar="T",
        help="Term, or auxiliary target such as nuisance:1, to show; repeat for several, in this order.",
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="NAME=VALUE", help="Show only points with this parameter value; repeat for several."
    ),
]


def values_of(pairs: list[str] | None, option: str = "--at") -> dict[str, str]:
    """Parse NAME=VALUE texts into a dictionary.

    Raises:
        InvalidRequest: If a text has another form, or a name is given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise InvalidRequest(f"{option} {pair!r}: expected NAME=VALUE, such as unique1=0.5")
        if name.strip() in values:
            raise InvalidRequest(f"{option} {name.strip()} is given twice: give each name once")
        values[name.strip()] = value.strip()
    return values


def read_together(directories: list[Path]) -> tuple["pd.DataFrame", list[list[str]]]:
    """Read several sweeps; return their rows and the groups of columns that change together.

    Sweeps that were interrupted are read as far as they are finished, with a note.
    """
    from pidlab.results.folder import merge_axis_groups, merge_results, read_sweep

    parts = [read_sweep(directory) for directory in directories]
    for part in parts:
        if unfinished := part.record.get("unfinished"):
            typer.echo(f"note: {part.directory}: {unfinished} runs are not finished", err=True)
    return merge_results(parts), merge_axis_groups(parts)


@contextmanager
def reading(directory: Path) -> Generator["Store"]:
    """Open the store of a sweep for reading, also while the sweep runs."""
    from pidlab.sweeps.store import Store

    store = Store(directory / "results.sqlite", reading=True)
    try:
        yield store
    finally:
        store.close()
