"""Distributions that the literature calls by name, each built from its rule."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest, nearest

Pmf = Float[np.ndarray, "n1 n2 ny"]
Outcome = tuple[int, ...]
BIT = (0, 1)


def law(outcomes: Iterable[Outcome], weights: Sequence[int] | None = None) -> Pmf:
    """The pmf of outcomes (x1, x2, y) in proportion to `weights`, or all alike; repeated ones add up."""
    cells = np.array(list(outcomes))
    counts = np.zeros(cells.max(0) + 1)
    np.add.at(counts, tuple(cells.T), 1 if weights is None else weights)
    return counts / counts.sum()


def function(
    rule: Callable[[int, int], int], n1: int = 2, n2: int = 2, weights: Sequence[int] | None = None
) -> Pmf:
    """Y = rule(X1, X2) of sources that are independent and uniform, unless weighted in C order."""
    return law([(a, b, rule(a, b)) for a, b in product(range(n1), range(n2))], weights)


def side_by_side(*parts: Float[np.ndarray, "_ _ _"]) -> Pmf:
    """Independent parts as one law; on every axis the first part is the most significant digit."""
    whole = np.ones((1, 1, 1))
    for part in parts:
        whole = np.kron(whole, part)
    return whole


def gate(name: str) -> Pmf:
    """The pmf p(x1, x2, y) of a named gate, shape (n1, n2, ny).

    Raises:
        InvalidRequest: no gate of that name.
    """
    asked = ALIASES.get(name, name)
    if asked not in _GATES:
        raise InvalidRequest(f"unknown gate {name!r}: {nearest(name, [*_GATES, *ALIASES], 3)}")
    return _GATES[asked][1]()


def gates() -> Mapping[str, str]:
    """What each gate is, in a line, by name."""
    return {name: about for name, (about, _) in _GATES.items()}


ALIASES = {"copy": "cat", "unq": "cat", "syn": "xor"}

# Bits that agree with probability 4/5, in C order.
_AGREEING = (4, 1, 1, 4)
_ERASED = 2


def _rdn() -> Pmf:
    return law((b, b, b) for b in BIT)


def _xor() -> Pmf:
    return function(lambda a, b: a ^ b)


def _and() -> Pmf:
    return function(lambda a, b: a & b)


def _rdn_unq_xor() -> Pmf:
    return law(
        (r + 2 * a + 4 * s, r + 2 * b + 4 * t, r + 2 * a + 4 * b + 8 * (s ^ t))
        for r, a, b, s, t in product(BIT, repeat=5)
    )


def _erase() -> Pmf:
    return law(tuple(_ERASED if lost else bit for lost in erased) for bit, *erased in product(BIT, repeat=4))


def _one_of_three() -> Pmf:
    return law(cell for cell in product(BIT, repeat=3) if sum(cell) == 1)


def _random_input() -> Pmf:
    return law((a, b, b if coin else a) for a, b, coin in product(BIT, repeat=3))


_GATES: dict[str, tuple[str, Callable[[], Pmf]]] = {
    "rdn": ("X1 = X2 = Y, one fair bit", _rdn),
    "unq1": (
        "Y = X2, X1 an independent fair bit (unique to the second source)",
        lambda: function(lambda a, b: b),
    ),
    "unq_x1": (
        "Y = X1, X2 an independent fair bit (unique to the first source)",
        lambda: function(lambda a, b: a),
    ),
    "cat": ("Y = (X1, X2), independent fair bits; also copy, unq", lambda: function(lambda a, b: 2 * a + b)),
    "xor": ("Y = X1 xor X2; also syn", _xor),
    "and": ("Y = X1 and X2", _and),
    "or": ("Y = X1 or X2", lambda: function(lambda a, b: a | b)),
    "nand": ("Y = not (X1 and X2)", lambda: function(lambda a, b: 1 - (a & b))),
    "reduced_or": (
        "OR without (1, 1), the zeros as likely as the rest together",
        lambda: law([(0, 0, 0), (0, 1, 1), (1, 0, 1)], (2, 1, 1)),
    ),
    "sum": ("Y = X1 + X2 in {0, 1, 2}", lambda: function(lambda a, b: a + b)),
    "rdn_xor": ("one redundant bit beside an XOR", lambda: side_by_side(_rdn(), _xor())),
    "rdn_unq_xor": ("one redundant bit, one unique bit per source and an XOR", _rdn_unq_xor),
    "xor_shared_noise": (
        "XOR, and a bit that both sources hold and Y does not",
        lambda: side_by_side(law((c, c, 0) for c in BIT), _xor()),
    ),
    "imperfect_rdn": (
        "a redundant bit that X2 misses once in a thousand",
        lambda: law([(0, 0, 0), (0, 1, 0), (1, 1, 1)], (499, 1, 500)),
    ),
    "boom": (
        "the boom distribution of the literature",
        lambda: law([(0, 0, 1), (0, 0, 2), (0, 2, 0), (1, 2, 1), (2, 0, 2), (2, 1, 2)]),
    ),
    "diff": (
        "tells I_proj from BROJA",
        lambda: law([(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 1)]),
    ),
    "dup": (
        "X1 = X2 a fair bit, Y their sum with another",
        lambda: law((a, a, a + noise) for a, noise in product(BIT, repeat=2)),
    ),
    "pwu": (
        "pointwise unique: a coin says which source shows Y (as 1 + y), the other shows 0",
        lambda: law(cell for y in BIT for cell in ((0, 1 + y, y), (1 + y, 0, y))),
    ),
    "w": ("exactly one of X1, X2, Y is 1", _one_of_three),
    "gband": ("one redundant bit beside an AND", lambda: side_by_side(_rdn(), _and())),
    "wb_1": ("first example of Williams & Beer", lambda: law([(0, 0, 0), (0, 1, 1), (1, 0, 2)])),
    "wb_2": ("second example of Williams & Beer", lambda: law([(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 1)])),
    "wb_3": (
        "a variation on wb_2",
        lambda: law([(0, 0, 0), (0, 1, 1), (0, 1, 2), (1, 0, 2), (1, 1, 0), (1, 1, 1)]),
    ),
    "prob_1": (
        "Y a coin unless X1 is 1, then both others are 0; hard for I_dep",
        lambda: law([(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0)]),
    ),
    "prob_2": (
        "a ternary X2, hard for I_downarrow",
        lambda: law([(0, 0, 0), (0, 1, 0), (0, 2, 1), (1, 0, 1)]),
    ),
    "not_two": (
        "uniform over outcomes without exactly two ones",
        lambda: law(cell for cell in product(BIT, repeat=3) if sum(cell) != 2),
    ),
    "f1": ("Y = X1 if X2 is 1, else a third symbol", lambda: function(lambda a, b: a if b else 2)),
    "rand": ("Y is X1 or X2, by the toss of a coin", _random_input),
    "simple": (
        "X1 = X2 a fair bit, which Y shows half of the time",
        lambda: law((a, a, a & shown) for a, shown in product(BIT, repeat=2)),
    ),
    "jeff_2": ("the law of rand, under the catalogue's second name", _random_input),
    "erase": ("X1, X2 and Y are one fair bit, each erased with probability 1/2", _erase),
    "null": (
        "X1 = X2 a fair bit, Y another",
        lambda: law((a, a, y) for a, y in product(BIT, repeat=2)),
    ),
    "uni": ("three independent fair bits", lambda: law(product(BIT, repeat=3))),
    "cat_corr": (
        "Y = (X1, X2), bits that agree with probability 4/5",
        lambda: function(lambda a, b: 2 * a + b, weights=_AGREEING),
    ),
    "xor_corr": (
        "XOR of bits that agree with probability 4/5",
        lambda: function(lambda a, b: a ^ b, weights=_AGREEING),
    ),
    "and_corr": (
        "AND of bits that agree with probability 4/5",
        lambda: function(lambda a, b: a & b, weights=_AGREEING),
    ),
    "mod3_sum": ("Y = X1 + X2 mod 3", lambda: function(lambda a, b: (a + b) % 3, 3, 3)),
    "max3": ("Y = max(X1, X2), uniform ternary sources", lambda: function(max, 3, 3)),
    "equal3": ("Y = [X1 = X2], uniform ternary sources", lambda: function(lambda a, b: int(a == b), 3, 3)),
    "if_mux": (
        "multiplexer: X1 selects the low (0) or high (1) bit of X2",
        lambda: function(lambda a, b: b >> 1 if a else b & 1, 2, 4),
    ),
}
