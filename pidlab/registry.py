"""References such as ``comm(temperature=0.1)``, and discovery of the classes that they name.

A reference is a name with optional literal arguments. Names are resolved among the classes of a package's own
modules and the entry points of installed packages (plug-ins).
"""

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

T = TypeVar("T")

_FORM = re.compile(r"\s*(?P<name>[^()]+?)\s*(?:\((?P<arguments>.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A name with literal arguments, such as ``comm(temperature=0.1)`` or ``gate('and')``.

    Args:
        name: Name of a generator, an objective or another object.
        arguments: Keyword arguments.
        positional: Positional arguments.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    positional: tuple[Any, ...] = ()

    def __str__(self) -> str:
        named = [f"{key}={_spelling(value)}" for key, value in sorted(self.arguments.items())]
        inner = ", ".join([*map(_spelling, self.positional), *named])
        return f"{self.name}({inner})" if inner else self.name

    def bind(self, parameters: Sequence[str]) -> dict[str, Any]:
        """Assign all arguments to parameters.

        Args:
            parameters: Names of the parameters, in the order of positional arguments.

        Returns:
            Arguments by parameter.

        Raises:
            InvalidRequest: If an argument matches no parameter, or two match one.

        Example:
            >>> parse("gate('and', noise=0.1)").bind(["pmf", "noise"])
            {'pmf': 'and', 'noise': 0.1}
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


@lru_cache(maxsize=256)  # a sweep reads its references once per run
def parse(text: str) -> Reference:
    """Parse a reference; arguments are literals and are never evaluated.

    Args:
        text: The reference as the user writes it.

    Returns:
        The reference.

    Raises:
        InvalidRequest: If the text is not a name with optional literal arguments.

    Example:
        >>> str(parse(" comm( temperature = 0.1 ) "))
        'comm(temperature=0.1)'
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
            raise ValueError("** is not an argument")
        if len({k.arg for k in call.keywords}) < len(call.keywords):
            raise ValueError("repeated argument")
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        positional = tuple(ast.literal_eval(value) for value in call.args)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InvalidRequest(
            f"cannot read the arguments of {text!r}: expected plain values, such as comm(temperature=0.1)"
        ) from None
    if not _is_finite([*named.values(), *positional]):
        raise InvalidRequest(f"{text!r}: an argument is not a finite number; choose a smaller one")
    return Reference(match["name"], named, positional)


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return the entry of a name.

    Args:
        kind: What the name is of, for the message.
        name: The name.
        known: Entries by name.

    Returns:
        The entry.

    Raises:
        InvalidRequest: If the name is unknown; the message suggests the nearest name.

    Example:
        >>> look_up("gate", "xor", {"xor": 1})
        1
    """
    if name not in known:
        raise InvalidRequest(f"unknown {kind} {name!r}: {nearest(name, known)}")
    return known[name]


def scan(package: ModuleType, base: type) -> dict[str, type]:
    """Collect the concrete subclasses of `base` by their `name`.

    Args:
        package: Package whose modules are imported; its name is also the group of the entry points through
            which installed packages register classes.
        base: Base class.

    Returns:
        Classes by name, in alphabetical order; the package's own classes take precedence.
    """
    classes: dict[str, type] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            # Classes that the module only imports belong to the module that defines them.
            is_defined_here = isinstance(value, type) and value.__module__ == module.__name__
            if not is_defined_here or not issubclass(value, base) or inspect.isabstract(value):
                continue
            if "name" in vars(value):
                classes[value.name] = value
    for point in entry_points(group=package.__name__):
        classes.setdefault(point.name, point.load())
    return dict(sorted(classes.items()))
