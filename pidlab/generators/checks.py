"""What generators are asked for, refused by name where it is out of range."""

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pidlab.errors import InvalidRequest

# Binary symbols of a target, whose classes are listed one by one, and of Y, which is an int64.
MOST_SYMBOLS, MOST_JOINT_SYMBOLS = 20, 62

# Bins of a continuous variable: of so many float32 misses .005 bits.
MOST_CLASSES = 2**14


def parameters_of(cls: type) -> list[str]:
    """The names of the parameters that a generator's class takes."""
    return list(_signature(cls))


def required_of(cls: type) -> list[str]:
    """The names of those that it gives no default."""
    return [name for name, parameter in _signature(cls).items() if parameter.default is parameter.empty]


@cache  # a sweep asks once for every run
def _signature(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def check_nonnegative(generator: Any, *names: str) -> None:
    """Keeps each parameter as a float; it is a finite number, 0 or more.

    Raises:
        InvalidRequest: it is not.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not math.isfinite(value) or value < 0:
            raise InvalidRequest(f"{name} = {value!r}: expected a finite number, 0 or more")
        object.__setattr__(generator, name, float(value))


def check_probability(generator: Any, *names: str) -> None:
    """Keeps each parameter as a float between 0 and 1.

    Raises:
        InvalidRequest: it is not one.
    """
    for name in names:
        value = getattr(generator, name)
        if not _is_number(value) or not 0 <= value <= 1:
            raise InvalidRequest(f"{name} = {value!r}: expected a number from 0 to 1")
        object.__setattr__(generator, name, float(value))


def check_whole(generator: Any, **least: int) -> None:
    """Keeps each parameter as an int; it is a whole number, however written, of at least this.

    Raises:
        InvalidRequest: it is not.
    """
    for name, lowest in least.items():
        value = getattr(generator, name)
        whole = _is_number(value) and math.isfinite(value) and value == int(value)
        if not whole or value < lowest:
            raise InvalidRequest(f"{name} = {value!r}: expected a whole number, {lowest} or more")
        object.__setattr__(generator, name, int(value))


def check_rendering(generator: Any) -> None:
    """Checks what generators of noisy symbols have: noise, nuisance, depth, slope, width and world."""
    check_nonnegative(generator, "noise")
    check_bijection(generator)


def check_bijection(generator: Any) -> None:
    """Checks what every rendered generator has: nuisance, depth, slope, width and world."""
    check_whole(generator, nuisance=0, depth=0, width=1, world=0)
    slope = generator.slope
    if not _is_number(slope) or not 0 < slope <= 1:
        raise InvalidRequest(f"slope = {slope!r}: expected a number above 0 and up to 1")


def check_classes(generator: Any) -> None:
    """Checks `classes` of a target cut from a continuous variable: 2 or more, no finer than float32 shows.

    Raises:
        InvalidRequest: it is not.
    """
    check_whole(generator, classes=2)
    if generator.classes > MOST_CLASSES:
        raise InvalidRequest(f"classes = {generator.classes}: expected {MOST_CLASSES} or fewer")


def check_labels(symbols: Mapping[str, int]) -> None:
    """Checks that targets of so many binary symbols each can be listed, and their joint label be an int64.

    Raises:
        InvalidRequest: they cannot.
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
    """Checks what every sample is asked for.

    Raises:
        InvalidRequest: fewer than one sample, or an unknown split.
    """
    if n < 1:
        raise InvalidRequest(f"{n} samples: expected 1 or more")
    if split not in splits:
        expected = " or ".join(map(repr, splits))
        raise InvalidRequest(f"unknown split {split!r}: expected {expected}")


def check_policy(generator: Any, policy: str) -> None:
    """Checks that a generator offers these views.

    Raises:
        InvalidRequest: it does not.
    """
    if policy not in generator.policies:
        offered = ", ".join(generator.policies)
        raise InvalidRequest(f"unknown views {policy!r}: {generator.name} offers {offered}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
