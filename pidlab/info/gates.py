"""Named distributions of the literature, each built from its rule."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest, nearest

Pmf: TypeAlias = Float[np.ndarray, "n1 n2 ny"]
Outcome: TypeAlias = tuple[int, ...]


def gate(name: str) -> Pmf:
    """Return the pmf p(x1, x2, y) of a named gate.

    Args:
        name: Name or alias of the gate (`pidlab list gates`).

    Returns:
        Probabilities, shape (n1, n2, ny).

    Raises:
        InvalidRequest: If there is no gate of this name.

    Example:
        >>> gate("xor")[0, 1].tolist()
        [0.0, 0.25]
    """
    canonical = ALIASES.get(name, name)
    if canonical not in _GATES:
        raise InvalidRequest(f"unknown gate {name!r}: {nearest(name, [*_GATES, *ALIASES], 3)}")
    return _GATES[canonical][1].copy()


def gates() -> Mapping[str, str]:
    """Return a one-line description of each gate by name.

    Example:
        >>> gates()["and"]
        'Y = X1 and X2'
    """
    return {name: about for name, (about, _) in _GATES.items()}


def independent_product(*parts: Float[np.ndarray, "_ _ _"]) -> Pmf:
    """Combine independent parts into one law; on every axis the first part is the most significant digit.

    Args:
        *parts: Pmfs, each of shape (n1, n2, ny).

    Returns:
        The joint pmf; each axis has the product of the parts' sizes.
    """
    joint = np.ones((1, 1, 1))
    for part in parts:
        joint = np.kron(joint, part)
    return joint


def _law(outcomes: Iterable[Outcome], weights: Sequence[int] | None = None) -> Pmf:
    """Return the pmf of outcomes (x1, x2, y), proportional to `weights` or uniform; repeated ones add up."""
    cells = np.array(list(outcomes))
    counts = np.zeros(cells.max(0) + 1)
    np.add.at(counts, tuple(cells.T), 1 if weights is None else weights)
    return counts / counts.sum()


def _function(
    rule: Callable[[int, int], int], n1: int = 2, n2: int = 2, weights: Sequence[int] | None = None
) -> Pmf:
    """Return the law of Y = rule(X1, X2) for independent uniform sources, or sources weighted in C order."""
    return _law([(a, b, rule(a, b)) for a, b in product(range(n1), range(n2))], weights)


ALIASES = {"copy": "cat", "unq": "cat", "syn": "xor"}

_BIT = (0, 1)
_ERASED = 2
# Weights, in C order, of two bits that agree with probability 4/5.
_AGREEING = (4, 1, 1, 4)
_RDN = _law((b, b, b) for b in _BIT)
_XOR = _function(lambda a, b: a ^ b)
_AND = _function(lambda a, b: a & b)
_RANDOM_INPUT = _law((a, b, b if coin else a) for a, b, coin in product(_BIT, repeat=3))

_GATES: dict[str, tuple[str, Pmf]] = {
    "rdn": ("X1 = X2 = Y, one fair bit", _RDN),
    "unq1": (
        "Y = X2, X1 an independent fair bit (unique to the second source)",
        _function(lambda a, b: b),
    ),
    "unq_x1": (
        "Y = X1, X2 an independent fair bit (unique to the first source)",
        _function(lambda a, b: a),
    ),
    "cat": ("Y = (X1, X2), independent fair bits; also copy, unq", _function(lambda a, b: 2 * a + b)),
    "xor": ("Y = X1 xor X2; also syn", _XOR),
    "and": ("Y = X1 and X2", _AND),
    "or": ("Y = X1 or X2", _function(lambda a, b: a | b)),
    "nand": ("Y = not (X1 and X2)", _function(lambda a, b: 1 - (a & b))),
    "reduced_or": (
        "OR without (1, 1); (0, 0) has probability 1/2",
        _law([(0, 0, 0), (0, 1, 1), (1, 0, 1)], (2, 1, 1)),
    ),
    "sum": ("Y = X1 + X2 in {0, 1, 2}", _function(lambda a, b: a + b)),
    "rdn_xor": ("one redundant bit and an independent XOR", independent_product(_RDN, _XOR)),
    "rdn_unq_xor": (
        "one redundant bit, one unique bit per source and an XOR",
        _law(
            (r + 2 * a + 4 * s, r + 2 * b + 4 * t, r + 2 * a + 4 * b + 8 * (s ^ t))
            for r, a, b, s, t in product(_BIT, repeat=5)
        ),
    ),
    "xor_shared_noise": (
        "XOR, and a bit that both sources share and Y does not depend on",
        independent_product(_law((c, c, 0) for c in _BIT), _XOR),
    ),
    "imperfect_rdn": (
        "a redundant bit that X2 misses with probability 0.001",
        _law([(0, 0, 0), (0, 1, 0), (1, 1, 1)], (499, 1, 500)),
    ),
    "boom": (
        "the boom distribution of the literature",
        _law([(0, 0, 1), (0, 0, 2), (0, 2, 0), (1, 2, 1), (2, 0, 2), (2, 1, 2)]),
    ),
    "diff": ("distinguishes I_proj from BROJA", _law([(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 1)])),
    "dup": (
        "X1 = X2 a fair bit, Y its sum with an independent bit",
        _law((a, a, a + noise) for a, noise in product(_BIT, repeat=2)),
    ),
    "pwu": (
        "pointwise unique: a coin selects the source that shows Y as 1 + y; the other shows 0",
        _law(cell for y in _BIT for cell in ((0, 1 + y, y), (1 + y, 0, y))),
    ),
    "w": ("exactly one of X1, X2, Y is 1", _law(c for c in product(_BIT, repeat=3) if sum(c) == 1)),
    "gband": ("one redundant bit and an independent AND", independent_product(_RDN, _AND)),
    "wb_1": ("first example of Williams & Beer", _law([(0, 0, 0), (0, 1, 1), (1, 0, 2)])),
    "wb_2": ("second example of Williams & Beer", _law([(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 1)])),
    "wb_3": (
        "a variation on wb_2",
        _law([(0, 0, 0), (0, 1, 1), (0, 1, 2), (1, 0, 2), (1, 1, 0), (1, 1, 1)]),
    ),
    "prob_1": (
        "Y a fair coin unless X1 is 1, then X2 = Y = 0; hard for I_dep",
        _law([(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0)]),
    ),
    "prob_2": ("a ternary X2, hard for I_downarrow", _law([(0, 0, 0), (0, 1, 0), (0, 2, 1), (1, 0, 1)])),
    "not_two": (
        "uniform over outcomes without exactly two ones",
        _law(cell for cell in product(_BIT, repeat=3) if sum(cell) != 2),
    ),
    "f1": ("Y = X1 if X2 is 1, else a third symbol", _function(lambda a, b: a if b else 2)),
    "rand": ("Y is X1 or X2, selected by a fair coin", _RANDOM_INPUT),
    "simple": (
        "X1 = X2 a fair bit, which Y shows with probability 1/2",
        _law((a, a, a & shown) for a, shown in product(_BIT, repeat=2)),
    ),
    "jeff_2": ("the law of rand under a second name of the literature", _RANDOM_INPUT),
    "erase": (
        "X1, X2 and Y are one fair bit, each erased with probability 1/2",
        _law(tuple(_ERASED if lost else bit for lost in erased) for bit, *erased in product(_BIT, repeat=4)),
    ),
    "null": (
        "X1 = X2 a fair bit, Y an independent one",
        _law((a, a, y) for a, y in product(_BIT, repeat=2)),
    ),
    "uni": ("three independent fair bits", _law(product(_BIT, repeat=3))),
    "cat_corr": (
        "Y = (X1, X2), bits that agree with probability 4/5",
        _function(lambda a, b: 2 * a + b, weights=_AGREEING),
    ),
    "xor_corr": (
        "XOR of bits that agree with probability 4/5",
        _function(lambda a, b: a ^ b, weights=_AGREEING),
    ),
    "and_corr": (
        "AND of bits that agree with probability 4/5",
        _function(lambda a, b: a & b, weights=_AGREEING),
    ),
    "mod3_sum": ("Y = X1 + X2 mod 3", _function(lambda a, b: (a + b) % 3, 3, 3)),
    "max3": ("Y = max(X1, X2), uniform ternary sources", _function(max, 3, 3)),
    "equal3": ("Y = [X1 = X2], uniform ternary sources", _function(lambda a, b: int(a == b), 3, 3)),
    "if_mux": (
        "multiplexer: X1 selects the low (0) or high (1) bit of X2",
        _function(lambda a, b: b >> 1 if a else b & 1, 2, 4),
    ),
}
