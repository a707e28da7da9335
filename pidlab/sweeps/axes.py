"""Axes of a sweep: the grammar `0.5`, `0..1`, `0..1:5`, `0,0.25,1`, and the default settings."""

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import QUICK
from pidlab.errors import InvalidRequest, shorten

# The values of an axis as a user gives them.
AxisValues = str | float | Sequence[Any]

_FORMS = "a number, a range 0..1 or 0..1:5, or a list 0,0.25,1"

# Largest number of points of one range: more would not fit in memory before the first run.
MOST_POINTS = 100_000

# Settings that are used where a request sets nothing.
PLAIN: dict[str, Any] = {"points": defaults.RANGE_POINTS, "seeds": defaults.SEEDS, "probes": defaults.PROBES}


def axis_values(names: tuple[str, ...], given: AxisValues, points: int) -> tuple[Any, ...]:
    """Return the values of an axis from what a user gave.

    Args:
        names: Parameters that the axis sets.
        given: Text in the grammar of `parse_axis` or `parse_values`, a number, or a sequence of values. Words
            are allowed only for parameters that are not terms.
        points: Number of points of a range without a count.

    Raises:
        InvalidRequest: If the text is malformed, a number is not finite, or a value occurs twice.
    """
    label = " and ".join(names)
    if isinstance(given, str):
        parse = parse_axis if set(names) <= set(TERMS) else parse_values
        return parse(label, given, points)
    values = tuple(given) if isinstance(given, Sequence) else (given,)
    if not values:
        raise InvalidRequest(f"{label}: an axis without values; give at least one")
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(f"{label} {value!r}: expected finite numbers")
    return _distinct(label, str(given), values)


def parse_axis(name: str, text: str, points: int) -> tuple[float, ...]:
    """Parse the numbers of an axis.

    Args:
        name: Name of the axis, for error messages.
        text: A number; an inclusive range `a..b` of `points` points, which may descend, or `a..b:n` of n
            points; or a list `a,b,c`.
        points: Number of points of a range without a count.

    Returns:
        The values in the order of the text.

    Raises:
        InvalidRequest: If the text has another form, a range has too few or too many points, a value occurs
            twice, or a number is not finite.

    Example:
        >>> parse_axis("unique", "0..1:5", points=11)
        (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    text = text.strip()
    if re.fullmatch(r"[^:.]*[^:]*:[^:]+:[^:]+", text) and ".." not in text:
        start, stop, count = text.split(":")
        raise InvalidRequest(f"{name} {text!r}: write a range as {start}..{stop}:{count}")
    if ".." in text:
        ends, colon, count = text.partition(":")
        first, dots, last = re.split("([.]{2,})", ends, maxsplit=1)
        if not first.strip() or not last.strip():
            raise InvalidRequest(f"{name} {text!r}: a range has two ends; write 0..1 or 0..1:5")
        if len(dots) > 2:  # 0...1 would be the range from 0 to 0.1
            raise InvalidRequest(
                f"{name} {text!r}: write a range with two dots: {first}..{last}{colon}{count}"
            )
        values = _range(name, text, _number(name, first), _number(name, last), count if colon else points)
    else:
        values = tuple(_number(name, part) for part in text.split(","))
    return _distinct(name, text, values)


def parse_values(name: str, text: str, points: int) -> tuple[Any, ...]:
    """Parse an axis of numbers (`parse_axis`) or a list of words such as `task,noise`.

    Args:
        name: Name of the axis, for error messages.
        text: Numbers, a range, or words separated by commas.
        points: Number of points of a range without a count.

    Raises:
        InvalidRequest: If the text is neither.

    Example:
        >>> parse_values("views", "task,noise", points=11)
        ('task', 'noise')
    """
    try:
        return parse_axis(name, text, points)
    except InvalidRequest:
        words = tuple(_literal(part) for part in text.split(","))
        if ".." in text or ":" in text or not all(isinstance(word, str) and word for word in words):
            raise
        return _distinct(name, text, words)


def _range(name: str, text: str, first: float, last: float, count: str | int) -> tuple[float, ...]:
    try:
        n = int(count)
    except ValueError:
        raise InvalidRequest(f"{name} {text!r}: {count!r} is not a valid number of points") from None
    if n < 1 or (n == 1 and first != last):
        raise InvalidRequest(f"{name} {text!r}: a range of {n} points; expected at least 2")
    if n > MOST_POINTS:
        raise InvalidRequest(f"{name} {text!r}: a range of {n} points; expected at most {MOST_POINTS}")
    # Rounding to 12 decimals makes 0..1 contain 0.3 and not 0.30000000000000004.
    return tuple(round(first + (last - first) * i / max(n - 1, 1), 12) for i in range(n))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidRequest(f"{name} {text.strip()!r}: expected {_FORMS}") from None
    if not math.isfinite(value):
        raise InvalidRequest(f"{name} {text.strip()!r}: expected finite numbers")
    return value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def _distinct(name: str, text: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        count = len(set(values))
    except TypeError:  # a dictionary, a set or an array
        raise InvalidRequest(f"{name} {shorten(text)}: expected {_FORMS}") from None
    if count < len(values):
        raise InvalidRequest(f"{name} {text!r}: a value occurs twice; give each value once")
    return values


T = TypeVar("T")


def spread(axes: Iterable[tuple[str, T]]) -> list[tuple[tuple[str, ...], T]]:
    """Replace the names of axes by the parameters that they set.

    `unique` sets `unique1` and `unique2`, except one that has an axis of its own.

    Args:
        axes: Name and values of every axis.

    Raises:
        InvalidRequest: If `unique` is given with both `unique1` and `unique2`.

    Example:
        >>> spread([("unique", "0..1")])
        [(('unique1', 'unique2'), '0..1')]
    """
    listed = list(axes)
    names = {name for name, _ in listed}
    both = tuple(name for name in ("unique1", "unique2") if name not in names)
    if "unique" in names and not both:
        raise InvalidRequest("unique, unique1 and unique2 are all set: give at most two of them")
    return [(both if name == "unique" else (name,), values) for name, values in listed]


def resolve_settings(given: Mapping[str, Any], quick: bool = False) -> dict[str, Any]:
    """Merge settings: those given, over those of `--quick` if `quick`, over the defaults.

    Args:
        given: Settings by name; None means not set.
        quick: Whether `--quick` is on.
    """
    return PLAIN | (QUICK if quick else {}) | {k: v for k, v in given.items() if v is not None}
