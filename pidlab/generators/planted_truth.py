"""Truth of a planted decomposition if its classes are not perfectly separable: merged symbols and bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from pidlab.decomposition import Decomposition
from pidlab.generators.atoms_stack import Slot, shown_values
from pidlab.generators.generator import Target

# Conditional probabilities closer than this are equal up to rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Coding:
    """Symbols that the classes of two feature banks must distinguish.

    Args:
        laws: Joint pmf p(c1, c2, t) of the cells of both modalities and each target.
        slots: Binary symbols that the cells encode (`Atoms`); empty for laws of one target.
    """

    laws: Mapping[str, Float[np.ndarray, "n1 n2 y"]]
    slots: Sequence[Slot] = ()

    @cached_property
    def pair_law(self) -> Float[np.ndarray, "n1 n2"]:
        """Joint pmf of the cells of both modalities."""
        return next(iter(self.laws.values())).sum(2)

    @cached_property
    def symbols(self) -> tuple[Int[np.ndarray, " n1"], Int[np.ndarray, " n2"]]:
        """Symbol of every cell of a modality, -1 for cells of probability 0.

        Cells with equal conditional laws of the other modality and of every target share a symbol. It is a
        sufficient statistic, so that all information is kept, and a term of 0 bits needs no classes.
        """
        return (self._merge(0), self._merge(1))

    @cached_property
    def priors(self) -> tuple[Float[np.ndarray, " k1"], Float[np.ndarray, " k2"]]:
        """Probability of every symbol of a modality."""
        first, second = (
            np.bincount(symbols[symbols >= 0], weights=self.pair_law.sum(1 - m)[symbols >= 0])
            for m, symbols in enumerate(self.symbols)
        )
        return first / first.sum(), second / second.sum()

    @property
    def pairs(self) -> int:
        """Number of pairs of symbols that occur together."""
        one, two = np.nonzero(self.pair_law)
        return len(set(zip(self.symbols[0][one].tolist(), self.symbols[1][two].tolist(), strict=True)))

    def parts(self, target: str, m: int) -> Int[np.ndarray, " k"]:
        """Return the part of every symbol of modality `m` that a target depends on, numbered from 0.

        If a symbol has cells of several parts, the target has no information, and there is one part.
        """
        symbols = self.symbols[m]
        cells = np.flatnonzero(symbols >= 0)
        if not self.slots:
            return np.arange(len(self.priors[m]))
        part, radix, place = np.zeros(len(symbols), dtype=np.int64), 1, 1
        for slot in (slot for slot in self.slots if slot.term != "shared"):
            # The first slot is the least significant digit of a cell (`cell_law`).
            values = len(shown_values(slot, m))
            if slot.term == target:
                part += place * (np.arange(len(symbols)) // radix % values)
                place *= values
            radix *= values
        found = {(symbol, value) for symbol, value in zip(symbols[cells], part[cells], strict=True)}
        parts = np.zeros(len(self.priors[m]), dtype=np.int64)
        if len(found) == len(parts):
            parts[symbols[cells]] = np.unique(part[cells], return_inverse=True)[1]
        return parts

    def _merge(self, m: int) -> Int[np.ndarray, " n"]:
        rows = [np.moveaxis(law, m, 0).reshape(law.shape[m], -1) for law in self.laws.values()]
        joint, mass = np.concatenate(rows, axis=1), rows[0].sum(1)
        symbols, known = np.full(len(joint), -1), np.empty((0, joint.shape[1]))
        for cell in np.flatnonzero(mass > 0):
            given = joint[cell] / mass[cell]
            equal = np.flatnonzero((np.abs(known - given) < ROUNDING).all(1))
            symbols[cell] = equal[0] if len(equal) else len(known)
            if not len(equal):
                known = np.vstack([known, given])
        return symbols


def bound_terms(planted: Decomposition, lost: Sequence[float]) -> dict[str, tuple[float, float]]:
    r"""Bound the BROJA terms of features that show symbols imperfectly.

    Let C_i be the symbol of modality i with Y - (C1, C2) - (X1, X2) and X1, X2 independent given (C1, C2),
    X_i depending on C_i only. Let h_i >= H(C_i|X_i) and h >= H(C1|X1) + H(C2|X2). Write UI(X1\X2) for U1 and
    Un for the union information.

    - Informations fall by at most the equivocation: I(C_i;Y) - I(X_i;Y) = I(C_i;Y|X_i) <= h_i, and
      I(C1,C2;Y) - I(X1,X2;Y) <= h. Processing never raises them, nor the union information.
    - Un(C1,C2) <= Un(X1,C2) + h1: give the optimal coupling of (X1, C2) the variable C1 by p(c1|x1, y).
      It has the pairs of (C1, C2), and C1 adds at most H(C1|X1).
    - UI(X1\X2) falls under processing of X1 and rises under processing of X2 (Banerjee, Rauh and Montufar
      2018). With UI(X1\X2) = Un - I(X2;Y) the above gives
      UI(C1\C2) - h1 <= UI(X1\C2) <= UI(X1\X2) <= UI(C1\X2) <= UI(C1\C2) + h2.
    - R = I(X1;Y) - UI(X1\X2) therefore falls under processing of either modality, by at most h.
    - S = I(X1,X2;Y) - Un differs by at most h in both directions.

    Only R cannot exceed its planted value. Overlap of the classes of X2 makes redundant information unique to
    X1, and two noisy copies of a redundant symbol have synergy. No term exceeds the planted information that
    contains it: U_i <= I(C_i;Y) and S <= I(C1,C2;Y).

    Args:
        planted: Decomposition of the symbols in bits.
        lost: h1, h2 and h in bits.

    Returns:
        Lower and upper bound of every term, in bits.

    Example:
        >>> bounds = bound_terms(Decomposition(1.0, 1.0, 0.0, 0.0), (0.1, 0.2, 0.25))
        >>> bounds["unique1"], bounds["unique2"]
        ((0.9, 1.2), (0.0, 0.1))
    """
    first, second, both = lost
    r, u1, u2, s = (float(bits) for bits in planted.terms.values())
    return {
        "redundant": (max(r - both, 0.0), r),
        "unique1": (max(u1 - first, 0.0), min(u1 + second, u1 + r)),
        "unique2": (max(u2 - second, 0.0), min(u2 + first, u2 + r)),
        "synergy": (max(s - both, 0.0), min(s + both, r + u1 + u2 + s)),
    }


def with_lower_bounds(target: Target, lost: Sequence[float]) -> Target:
    """Add lower bounds to the information about a target, which features of the symbols have at most.

    Let V_i be the part of the symbol C_i that T depends on. Then T - (V1, V2) - (X1, X2), and therefore
    I(C_i;T) - I(X_i;T) = I(V_i;T|X_i) <= H(V_i|X_i), and the sum of both for (X1, X2). In addition,
    I(X1,X2;T) >= I(X_i;T).

    Args:
        target: Specification of T with the information of the symbols.
        lost: Upper bounds of H(V1|X1), of H(V2|X2) and of their sum, in bits.

    Returns:
        The specification with `low`.
    """
    planted = target.information
    low: dict[tuple[int, ...], float] = {(m,): max(planted[m,] - lost[m], 0.0) for m in (0, 1)}
    low[0, 1] = max(planted[0, 1] - lost[2], *low.values())
    return replace(target, low=low)
