"""The folder of a sweep, as commands that only read take it."""

from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pidlab.errors import InvalidRequest
from pidlab.sweeps.axes import spread

if TYPE_CHECKING:
    import pandas as pd

    from pidlab.sweeps.execute import Engine
    from pidlab.sweeps.store import Store


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

MACHINES = "Machines"


class EngineName(StrEnum):
    """What can train cohorts."""

    local = "local"
    dask = "dask"


EngineOption = Annotated[
    EngineName | None,
    typer.Option(
        "--engine",
        help="Where cohorts are trained: in this process, or by workers of Dask. Default: local, dask "
        "where --workers or --scheduler is given.",
        rich_help_panel=MACHINES,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Worker processes on this machine, one thread each. Default: one for each core.",
        rich_help_panel=MACHINES,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Dask scheduler of your own: tcp://HOST:8786, or its file.",
        rich_help_panel=MACHINES,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads to compute with, here or in every worker. Default: what torch chooses.",
        rich_help_panel=MACHINES,
    ),
]


def chosen_engine(
    name: EngineName | None, workers: int | None, scheduler: str | None, threads: int | None
) -> "Engine":
    """The engine that these options ask for."""
    if threads is not None and threads < 1:
        raise InvalidRequest(f"--threads {threads}: expected 1 or more")
    elsewhere = workers is not None or scheduler is not None
    if name is EngineName.dask or (name is None and elsewhere):
        from pidlab.sweeps.cluster import Dask

        return Dask(workers, scheduler, threads)
    if elsewhere:
        raise InvalidRequest("--workers and --scheduler are of Dask: leave --engine local out")
    from pidlab.sweeps.execute import Local

    return Local(threads)


def asked_axes(vary: list[str] | None, form: str) -> list[tuple[tuple[str, ...], str]]:
    """The axes after `--vary`; `form` says how they are written, for those that are not."""
    axes = []
    for text in vary or []:
        name, equals, values = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"--vary {text!r}: expected {form}")
        axes.append(((name,), values))
    return axes


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
    from pidlab.results.folder import merge_axis_groups, merge_results, read_results

    found = [read_results(directory) for directory in directories]
    return merge_results(found), merge_axis_groups(found)


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.", show_default=False)]


@contextmanager
def reading(directory: Path) -> Generator["Store"]:
    """Opens a sweep's results without touching them, also while it runs."""
    from pidlab.sweeps.store import Store

    store = Store(directory / "results.sqlite", reading=True)
    try:
        yield store
    finally:
        store.close()
