"""Validation of generator parameters and of requests to a generator."""

import inspect
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from pidlab.defaults import POLICIES
from pidlab.errors import InvalidRequest, shorten
from pidlab.io import check_memory

# A target lists all its classes, so that its prior has 2^symbols entries.
MOST_SYMBOLS = 20

# The joint label Y is one int64.
MOST_JOINT_SYMBOLS = 62

# Largest whole number that torch and numpy can store, and largest float.
MOST_WHOLE = 2**63 - 1
MOST_FLOAT = sys.float_info.max

# Bins of a continuous variable. With more bins, float32 rounding changes the information by 0.005 bits.
MOST_CLASSES = 2**14


def parameters_of(cls: type) -> list[str]:
    """Return the names of the parameters that a generator class takes."""
    return list(_signature(cls))


def required_parameters_of(cls: type) -> list[str]:
    """Return the names of the parameters of a generator class that have no default."""
    return [name for name, parameter in _signature(cls).items() if parameter.default is parameter.empty]


@cache  # a sweep reads it once per run
def _signature(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def check_nonnegative(generator: Any, *names: str) -> None:
    """Require finite numbers of at least 0 and store them as floats.

    Args:
        generator: Frozen dataclass that has the parameters.
        *names: Names of its parameters.

    Raises:
        InvalidRequest: If a parameter is negative, infinite or not a number.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not 0 <= value < math.inf or value > MOST_FLOAT:
            raise InvalidRequest(f"{name} = {shorten(repr(value))}: expected a finite number, 0 or more")
        object.__setattr__(generator, name, float(value))


def check_probability(generator: Any, *names: str) -> None:
    """Require numbers from 0 to 1 and store them as floats.

    Args:
        generator: Frozen dataclass that has the parameters.
        *names: Names of its parameters.

    Raises:
        InvalidRequest: If a parameter is not a number from 0 to 1.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not 0 <= value <= 1:
            raise InvalidRequest(f"{name} = {value!r}: expected a number from 0 to 1")
        object.__setattr__(generator, name, float(value))


def check_whole(generator: Any, **least: int) -> None:
    """Require whole numbers of at least a bound and store them as ints.

    Args:
        generator: Frozen dataclass that has the parameters.
        **least: Smallest allowed value of each parameter.

    Raises:
        InvalidRequest: If a parameter is not a whole number or is below its bound.
    """
    for name, lowest in least.items():
        value = getattr(generator, name)
        is_whole = _is_number(value) and value == value and abs(value) <= MOST_WHOLE and value == int(value)
        if not is_whole or value < lowest:
            expected = f"a whole number, {lowest} or more"
            if _is_number(value) and value > MOST_WHOLE:
                expected = "a whole number below 2^63"
            raise InvalidRequest(f"{name} = {shorten(repr(value))}: expected {expected}")
        object.__setattr__(generator, name, int(value))


def check_choice(generator: Any, name: str, choices: Sequence[str]) -> None:
    """Require a parameter to be one of several strings.

    Args:
        generator: Object that has the parameter.
        name: Name of the parameter.
        choices: Allowed values.

    Raises:
        InvalidRequest: If the parameter has another value.
    """
    value = getattr(generator, name)
    if value not in choices:
        raise InvalidRequest(f"{name} = {value!r}: expected one of {', '.join(choices)}")


def check_rendering(generator: Any) -> None:
    """Require valid nuisance, depth, slope, width and world of a rendered generator."""
    check_whole(generator, nuisance=0, depth=0, width=1, world=0)
    check_maps(generator.width, generator.depth)
    slope = generator.slope
    if not _is_number(slope) or not 0 < slope <= 1:
        raise InvalidRequest(f"slope = {slope!r}: expected a number above 0 and up to 1")


def check_maps(width: int, depth: int = 0) -> None:
    """Require enough memory for the orthogonal maps of a rendering.

    Args:
        width: Numbers in an observation.
        depth: Number of leaky ReLU layers.

    Raises:
        InvalidRequest: If the maps need more memory than the machine has.
    """
    # Two matrices of float64 per map while the QR decomposition runs.
    check_memory(f"width = {width}, depth = {depth}", 16 * (depth + 1) * width**2)


def check_classes(generator: Any) -> None:
    """Require 2 to `MOST_CLASSES` classes of a target that is cut from a continuous variable."""
    check_whole(generator, classes=2)
    if generator.classes > MOST_CLASSES:
        raise InvalidRequest(f"classes = {generator.classes}: expected {MOST_CLASSES} or fewer")


def check_labels(symbols: Mapping[str, int]) -> None:
    """Require that the classes of each target can be listed and that the joint label fits an int64.

    Args:
        symbols: Number of binary symbols of each target.

    Raises:
        InvalidRequest: If a target or the joint label has too many symbols.
    """
    for name, count in symbols.items():
        if count > MOST_SYMBOLS:
            raise InvalidRequest(
                f"{name}: a label of {count} bits has 2^{count} classes; ask for {MOST_SYMBOLS} bits or fewer"
            )
    total = sum(symbols.values())
    if total > MOST_JOINT_SYMBOLS:
        raise InvalidRequest(
            f"{', '.join(symbols)}: Y of {total} bits has 2^{total} classes; "
            f"ask for {MOST_JOINT_SYMBOLS} bits or fewer in all"
        )


def check_sample(n: int, split: str, splits: Sequence[str] = ("train", "eval")) -> None:
    """Require at least one sample of a known split.

    Args:
        n: Number of samples.
        split: Name of the split.
        splits: Names of the known splits.

    Raises:
        InvalidRequest: If ``n`` is below 1 or the split is unknown.
    """
    if n < 1:
        raise InvalidRequest(f"{n} samples: expected 1 or more")
    check_memory(f"{n} samples", 8 * n)  # of one number per sample
    if split not in splits:
        expected = " or ".join(map(repr, splits))
        raise InvalidRequest(f"unknown split {split!r}: expected {expected}")


def check_policy(generator: Any, policy: str) -> None:
    """Require a view policy that the generator offers.

    Args:
        generator: Generator that draws the views.
        policy: Name of the view policy.

    Raises:
        InvalidRequest: If the generator does not offer the policy.
    """
    if policy not in generator.policies:
        offered = ", ".join(generator.policies)
        raise InvalidRequest(f"unknown views {policy!r}: {generator.name} offers {offered}")


def default_policy(offered: Collection[str]) -> str:
    """Return the view policy that is used unless another one is chosen.

    Args:
        offered: View policies of a generator.

    Example:
        >>> default_policy(("task", "generic"))
        'task'
    """
    return next((policy for policy in POLICIES if policy in offered), next(iter(offered)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
