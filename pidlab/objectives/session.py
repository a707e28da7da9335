"""Objectives that exist only in the running session: classes and functions of a script or a notebook."""

import ast
import builtins
import hashlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import CodeType, ModuleType
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.objectives.source import FILE_MODULE

# Classes and functions of the running session by reference: what `__main__` or a notebook defines.
_session: dict[str, Any] = {}


def is_session_defined(name: str) -> bool:
    """Return whether the name exists only in this process (see `register`)."""
    return name in _session


def session_objective(name: str) -> Any:
    """Return what was registered under the name."""
    return _session[name]


def register(objective: Any) -> str:
    """Make a class or callable of the running session loadable by name, and return the name.

    A later definition of the same name replaces the earlier one; its digest differs if its code does.

    Args:
        objective: A class, a function, a `functools.partial` or an instance.

    Raises:
        InvalidRequest: If its source code cannot be read.
    """
    digest = session_digest(objective)
    target = objective.func if isinstance(objective, partial) else objective
    named = target if hasattr(target, "__qualname__") else type(target)
    name = f"{named.__module__}:{named.__qualname__.replace('<locals>.', '').replace('<lambda>', 'lambda')}"
    has_name = inspect.isclass(objective) or inspect.isfunction(objective)
    if not has_name or name.endswith("lambda"):
        name = f"{name}-{digest[:6]}"  # two lambdas, or two settings of one callable, need two names
    _session[name] = objective
    return name


def adopt(objectives: Mapping[str, Any]) -> None:
    """Make objectives of another process's session loadable in this one.

    Args:
        objectives: What was registered there, by name.
    """
    _session.update(objectives)


def session_digest(objective: Any) -> str:
    """Return a digest of a class or callable that has no file: its source and the values it refers to.

    Args:
        objective: A class, a function, a `functools.partial` or an instance.

    Returns:
        16 hexadecimal digits of a SHA-256.

    Raises:
        InvalidRequest: If its source code cannot be read.
    """
    return hashlib.sha256("\n".join(_described(objective, set())).encode()).hexdigest()[:16]


def _described(value: Any, seen: set[int]) -> Generator[str]:
    """Yield texts that identify code and the values it refers to, each object once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, partial):
        yield from _described(value.func, seen)
        yield repr((value.args, sorted(value.keywords.items())))
    elif inspect.isclass(value) or inspect.isroutine(value):
        if _is_importable(value):
            yield f"{value.__module__}.{value.__qualname__}"
            return
        yield _source_text(value)
        functions = vars(value).values() if inspect.isclass(value) else [value]
        for function in functions:
            if inspect.isfunction(function):
                yield from _referenced(function, seen)
    elif isinstance(value, ModuleType):
        yield value.__name__
    elif callable(value):
        yield from _described(type(value), seen)
        yield repr(value)
    else:
        yield repr(value)


def _referenced(function: Any, seen: set[int]) -> Generator[str]:
    """Yield descriptions of the defaults, closure values and globals that a function refers to."""
    yield repr((function.__defaults__, sorted((function.__kwdefaults__ or {}).items())))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # a name that is not assigned yet
            continue
        yield name
        yield from _described(content, seen)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name, builtins)
        plain = isinstance(value, (bool, int, float, str, tuple, type(None)))
        code = (inspect.isclass(value) or inspect.isfunction(value)) and not _is_importable(value)
        if plain or code:
            yield name
            yield from _described(value, seen)


def _names(code: CodeType) -> set[str]:
    """Return the global names of a function and of the functions inside it."""
    inner = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*inner)


def _source_text(value: Any) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        text = _text_of_cell(value)
        if text is None:
            name = getattr(value, "__qualname__", value)
            raise InvalidRequest(f"{name!r}: its source code cannot be read; define it in a file") from None
    try:
        return ast.unparse(ast.parse(text))  # comments and layout change no number
    except SyntaxError:  # a lambda in the middle of an expression
        return text


def _text_of_cell(value: Any) -> str | None:
    """Return the source of a class of a notebook, which has no file, from the cell of its methods."""
    for member in vars(value).values() if inspect.isclass(value) else ():
        if inspect.isfunction(member):
            text = "".join(linecache.getlines(member.__code__.co_filename))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                    return ast.get_source_segment(text, node)
    return None


def _is_importable(value: Any) -> bool:
    """Return whether importing the module of a class or function in another process finds it again."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module in (None, "__main__") or "<" in name or module.startswith(FILE_MODULE):
        return False
    return getattr(sys.modules.get(module), name, None) is value and (
        getattr(sys.modules[module], "__spec__", None) is not None
    )


def reference_to(value: Callable[..., Any]) -> str:
    """Return a name by which a class or function is found again, registering it if necessary."""
    module = getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", "")
    if module.startswith(FILE_MODULE) and "." not in name:
        return f"{sys.modules[module].__file__}:{name}"
    if _is_importable(value) and "." not in name:
        return f"{module}:{name}"
    return register(value)
