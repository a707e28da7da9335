"""Options that several commands share, and how bits per term are read from them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pidlab.errors import InvalidRequest
from pidlab.sweeps.ask import spread

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Engine

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
    from pidlab.sweeps.engine import Local

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
