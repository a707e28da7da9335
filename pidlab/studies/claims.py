"""Grammar of claims, such as `captured(objective="cross", term="unique1") <= 0.2 at unique1=1`.

    claim   = sum ("<=" | ">=" | "<" | ">") sum [where]
            | sum "==" sum "within" number [where]
    sum     = arithmetic (+ - * / and parentheses) of numbers and function "(" [pairs] ")"
    where   = "everywhere" | "at" pairs
    pairs   = column "=" value {"," column "=" value}
    value   = number | "-" number | string | word

The column `unique` selects both unique terms, `unique1` and `unique2`.

A claim is parsed as a Python expression, restricted to the syntax above, and is never executed.
`pidlab.studies.evaluate` computes the functions.
"""

import ast
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pidlab.errors import InvalidRequest, nearest

FUNCTIONS = ("captured", "truth", "floor", "value", "reached")
# The objective that `floor` reads if it names none.
FLOOR = "untrained"
# Arguments that do not select rows, by function.
_OPTIONS = {"value": "column", "reached": "share"}
# More than any readable claim has, and few enough for Python's parser and recursion limit.
MAX_TOKENS = 500

Value = float | str
Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Call:
    """A function applied to the rows that have the given values.

    Args:
        function: One of `FUNCTIONS`.
        arguments: Columns with their values, in the order of the text.
        place: Index of the function's name in the text.
    """

    function: str
    arguments: Pairs
    place: int = 0

    @property
    def rows(self) -> Pairs:
        """Columns and values that select rows."""
        option = _OPTIONS.get(self.function)
        return tuple((name, value) for name, value in self.arguments if name != option)

    @property
    def column(self) -> str | None:
        """Column that `value` reads, empty if not given; `floor` for the floor of an objective; else None."""
        arguments = dict(self.arguments)
        if self.function == "floor" and "objective" in arguments:
            return "floor"
        return str(arguments.get("column", "")) if self.function == "value" else None


@dataclass(frozen=True)
class Operation:
    """An arithmetic operation on one operand (a minus sign) or two.

    Args:
        operator: One of + - * /.
        operands: One or two expressions.
        place: Index of the operation in the text.
    """

    operator: str
    operands: "tuple[Expression, ...]"
    place: int = 0


Expression = float | Call | Operation


@dataclass(frozen=True)
class Claim:
    """A comparison of two expressions and the points of an experiment at which it should hold.

    Args:
        left: Left side.
        comparison: One of <= >= < > ==.
        right: Right side.
        within: Largest difference that counts as equal; only for ==.
        at: Values of columns; the claim is about every point that has them.
        everywhere: Whether the claim is about all points.
    """

    left: Expression
    comparison: str
    right: Expression
    within: float | None = None
    at: Pairs = ()
    everywhere: bool = False

    @property
    def calls(self) -> list[Call]:
        """Every function call, from left to right."""
        return [*_calls(self.left), *_calls(self.right)]


def parse_claim(text: str) -> Claim:
    """Parse a claim.

    Args:
        text: The claim, as in the module's grammar.

    Returns:
        The claim.

    Raises:
        InvalidRequest: If the text does not follow the grammar; the message names the column.

    Example:
        >>> claim = parse_claim('captured(objective="comm", term="synergy") >= 0.9 at unique1=1')
        >>> claim.comparison, claim.right, claim.at
        ('>=', 0.9, (('unique1', 1.0),))
    """
    return _Parser(text).claim()


def invalid_claim(text: str, place: int, problem: str) -> InvalidRequest:
    """Return the error for a claim, with the column of the problem.

    Args:
        text: The claim.
        place: Index of the problem in the text, from 0.
        problem: What is wrong.
    """
    return InvalidRequest(f"claim {text!r}, column {place + 1}: {problem}")


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>"[^"]*"|'[^']*')
    |(?P<word>[^\W\d][\w.]*)
    |(?P<mark><=|>=|==|[-+*/(),=<>])""",
    re.VERBOSE,
)
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.LtE: "<=",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.Gt: ">",
    ast.Eq: "==",
}


class _Parser:
    """Parser of one claim.

    Words and quoted texts are masked by underscores of the same length before Python parses the claim: column
    names may then be Python keywords or contain dots, texts have no escapes, and offsets stay valid.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: dict[int, str] = {}  # words and quoted texts by their place
        self._clauses: dict[str, int] = {}  # the first place of each clause's keyword
        self._mask = "".join(self._masked())

    def claim(self) -> Claim:
        clauses = [*sorted(self._clauses.items(), key=lambda item: item[1]), ("", len(self._text))]
        left, comparison, right = self._comparison(clauses[0][1])
        within, at, everywhere = None, (), False
        for (keyword, place), (_, stop) in itertools.pairwise(clauses):
            start = place + len(keyword)
            if keyword == "within" and comparison == "==" and within is None and not (at or everywhere):
                within = self._number(self._parse(self._mask[start:stop], start))
            elif keyword == "at" and not everywhere:
                # As the arguments of a call, so that Python parses the pairs.
                at = self._pairs(self._parse(f"_({self._mask[start:stop]})", start - 2))
                if not at:
                    raise self._error(stop, "expected COLUMN=VALUE after 'at'")
            elif keyword == "everywhere" and not at and not self._mask[start:stop].strip():
                everywhere = True
            else:
                raise self._error(
                    place, f"unexpected {keyword!r}; end with 'everywhere' or 'at COLUMN=VALUE'"
                )
        if comparison == "==" and within is None:
            raise self._error(clauses[0][1], "expected 'within NUMBER' after ==")
        return Claim(left, comparison, right, within, at, everywhere)

    def _comparison(self, stop: int) -> tuple[Expression, str, Expression]:
        node = self._parse(self._mask[:stop], 0)
        if not isinstance(node, ast.Compare):
            raise self._error(stop, "expected a comparison <= >= < > ==")
        if len(node.ops) > 1:
            raise self._error(node.comparators[1].col_offset, "expected one comparison; split the claim")
        left, right = self._expression(node.left), self._expression(node.comparators[0])
        return left, _COMPARISONS[type(node.ops[0])], right

    def _masked(self) -> Iterator[str]:
        place = depth = count = 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise self._error(place, f"cannot read {self._text[place : place + 12]!r}")
            kind, token = str(match.lastgroup), match[0]
            count += kind != "space"
            if count > MAX_TOKENS:
                raise self._error(place, f"more than {MAX_TOKENS} words; split it into several claims")
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0 and token in ("within", "everywhere", "at"):
                self._clauses.setdefault(token, place)
            if kind in ("word", "string"):
                self._tokens[place] = token
            # A line break would end the expression.
            yield {"word": "_", "string": "_", "space": " "}.get(kind, "") * len(token) or token
            place = match.end()

    def _parse(self, mask: str, offset: int) -> ast.expr:
        """Parse a part of the mask; `offset` is its place in the text."""
        offset += len(mask) - len(mask.lstrip())
        try:
            node = ast.parse(mask.strip(), mode="eval").body
        except (SyntaxError, MemoryError, RecursionError) as error:
            place = min(offset + (getattr(error, "offset", None) or 1) - 1, len(self._text))
            found = self._text[place:].strip()[:12]
            example = "expected a comparison such as captured(term='synergy') >= 0.9 at unique1=1"
            raise self._error(place, f"cannot parse {found!r}; {example}" if found else example) from None
        for inner in ast.walk(node):
            if isinstance(inner, ast.expr | ast.keyword):
                inner.col_offset += offset
        return node

    def _expression(self, node: ast.expr) -> Expression:
        place = node.col_offset
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Operation("-", (self._expression(operand),), place)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                operands = (self._expression(left), self._expression(right))
                return Operation(_ARITHMETIC[type(op)], operands, place)
            case ast.Call(func=ast.Name() as name):
                function = self._word(name.col_offset, len(name.id))
                if function not in FUNCTIONS:
                    raise self._error(place, f"unknown function {function!r}; {nearest(function, FUNCTIONS)}")
                return Call(function, self._pairs(node), place)
            case _:
                raise self._error(place, f"expected a number or one of {', '.join(FUNCTIONS)} with (...)")

    def _pairs(self, node: ast.expr) -> Pairs:
        if not isinstance(node, ast.Call) or node.args:
            place = (node.args[0] if isinstance(node, ast.Call) else node).col_offset
            raise self._error(place, "expected COLUMN=VALUE")
        pairs: dict[str, Value] = {}
        for keyword in node.keywords:
            name = self._word(keyword.col_offset, len(keyword.arg or "**"))
            # As for --unique, which sets both unique terms.
            for column in ("unique1", "unique2") if name == "unique" else (name,):
                if column in pairs:
                    raise self._error(keyword.col_offset, f"{column} is given twice")
                pairs[column] = self._value(keyword.value)
        return tuple(pairs.items())

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            return self._word(node.col_offset, len(node.id), quoted=True)
        return self._number(node)

    def _number(self, node: ast.expr) -> float:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand)
        if not isinstance(node, ast.Constant) or not isinstance(node.value, int | float):
            raise self._error(node.col_offset, "expected a number, a word or a text in quotes")
        value = float(repr(node.value))  # of a text, since float(int) overflows
        if not math.isfinite(value):
            raise self._error(node.col_offset, "not a finite number")
        return value

    def _word(self, place: int, length: int, *, quoted: bool = False) -> str:
        """Return the token of a masked name; a longer name is several tokens without a space between them."""
        token = self._tokens.get(place, "")
        if len(token) != length or (token[0] in "\"'" and not quoted):
            raise self._error(place, "expected a word" + " or a text in quotes" * quoted)
        return token[1:-1] if token[0] in "\"'" else token

    def _error(self, place: int, problem: str) -> InvalidRequest:
        return invalid_claim(self._text, place, problem)


def _calls(expression: Expression) -> list[Call]:
    if isinstance(expression, Operation):
        return [call for operand in expression.operands for call in _calls(operand)]
    return [expression] if isinstance(expression, Call) else []
