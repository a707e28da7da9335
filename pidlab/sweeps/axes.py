"""Axes of a sweep: the grammar `0.5`, `0..1`, `0..1:5`, `0,0.25,1`, and default settings."""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import QUICK
from pidlab.errors import InvalidRequest

_FORMS = "a number, a range 0..1 or 0..1:5, or a list 0,0.25,1"


# Of one range; more would not fit in memory before the first run.
MOST_POINTS = 100_000


def parse_axis(name: str, text: str, points: int) -> tuple[float, ...]:
    """The numbers of an axis.

    Args:
        name: of the axis, for messages.
        text: a number; an inclusive range `a..b` of `points` points, which may descend, or `a..b:n`
            of n; a list `a,b,c`.
        points: of a range that does not say.

    Raises:
        InvalidRequest: any other text, a range of no points, a value twice, a number not finite.
    """
    text = text.strip()
    if re.fullmatch(r"[^:.]*[^:]*:[^:]+:[^:]+", text) and ".." not in text:
        start, stop, count = text.split(":")
        raise InvalidRequest(f"{name} {text!r}: write a range as {start}..{stop}:{count}")
    if ".." in text:
        ends, colon, count = text.partition(":")
        first, _, last = ends.partition("..")
        values = _range(name, text, _number(name, first), _number(name, last), count if colon else points)
    else:
        values = tuple(_number(name, part) for part in text.split(","))
    return _distinct(name, text, values)


def parse_values(name: str, text: str, points: int) -> tuple[Any, ...]:
    """As `parse_axis`, but a list may hold words too: `views=task,noise`."""
    try:
        return parse_axis(name, text, points)
    except InvalidRequest:
        words = tuple(_literal(part) for part in text.split(","))
        if ".." in text or ":" in text or not all(isinstance(w, str) and w for w in words):
            raise
        return _distinct(name, text, words)


def _range(name: str, text: str, first: float, last: float, count: str | int) -> tuple[float, ...]:
    try:
        n = int(count)
    except ValueError:
        raise InvalidRequest(f"{name} {text!r}: {count!r} is no number of points") from None
    if n < 1 or (n == 1 and first != last):
        raise InvalidRequest(f"{name} {text!r}: a range of {n} points; expected 2 or more")
    if n > MOST_POINTS:
        raise InvalidRequest(f"{name} {text!r}: a range of {n} points; expected {MOST_POINTS} or fewer")
    # Rounded so that 0..1 gives 0.3 and not 0.30000000000000004.
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
    if len(set(values)) < len(values):
        raise InvalidRequest(f"{name} {text!r}: a value stands there twice")
    return values


T = TypeVar("T")

# What everything is set to where nothing is asked.
PLAIN: dict[str, Any] = {"points": defaults.RANGE_POINTS, "seeds": defaults.SEEDS, "probes": defaults.PROBES}


def spread(axes: Iterable[tuple[str, T]]) -> list[tuple[tuple[str, ...], T]]:
    """Axes by the parameters that they set together: `unique` sets those of both terms without their own.

    Raises:
        InvalidRequest: `unique` beside both `unique1` and `unique2`.
    """
    listed = list(axes)
    named = {name for name, _ in listed}
    both = tuple(name for name in ("unique1", "unique2") if name not in named)
    if "unique" in named and not both:
        raise InvalidRequest("unique, unique1 and unique2 together: two of them say it all")
    return [(both if name == "unique" else (name,), text) for name, text in listed]


def values(names: tuple[str, ...], text: str | int, points: int) -> tuple[Any, ...]:
    """The values of an axis; only a parameter that is no term can take words, and a number is itself."""
    if isinstance(text, int):
        return (text,)
    parse = parse_axis if set(names) <= set(TERMS) else parse_values
    return parse(" and ".join(names), text, points)


def settings(asked: Mapping[str, Any], quick: bool = False) -> dict[str, Any]:
    """Every setting that is asked for, over those of `quick`, over the plain ones; None asks for nothing."""
    return (
        PLAIN | (QUICK if quick else {}) | {name: value for name, value in asked.items() if value is not None}
    )
