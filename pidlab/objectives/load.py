"""Objectives by reference: `comm`, `"comm(temperature=0.1)"`, `my_loss.py:MyLoss`, `pkg.mod:loss`."""

import copy
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any

from torch import nn

from pidlab.encoders import Encoders
from pidlab.errors import InvalidRequest, shorten
from pidlab.objectives import session, source
from pidlab.objectives.adapters import adapter_of, check_forward, data_arguments
from pidlab.objectives.guard import Guard
from pidlab.objectives.matched import Ceiling, Floor
from pidlab.objectives.objective import MakeObjective
from pidlab.registry import Reference, look_up, parse, scan

# Baselines of another objective, such as `floor('comm')`.
MATCHED = {"floor": Floor, "ceiling": Ceiling}


@dataclass(frozen=True)
class LoadedObjective:
    """An objective that was loaded once, callable with encoders to build a model.

    Args:
        reference: Reference that it was loaded from.
        make: Builds the objective from encoders.
        source: Digest of the user's code, or None for objectives of pidlab.
        guard: Context in which the user's code runs, or None for objectives of pidlab.
        trials: Results of trial builds, kept so that each is made once (`pidlab.training.cohort`).
    """

    reference: str
    make: MakeObjective
    source: str | None = None
    guard: Guard | None = field(default=None, compare=False, repr=False)
    trials: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, encoders: Encoders) -> nn.Module:
        """Build the objective from encoders."""
        return self.make(encoders)


@cache
def objectives() -> Mapping[str, type[nn.Module]]:
    """Return every registered objective by name.

    Example:
        >>> "comm" in objectives()
        True
    """
    return scan(importlib.import_module("pidlab.objectives"), nn.Module)


def load_objective(reference: str, source: str | None = None) -> LoadedObjective:
    """Load the objective that a reference names.

    The name is a registered one, `file.py:Name` or `package.module:Name`. It refers to a class or function
    that takes `encoders`, or to a loss, which gets encoders and projection heads. A loss is a function or a
    class of losses of (z1, z2), such as those of lightly; of (embeddings, labels), such as those of
    pytorch-metric-learning; or of (image_features, text_features, logit_scale), such as those of open_clip.

    `floor('comm')` is the untrained model of the objective `comm`, and `ceiling('comm')` is this model
    trained with the labels (see `pidlab.objectives.matched`).

    Args:
        reference: Name with optional arguments.
        source: Digest of the code if it is known (`source_digest`). Code with this digest that was loaded
            before is used again, so that a sweep imports a file once.

    Returns:
        A factory: called with encoders, it builds the objective.

    Raises:
        InvalidRequest: If there is no such objective, or if an argument is unknown or missing.

    Example:
        >>> load_objective("comm(temperature=0.1)").reference
        'comm(temperature=0.1)'
    """
    digest = source_digest(reference) if source is None else source
    if digest is None:  # code of pidlab, or code without a file, whose changes cannot be seen
        return _load(reference, None)
    return _load_once(reference, digest, os.getcwd())


@lru_cache(maxsize=256)
def _load_once(reference: str, digest: str, _folder: str) -> LoadedObjective:
    return _load(reference, digest)


def _load(reference: str, digest: str | None) -> LoadedObjective:
    parsed = parse(reference)
    if parsed.name in MATCHED:
        inner = load_objective(_matched_objective(parsed), digest)
        make = partial(MATCHED[parsed.name], make=inner.make)
        return LoadedObjective(reference, make, inner.source, inner.guard)
    if not _is_foreign(parsed.name):
        return LoadedObjective(reference, _make(parsed, None))
    with Guard() as guard:
        return LoadedObjective(reference, _make(parsed, digest), digest, guard)


def innermost(reference: str) -> str:
    """Return the objective whose code a reference names: `comm` for `floor('comm')`, otherwise itself.

    Args:
        reference: Reference to an objective.

    Raises:
        InvalidRequest: If `floor` or `ceiling` has no objective.

    Example:
        >>> innermost("floor('comm')"), innermost("comm")
        ('comm', 'comm')
    """
    parsed = parse(reference)
    return innermost(_matched_objective(parsed)) if parsed.name in MATCHED else reference


def _matched_objective(parsed: Reference) -> str:
    """Return the argument of `floor` or `ceiling`."""
    inner = parsed.bind(["objective"]).get("objective")
    if not isinstance(inner, str):
        raise InvalidRequest(f"objective {str(parsed)!r}: expected {parsed.name}('NAME'), such as 'comm'")
    return inner


def _make(parsed: Reference, digest: str | None) -> MakeObjective:
    target = _find(parsed.name, digest)
    if _takes_encoders(target):
        check_forward(target, parsed.name)
        return _Factory(target, _arguments(parsed, target, skip=1))
    if inspect.isclass(target):
        make_loss = _Factory(target, _arguments(parsed, target))
        adapter = adapter_of(target, parsed.name, make_loss)
        return lambda encoders: adapter(encoders, make_loss())
    arguments = _arguments(parsed, target, skip=data_arguments(target))
    loss = partial(target, **copy.deepcopy(arguments)) if arguments else target
    fitting = adapter_of(loss, parsed.name)
    return lambda encoders: fitting(encoders, loss)


class _Factory:
    """Calls a class or function with copies of the same arguments each time.

    A constructor that changes a list or a dictionary must not change it for the next model.
    """

    def __init__(self, target: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self.target, self._arguments = target, arguments

    def __call__(self, *args: Any) -> Any:
        return self.target(*args, **copy.deepcopy(self._arguments))


def _find(name: str, digest: str | None) -> Callable[..., Any]:
    """Return the class or function behind a name."""
    if session.is_session_defined(name):
        return session.session_objective(name)
    if source.is_user_defined(name):
        return source.find_attribute(name, digest)
    return look_up("objective", name, objectives())


def _is_foreign(name: str) -> bool:
    """Return whether a name refers to code that is not part of pidlab."""
    if session.is_session_defined(name) or source.is_user_defined(name):
        return True
    return not look_up("objective", name, objectives()).__module__.startswith("pidlab.")


def guard_of(make: MakeObjective) -> AbstractContextManager[Any]:
    """Return the context in which a factory and its models must run."""
    guard = make.guard if isinstance(make, LoadedObjective) else None
    return nullcontext() if guard is None else guard


def parameters_of(reference: str) -> list[str]:
    """Return the names of the arguments that an objective takes in its reference.

    Args:
        reference: Reference to an objective; the arguments in it do not matter.

    Raises:
        InvalidRequest: If there is no such objective.

    Example:
        >>> parameters_of("cross")
        ['temperature', 'head']
    """
    name = parse(reference).name
    if name in MATCHED:
        return ["objective"]
    with Guard() if _is_foreign(name) else nullcontext():
        target = _find(name, source_digest(reference))
        is_loss = not inspect.isclass(target) and not _takes_encoders(target)
        skip = 1 if _takes_encoders(target) else data_arguments(target) if is_loss else 0
        open_ended = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return [p.name for p in _parameters(target)[skip:] if p.kind not in open_ended]


def modalities_of(make: MakeObjective) -> int:
    """Return the number of modalities that a class declares in its attribute `modalities`; 2 by default."""
    target = make.make if isinstance(make, LoadedObjective) else make
    return getattr(getattr(target, "target", target), "modalities", 2)


def source_digest(reference: str) -> str | None:
    """Return a digest of the code behind a user-defined objective.

    Args:
        reference: Reference to an objective.

    Returns:
        16 hexadecimal digits, or None for objectives of pidlab and for code without a file.
    """
    name = parse(innermost(reference)).name
    if session.is_session_defined(name):
        return session.session_digest(session.session_objective(name))
    if not source.is_user_defined(name):
        module = look_up("objective", name, objectives()).__module__
        if module.startswith("pidlab."):
            return None
        name = f"{module}:{name}"
    return source.source_digest(name)


def reference_of(objective: Any) -> str:
    """Return a reference to an objective, with which it can be swept.

    A registered class gives its name, and a class or function of a module or a file gives its address. A
    class or function of `__main__` or of a notebook, or one that is defined inside a function, is registered
    in this process. The identity of its runs is a digest of its source code.

    Args:
        objective: A reference, a class, or a callable.

    Returns:
        A reference that `load_objective` accepts.

    Raises:
        InvalidRequest: If it is not callable, or if its source code cannot be read.

    Example:
        >>> from pidlab.objectives.comm import CoMM
        >>> reference_of(CoMM), reference_of("comm(temperature=0.1)")
        ('comm', 'comm(temperature=0.1)')
    """
    if isinstance(objective, str):
        return objective
    _check_callable(objective)
    if isinstance(objective, LoadedObjective):
        return objective.reference
    for name, registered in objectives().items():
        if registered is objective:
            return name
    return session.reference_to(objective)


def as_objective(target: Callable[..., Any]) -> MakeObjective:
    """Return a factory of objectives: the callable itself if it takes encoders, else an adapter.

    Args:
        target: A class or function that takes encoders, or a loss of embeddings.

    Raises:
        InvalidRequest: If it is not callable.
    """
    _check_callable(target)
    if isinstance(target, LoadedObjective):
        return target
    make, name = target, getattr(target, "__name__", type(target).__name__)
    if _takes_encoders(target):
        check_forward(target, name)
    else:
        adapter = adapter_of(target, name)
        is_class = inspect.isclass(target)
        make = lambda encoders: adapter(encoders, target() if is_class else target)  # noqa: E731
    foreign = not getattr(target, "__module__", "").startswith("pidlab.")
    return LoadedObjective(getattr(target, "__name__", "loss"), make, guard=Guard() if foreign else None)


def _check_callable(objective: Any) -> None:
    """Require that an objective can be called."""
    if not callable(objective):
        raise InvalidRequest(
            f"objective {shorten(repr(objective))}: expected a reference such as 'comm', a class or function "
            "that takes encoders, or a loss(z1, z2)"
        )


def _takes_encoders(target: Callable[..., Any]) -> bool:
    """Return whether a parameter is named `encoders`, or a function has one required parameter."""
    parameters = [p for p in _parameters(target) if p.kind is not inspect.Parameter.VAR_KEYWORD]
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    return any(p.name == "encoders" for p in parameters) or (
        not inspect.isclass(target) and len(required) == 1
    )


def _parameters(target: Callable[..., Any]) -> list[inspect.Parameter]:
    if isinstance(target, nn.Module):
        target = target.forward
    return list(inspect.signature(target).parameters.values())


def _arguments(reference: Reference, target: Callable[..., Any], skip: int = 0) -> dict[str, Any]:
    """Return the arguments of a reference by name; the first `skip` parameters are not the user's."""
    open_ended = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    accepted = {p.name: p.default for p in _parameters(target)[skip:] if p.kind not in open_ended}
    arguments = reference.bind(list(accepted))
    missing = [k for k, v in accepted.items() if v is inspect.Parameter.empty and k not in arguments]
    if missing:
        raise InvalidRequest(
            f'{reference.name} needs {", ".join(missing)}: write "{reference.name}({missing[0]}=...)", or a '
            "class with the first parameter `encoders` that makes them"
        )
    for key, value in arguments.items():
        expected = _kind(accepted[key])
        if expected and _kind(value) and _kind(value) != expected:
            raise InvalidRequest(
                f"{reference.name}({key}={value!r}): expected {expected} like {accepted[key]!r}"
            )
    return arguments


def _kind(value: Any) -> str | None:
    """Return the kind of a plain value; None and other values are checked by the constructor."""
    if isinstance(value, bool):
        return "a yes or no"
    return "a number" if isinstance(value, (int, float)) else "a word" if isinstance(value, str) else None
