"""The grammar of claims: `captured(objective="cross", term="unique1") <= 0.2 at unique1=1`.

    claim   = sum ("<=" | ">=" | "<" | ">") sum [where]
            | sum "==" sum "within" number [where]
    sum     = product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = number | "-" factor | "(" sum ")" | function "(" [pairs] ")"
    where   = "everywhere" | "at" pairs
    pairs   = column "=" value {"," column "=" value}
    value   = number | "-" number | string | word

Read by hand and never evaluated as Python. What the functions mean stands in `pidlab.studies.evaluate`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pidlab.errors import InvalidRequest, nearest

FUNCTIONS = ("captured", "worst", "best", "truth", "floor", "value", "reached")
# What `floor` is captured by, and arguments of functions that choose no rows.
FLOOR = "untrained"
_OWN = {"value": "column", "reached": "share"}
# Deeper and longer than anybody writes, less than Python's stack holds.
MOST_DEPTH, MOST_TOKENS = 50, 500

Value = float | str
Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Number:
    """A number as it stands there."""

    value: float

    def __str__(self) -> str:
        return _number(self.value)


@dataclass(frozen=True)
class Call:
    """A function of rows, chosen by the values of columns; `place` is where it stands in the text."""

    function: str
    chosen: Pairs
    place: int = field(default=0, compare=False)

    @property
    def rows(self) -> Pairs:
        """The columns and values that choose rows."""
        return tuple((name, value) for name, value in self.chosen if name != _OWN.get(self.function))

    @property
    def column(self) -> str | None:
        """The column that `value` reads, empty where none is named; None of any other function."""
        return str(dict(self.chosen).get("column", "")) if self.function == "value" else None

    def __str__(self) -> str:
        return f"{self.function}({_pairs(self.chosen)})"


@dataclass(frozen=True)
class Negative:
    """What stands behind a minus."""

    of: "Expression"

    def __str__(self) -> str:
        return f"-{self.of}" if isinstance(self.of, Number | Call) else f"-({self.of})"


@dataclass(frozen=True)
class Operation:
    """Two expressions and one of + - * /."""

    operator: str
    left: "Expression"
    right: "Expression"

    def __str__(self) -> str:
        return f"({self.left}) {self.operator} ({self.right})"


Expression = Number | Call | Negative | Operation


@dataclass(frozen=True)
class Claim:
    """A comparison of two expressions in bits, and at which points of an experiment it is to hold.

    Args:
        left: what is compared.
        comparison: one of <= >= < > ==.
        right: with what.
        within: for ==, how far apart both may be.
        at: values of columns that every row has.
        everywhere: at all points; `at` means all points there.
    """

    left: Expression
    comparison: str
    right: Expression
    within: float | None = None
    at: Pairs = ()
    everywhere: bool = False

    def __str__(self) -> str:
        within = "" if self.within is None else f" within {_number(self.within)}"
        where = " everywhere" if self.everywhere else f" at {_pairs(self.at)}" if self.at else ""
        return f"{self.left} {self.comparison} {self.right}{within}{where}"

    @property
    def calls(self) -> list[Call]:
        """Every function in it, from left to right."""
        return [*_calls(self.left), *_calls(self.right)]


def parse_claim(text: str) -> Claim:
    """Reads a claim.

    Raises:
        InvalidRequest: the text is not of the grammar; the message names the place.
    """
    return _Reader(text).claim()


def wrong(text: str, place: int, what: str) -> InvalidRequest:
    """What is said of a claim, with the place where it stands in the text."""
    return InvalidRequest(f"claim {text!r}, column {place + 1}: {what}")


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


_TOKENS = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>"[^"]*"|'[^']*')
    |(?P<name>[^\W\d][\w.]*)
    |(?P<comparison><=|>=|==|<|>)
    |(?P<mark>[-+*/(),=]))""",
    re.VERBOSE,
)


class _Reader:
    """Recursive descent over the tokens of one claim."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*self._read()]
        if len(self._tokens) > MOST_TOKENS:
            raise wrong(text, self._tokens[MOST_TOKENS].place, f"more than {MOST_TOKENS} words: make it two")
        self._next = 0
        self._depth = 0

    def _read(self) -> Iterator[_Token]:
        place = 0
        while rest := self._text[place:].lstrip():
            place = len(self._text) - len(rest)
            found = _TOKENS.match(self._text, place)
            if found is None:
                raise wrong(self._text, place, f"cannot read {rest[:12]!r}")
            kind = str(found.lastgroup)
            yield _Token(kind, found[kind], found.start(kind))
            place = found.end()
        yield _Token("end", "the end", len(self._text))

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str, kind: str | None = None) -> _Token | None:
        token = self._token
        if (token.kind not in ("string", "end") and token.text in texts) or token.kind == kind:
            self._next += 1
            return token
        return None

    def _need(self, what: str, *texts: str, kind: str | None = None) -> _Token:
        token = self._take(*texts, kind=kind)
        if token is None:
            shown = "the end" if self._token.kind == "end" else self._token.text
            raise wrong(self._text, self._token.place, f"expected {what}, found {shown}")
        return token

    def claim(self) -> Claim:
        left = self._sum()
        comparison = self._need("a comparison <= >= < > ==", kind="comparison").text
        right = self._sum()
        within = None
        if comparison == "==":
            self._need("'within' and how far apart both may be", "within")
            within = self._finite(self._need("a number", kind="number"))
        everywhere = self._take("everywhere") is not None
        at = self._pairs() if not everywhere and self._take("at") else ()
        self._need("'at', 'everywhere' or the end", kind="end")
        return Claim(left, comparison, right, within, at, everywhere)

    def _sum(self) -> Expression:
        found = self._product()
        while sign := self._take("+", "-"):
            found = Operation(sign.text, found, self._product())
        return found

    def _product(self) -> Expression:
        found = self._factor()
        while sign := self._take("*", "/"):
            found = Operation(sign.text, found, self._factor())
        return found

    def _factor(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise wrong(self._text, self._token.place, f"more than {MOST_DEPTH} deep: write it flatter")
        try:
            if self._take("-"):
                return Negative(self._factor())
            if self._take("("):
                found = self._sum()
                self._need("')'", ")")
                return found
            if number := self._take(kind="number"):
                return Number(self._finite(number))
            return self._call()
        finally:
            self._depth -= 1

    def _call(self) -> Call:
        name = self._need(f"a number or one of {', '.join(FUNCTIONS)}", kind="name")
        if name.text not in FUNCTIONS:
            hint = nearest(name.text, FUNCTIONS)
            raise wrong(self._text, name.place, f"unknown function {name.text!r}: {hint}")
        self._need("'('", "(")
        chosen = () if self._token.text == ")" else self._pairs()
        self._need("',' or ')'", ")")
        return Call(name.text, chosen, name.place)

    def _pairs(self) -> Pairs:
        pairs: dict[str, Value] = {}
        while True:
            name = self._need("a column's name", kind="name")
            self._need("'='", "=")
            if name.text in pairs:
                raise wrong(self._text, name.place, f"{name.text} is given twice")
            pairs[name.text] = self._value()
            if not self._take(","):
                return tuple(pairs.items())

    def _value(self) -> Value:
        if string := self._take(kind="string"):
            return string.text[1:-1]
        if word := self._take(kind="name"):
            return word.text
        sign = -1.0 if self._take("-") else 1.0
        return sign * self._finite(self._need("a number, a word or a text in quotes", kind="number"))

    def _finite(self, token: _Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise wrong(self._text, token.place, f"{token.text} is no finite number")
        return value


def _calls(expression: Expression) -> list[Call]:
    match expression:
        case Call():
            return [expression]
        case Negative(of):
            return _calls(of)
        case Operation(_, left, right):
            return [*_calls(left), *_calls(right)]
        case Number():
            return []


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _pairs(pairs: Pairs) -> str:
    return ", ".join(f"{name}={_quoted(v) if isinstance(v, str) else _number(v)}" for name, v in pairs)


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'
