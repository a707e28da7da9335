"""Finding what a package offers: its own modules are scanned, other packages bring entry points."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from pidlab.errors import InvalidRequest, nearest

T = TypeVar("T")


def scan(package: ModuleType, base: type) -> dict[str, type]:
    """Concrete subclasses of `base` defined in the modules of `package`, by their `name`.

    Classes that installed packages declare as entry points of the group `package.__name__` follow.
    """
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and issubclass(value, base) and "name" in vars(value) and not inspect.isabstract(value):
                found[value.name] = value
    for point in entry_points(group=package.__name__):
        found.setdefault(point.name, point.load())
    return dict(sorted(found.items()))


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """What `known` holds under `name`.

    Raises:
        InvalidRequest: nothing; the nearest name is offered.
    """
    if name not in known:
        raise InvalidRequest(f"unknown {kind} {name!r}: {nearest(name, known)}")
    return known[name]
