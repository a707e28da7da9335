"""Generators by name, with their parameters, stress dials and training parameters."""

import copy
import importlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from pidlab.errors import InvalidRequest, nearest, shorten
from pidlab.generators.dials import DIALS, Dials
from pidlab.generators.generator import Generator
from pidlab.generators.parameters import parameters_of, required_parameters_of
from pidlab.generators.shifted import Shifted
from pidlab.generators.stressed import Stressed
from pidlab.registry import Reference, look_up, parse, scan

# Prefix of a parameter that holds for the split "train" only.
TRAIN = "train_"


@cache
def generators() -> Mapping[str, type[Generator]]:
    """Return every registered generator class by name."""
    return scan(importlib.import_module("pidlab.generators"), Generator)


@cache  # a sweep reads it once per run
def accepted_parameters(cls: type) -> tuple[str, ...]:
    """Return the names of everything that a generator accepts.

    These are the parameters of its class, the stress dials (`Dials`), and for each of them ``train_NAME``,
    its value in the split ``"train"`` if it differs. A parameter of the class has precedence.

    Args:
        cls: Class of the generator.

    Returns:
        The names, those of the class first.
    """
    own = [*parameters_of(cls), *(name for name in DIALS if name not in parameters_of(cls))]
    shifted = (TRAIN + name for name in own if name != "world")
    return (*own, *(name for name in shifted if name not in own))


def parameter_hint(name: str, cls: type, others: Sequence[str] = ()) -> str:
    """Return a hint with the nearest names that a generator accepts.

    Args:
        name: The unknown name.
        cls: Class of the generator.
        others: Further known names.
    """
    # All names with a prefix would make the hint unreadable.
    own, prefixed = parameters_of(cls), name.startswith(TRAIN)
    known = [n for n in accepted_parameters(cls) if n in own or n.startswith(TRAIN) == prefixed]
    return nearest(name, [*known, *others])


def load_generator(reference: str, **parameters: Any) -> Generator:
    """Build the generator that a reference names.

    Args:
        reference: Name with optional arguments, such as ``atoms``, ``"atoms(noise=0.1)"`` or
            ``"gate('and', label_noise=0.1)"``; see `accepted_parameters`.
        **parameters: Parameters that override those of the reference.

    Returns:
        The generator.

    Raises:
        InvalidRequest: If there is no such generator, or it does not accept the parameters.

    Example:
        >>> load_generator("atoms(unique1=0.5)", redundant=2).truth.total
        4.5
        >>> round(load_generator("atoms", label_noise=0.1).truth.synergy, 3)
        0.531
    """
    cls, own, fixed = _parsed(reference)
    accepted = accepted_parameters(cls)
    for key in parameters:
        if key not in accepted:
            name = parse(reference).name
            raise InvalidRequest(f"{name} has no parameter {key!r}: {parameter_hint(key, cls)}")
    # Copied, so that generators never share a list or a dictionary.
    arguments = copy.deepcopy(fixed) | parameters if fixed else parameters
    for name in required_parameters_of(cls):
        if name not in arguments:
            parsed = parse(reference)
            raise InvalidRequest(f"{parsed} lacks {name!r}: write {parsed.name}({name}=...)")
    shifts = [key for key in arguments if key not in own and key.startswith(TRAIN)]
    if not shifts:
        return _build(cls, arguments)
    plain = {key: value for key, value in arguments.items() if key not in shifts}
    examination = _build(cls, plain)
    training = _build(cls, plain | {key.removeprefix(TRAIN): arguments[key] for key in shifts}, False)
    return examination if training == examination else Shifted(examination, training)


def as_generator(generator: Generator | str) -> Generator:
    """Return a generator, loaded if a reference is given.

    Args:
        generator: A generator, or a reference to one.

    Raises:
        InvalidRequest: If it is neither, or there is no such generator.

    Example:
        >>> as_generator("atoms").name
        'atoms'
    """
    if isinstance(generator, str):
        return load_generator(generator)
    if isinstance(generator, type):
        name = generator.__name__
        raise InvalidRequest(f"generator {name}: is a class; create a generator with {name}()")
    if not hasattr(type(generator), "sample"):
        raise InvalidRequest(
            f"generator {shorten(repr(generator))}: expected a generator such as Atoms(), or a reference "
            "such as 'atoms'"
        )
    return generator


@lru_cache(maxsize=256)  # a sweep builds the same reference at every point
def _parsed(reference: str) -> tuple[type[Generator], tuple[str, ...], dict[str, Any]]:
    """Return the class that a reference names, its parameters, and the arguments of the reference by name."""
    parsed = parse(reference)
    cls = look_up("generator", parsed.name, generators())
    own, accepted = parameters_of(cls), accepted_parameters(cls)
    for key in parsed.arguments:
        if key not in accepted:
            raise InvalidRequest(f"{parsed.name} has no argument {key!r}: {parameter_hint(key, cls)}")
    named = {key: value for key, value in parsed.arguments.items() if key in own}
    arguments = Reference(parsed.name, named, parsed.positional).bind(own)
    return cls, tuple(own), arguments | {k: v for k, v in parsed.arguments.items() if k not in own}


def _build(cls: type[Generator], arguments: Mapping[str, Any], needs_truth: bool = True) -> Generator:
    own = parameters_of(cls)
    stress = {key: value for key, value in arguments.items() if key not in own}
    if not stress:
        return cls(**arguments)
    base = cls(**{key: value for key, value in arguments.items() if key in own})
    dials = Dials(**stress)
    # A dial that is off changes nothing, so that numbers equal those of the plain generator.
    return Stressed(base, dials, needs_truth) if dials.active else base
