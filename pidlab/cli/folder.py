"""The folder of a sweep, as commands that only read take it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pidlab.sweeps.store import Store

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
