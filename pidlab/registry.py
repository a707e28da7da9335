"""References such as ``comm(temperature=0.1)``, and discovery of the classes that they name.

A reference is a name with optional literal arguments. Names are resolved among the classes of a package's own
modules and the entry points of installed packages (plug-ins).
"""

import ast
import copy
import importlib
import inspect
import math
import pkgutil
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from pidlab.errors import InvalidRequest, nearest, reason, shorten

T = TypeVar("T")

# Suffixes of files that the generator `arrays` reads.
DATA_SUFFIXES = (".npz", ".npy", ".parquet", ".pt", ".pth", ".mat", ".safetensors")


class Reference:
    """A name with literal arguments, such as ``comm(temperature=0.1)`` or ``gate('and')``.

    A reference is immutable: arguments are copied when it is created and whenever they are read. References
    are equal if their spellings (``str(reference)``) are equal.

    Args:
        name: Name of a generator, an objective or another object.
        arguments: Keyword arguments.
        positional: Positional arguments.

    Raises:
        InvalidRequest: If an argument is not a finite number, string, boolean, None, or a list, tuple or
            dictionary of these.

    Example:
        >>> Reference("comm", {"temperature": 0.1, "heads": {"b": 1, "a": 2}})
        Reference("comm(heads={'a': 2, 'b': 1}, temperature=0.1)")
    """

    def __init__(
        self, name: str, arguments: Mapping[str, Any] | None = None, positional: Sequence[Any] = ()
    ) -> None:
        self._name = name
        self._arguments = {k: _canonical(name, v) for k, v in sorted((arguments or {}).items())}
        self._positional = tuple(_canonical(name, value) for value in positional)
        named = (f"{key}={value!r}" for key, value in self._arguments.items())
        inner = ", ".join([*map(repr, self._positional), *named])
        self._spelling = f"{name}({inner})" if inner else name

    @property
    def name(self) -> str:
        """Name without arguments."""
        return self._name

    @property
    def arguments(self) -> dict[str, Any]:
        """Copy of the keyword arguments, in alphabetical order."""
        return copy.deepcopy(self._arguments)

    @property
    def positional(self) -> tuple[Any, ...]:
        """Copy of the positional arguments."""
        return copy.deepcopy(self._positional)

    def __str__(self) -> str:
        return self._spelling

    def __repr__(self) -> str:
        return f"Reference({self._spelling!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._spelling == other._spelling

    def __hash__(self) -> int:
        return hash(self._spelling)

    def bind(self, parameters: Sequence[str]) -> dict[str, Any]:
        """Assign copies of all arguments to parameters.

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
        if len(self._positional) > len(parameters):
            raise InvalidRequest(f"{shorten(self)}: {self.name} takes at most {len(parameters)} arguments")
        bound = dict(zip(parameters, self.positional, strict=False))
        for key, value in self.arguments.items():
            if key not in parameters:
                hint = nearest(key, parameters) if parameters else "it takes none"
                raise InvalidRequest(f"{self.name} has no argument {key!r}: {hint}")
            if key in bound:
                raise InvalidRequest(f"{shorten(self)}: {key} is given twice")
            bound[key] = value
        return bound


def _canonical(name: str, value: Any) -> Any:
    """Copy a literal, with the keys of dictionaries in one order."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest(f"{name}: the argument {value} is not a finite number; use a smaller one")
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_canonical(name, item) for item in value)
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: repr(item[0]))
        return {_canonical(name, key): _canonical(name, item) for key, item in items}
    # The order of a set, and therefore its spelling, differs from process to process.
    hint = (
        "use a list" if isinstance(value, (set, frozenset)) else "use numbers, strings, lists or dictionaries"
    )
    raise InvalidRequest(f"{name}: the argument {shorten(repr(value))} is a {type(value).__name__}; {hint}")


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
    if not isinstance(text, str):
        raise InvalidRequest(
            f"cannot read {shorten(repr(text))}: expected text such as 'atoms' or 'comm(temperature=0.1)'"
        )
    stripped = text.strip()
    name, parenthesis, rest = stripped.partition("(")
    name = name.strip()
    if not name or ")" in name or (parenthesis and not rest.endswith(")")):
        raise InvalidRequest(f"cannot read {shorten(repr(text))}: expected a name or name(key=value)")
    if not rest[:-1].strip():
        return Reference(name)
    try:
        with warnings.catch_warnings():
            # Python warns of spellings such as '\\d' and 1if; whether they are literals is decided below.
            warnings.simplefilter("ignore")
            call = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("more than one call")
        if any(k.arg is None for k in call.keywords):
            raise ValueError("** is not an argument")
        if len({k.arg for k in call.keywords}) < len(call.keywords):
            raise ValueError("repeated argument")
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        positional = tuple(ast.literal_eval(value) for value in call.args)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InvalidRequest(
            f"cannot read the arguments of {shorten(repr(text))}: expected plain values, such as "
            "comm(temperature=0.1)"
        ) from None
    return Reference(name, named, positional)


class Catalog(dict[str, type]):
    """Registered classes by name, with the plug-ins that could not be loaded.

    Args:
        classes: Classes by name.
        failures: Reason of each failure, by name of the plug-in.
    """

    def __init__(self, classes: Mapping[str, type], failures: Mapping[str, str]) -> None:
        super().__init__(classes)
        self.failures = dict(failures)


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
    if name in known:
        return known[name]
    failures: Mapping[str, str] = getattr(known, "failures", {})
    if name in failures:
        raise InvalidRequest(f"the plug-in of {kind} {name!r} cannot be loaded: {failures[name]}")
    raise InvalidRequest(f"unknown {kind} {shorten(repr(name))}: {_hint(kind, name, known)}")


def _hint(kind: str, name: str, known: Mapping[str, Any]) -> str:
    """Return how to correct an unknown name; names of files need another spelling."""
    path = Path(name)
    if kind == "objective" and "," in name:
        return "name one objective, and repeat the option for the next"
    if kind == "objective" and path.suffix == ".py":
        return f"name the class in the file; write {name}:{_first_class(path)}"
    if kind == "generator" and path.suffix == ".csv":
        return f"write gate({name!r}) for a table of probabilities or arrays({name!r}) for rows of data"
    if kind == "generator" and path.suffix in DATA_SUFFIXES:
        return f"write arrays({name!r})"
    return nearest(name, known)


def _first_class(path: Path) -> str:
    """Return the name of the first class or function of a file; MyLoss if it has none."""
    try:
        statements = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, MemoryError, RecursionError):
        statements = []
    classes = [s.name for s in statements if isinstance(s, ast.ClassDef)]
    functions = [s.name for s in statements if isinstance(s, ast.FunctionDef)]
    return next(iter([*classes, *functions]), "MyLoss")


def scan(package: ModuleType, base: type) -> Catalog:
    """Collect the concrete subclasses of `base` by their `name`.

    Args:
        package: Package whose modules are imported; its name is also the group of the entry points through
            which installed packages register classes.
        base: Base class.

    Returns:
        Classes by name, in alphabetical order; the package's own classes take precedence. A plug-in that
        cannot be loaded is listed in ``failures`` and does not affect the others.
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
    failures: dict[str, str] = {}
    for point in entry_points(group=package.__name__):
        if point.name in classes:
            continue
        try:
            plug_in: Any = point.load()
            if not callable(plug_in):
                raise TypeError(f"{point.value} is not a class")
            classes[point.name] = cast(type, plug_in)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may even call sys.exit
            failures[point.name] = reason(error).splitlines()[0]
    return Catalog(dict(sorted(classes.items())), failures)
