"""Finding what a package offers: its own modules are scanned, other packages bring entry points."""

import ast
import cmath
import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from pidlab.errors import InvalidRequest, nearest

_FORM = re.compile(r"\s*(?P<name>[^()]+?)\s*(?:\((?P<arguments>.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A name with arguments, as a user writes it: `comm(temperature=0.1)`, `gate('and')`."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    positional: tuple[Any, ...] = ()

    def __str__(self) -> str:
        named = [f"{key}={_spelling(value)}" for key, value in sorted(self.arguments.items())]
        inner = ", ".join([*map(_spelling, self.positional), *named])
        return f"{self.name}({inner})" if inner else self.name

    def bind(self, parameters: Sequence[str]) -> dict[str, Any]:
        """All arguments by name, those without one taken in the order of `parameters`.

        Raises:
            InvalidRequest: an argument that no parameter takes, or two for one.
        """
        if len(self.positional) > len(parameters):
            raise InvalidRequest(f"{self}: {self.name} takes at most {len(parameters)} arguments")
        bound = dict(zip(parameters, self.positional, strict=False))
        for key, value in self.arguments.items():
            if key not in parameters:
                hint = nearest(key, parameters) if parameters else "it takes none"
                raise InvalidRequest(f"{self.name} has no argument {key!r}: {hint}")
            if key in bound:
                raise InvalidRequest(f"{self}: {key} is given twice")
            bound[key] = value
        return bound


def _spelling(value: Any) -> str:
    """Return the one spelling of a literal; the order of a set depends on the process."""
    match value:
        case set():
            return "{" + ", ".join(sorted(map(_spelling, value))) + "}" if value else "set()"
        case list():
            return "[" + ", ".join(map(_spelling, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(_spelling, value)) + ("," if len(value) == 1 else "") + ")"
        case dict():
            return "{" + ", ".join(f"{_spelling(k)}: {_spelling(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def _is_finite(value: Any) -> bool:
    match value:
        case float() | complex():
            return cmath.isfinite(value)
        case list() | tuple() | set():
            return all(map(_is_finite, value))
        case dict():
            return all(_is_finite(part) for item in value.items() for part in item)
        case _:
            return True


@lru_cache(maxsize=256)  # a sweep reads its references once for every run
def parse(text: str) -> Reference:
    """Reads a reference.

    Raises:
        InvalidRequest: the text is not of that form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"cannot read {text!r}: expected a name or name(key=value)")
    arguments = match["arguments"]
    if arguments is None or not arguments.strip():
        return Reference(match["name"])
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "f":
            raise ValueError("more than one call")
        if any(k.arg is None for k in call.keywords):
            raise ValueError("** is no argument")
        if len({k.arg for k in call.keywords}) < len(call.keywords):
            raise ValueError("an argument twice")
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        positional = tuple(ast.literal_eval(value) for value in call.args)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InvalidRequest(
            f"cannot read the arguments of {text!r}: expected plain values, such as comm(temperature=0.1)"
        ) from None
    if not _is_finite([*named.values(), *positional]):
        raise InvalidRequest(f"{text!r}: an argument is not a finite number; choose a smaller one")
    return Reference(match["name"], named, positional)


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
