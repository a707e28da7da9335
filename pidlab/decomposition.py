"""Partial information decompositions, in bits: the common result type of the package."""

import html
import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = float | NDArray[np.float64]

TERMS = ("redundant", "unique1", "unique2", "synergy")

# Rows that a notebook shows of a batch.
MOST_ROWS = 10

# Measures whose terms add up over independent parts (Bertschinger et al. 2014 for BROJA; for `gk`, the
# common variable of independent parts is the tuple of their common variables).
ADDITIVE = frozenset({"broja", "gk"})


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition:
    """Information of two sources X1, X2 about a target Y, decomposed into four terms, in bits.

    I(X1,X2;Y) = redundant + unique1 + unique2 + synergy and I(Xi;Y) = redundant + unique_i (Williams & Beer
    2010). Terms are floats for one distribution and float64 arrays of equal shape for a batch.

    Args:
        redundant: Information about Y that both sources contain.
        unique1: Information that only X1 contains.
        unique2: Information that only X2 contains.
        synergy: Information that only X1 and X2 together contain.
        measure: Definition of redundancy (`pidlab list measures`).
        how: How the terms are known: `"design"`, `"closed form"`, `"solver"`, `"quadrature"` or
            `"held-out classifier"`.
        gap: Bound on the error of each term; 0 for exact terms.

    Example:
        >>> truth = Decomposition(redundant=1.0, unique1=0.25, unique2=0.0, synergy=0.5)
        >>> truth.total, truth.mi1
        (1.75, 1.25)
    """

    redundant: Bits
    unique1: Bits
    unique2: Bits
    synergy: Bits
    measure: str = "broja"
    how: str = "design"
    gap: Bits = 0.0

    @property
    def terms(self) -> dict[str, Bits]:
        """Four terms by name, in bits."""
        return {term: getattr(self, term) for term in TERMS}

    @property
    def total(self) -> Bits:
        """I(X1,X2;Y) in bits."""
        return self.redundant + self.unique1 + self.unique2 + self.synergy

    @property
    def mi1(self) -> Bits:
        """I(X1;Y) in bits."""
        return self.redundant + self.unique1

    @property
    def mi2(self) -> Bits:
        """I(X2;Y) in bits."""
        return self.redundant + self.unique2

    @property
    def co_information(self) -> Bits:
        """I(X1;Y) + I(X2;Y) - I(X1,X2;Y) = redundant - synergy, in bits; negative for an XOR."""
        return self.redundant - self.synergy

    @property
    def conditional_mi1(self) -> Bits:
        """I(X1;Y|X2) = unique1 + synergy, in bits."""
        return self.unique1 + self.synergy

    @property
    def conditional_mi2(self) -> Bits:
        """I(X2;Y|X1) = unique2 + synergy, in bits."""
        return self.unique2 + self.synergy

    def __add__(self, other: "Decomposition") -> "Decomposition":
        """Return the decomposition of two independent parts together: terms and gaps add.

        Raises:
            ValueError: If the measures differ, or the measure is not additive.
        """
        if not isinstance(other, Decomposition):
            return NotImplemented
        if self.measure != other.measure or self.measure not in ADDITIVE:
            raise ValueError(
                f"cannot add a {self.measure!r} and a {other.measure!r} decomposition; "
                f"both must use one additive measure ({', '.join(sorted(ADDITIVE))})"
            )
        how = self.how if self.how == other.how else f"{self.how} + {other.how}"
        return Decomposition(
            self.redundant + other.redundant,
            self.unique1 + other.unique1,
            self.unique2 + other.unique2,
            self.synergy + other.synergy,
            measure=self.measure,
            how=how,
            gap=self.gap + other.gap,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decomposition):
            return NotImplemented
        return (self.measure, self.how) == (other.measure, other.how) and all(
            np.array_equal(a, b)
            for a, b in zip((*self.terms.values(), self.gap), (*other.terms.values(), other.gap), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # terms may be arrays

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: terms, total, mi1, mi2, co_information, gap (bits), measure, how."""
        numbers = {
            **self.terms,
            "total": self.total,
            "mi1": self.mi1,
            "mi2": self.mi2,
            "co_information": self.co_information,
            "gap": self.gap,
        }
        plain = {name: np.asarray(value, dtype=np.float64).tolist() for name, value in numbers.items()}
        return {**plain, "measure": self.measure, "how": self.how}

    def __repr__(self) -> str:
        def show(value: Bits) -> str:
            return f"{value:.6g}" if np.ndim(value) == 0 else np.array2string(np.asarray(value), precision=6)

        terms = ", ".join(f"{name}={show(value)}" for name, value in self.terms.items())
        return f"Decomposition({terms} bits; {self.measure} by {self.how}, gap {show(self.gap)})"

    def _repr_html_(self) -> str:
        """Return an HTML table for notebooks: one row per distribution, only the first of a large batch."""
        columns = {**self.terms, "total": self.total, "gap": self.gap}
        size = int(np.prod(np.shape(self.total)))
        shape = np.shape(self.total)
        cells = {name: np.broadcast_to(bits, shape).reshape(-1) for name, bits in columns.items()}
        head = "".join(f"<th>{name} [bits]</th>" for name in cells)
        rows = (
            f"<tr>{''.join(f'<td>{column[i]:.6g}</td>' for column in cells.values())}</tr>"
            for i in range(min(size, MOST_ROWS))
        )
        omitted = f", {MOST_ROWS} of {size} shown" if size > MOST_ROWS else ""
        about = f"<p>{html.escape(self.measure)} by {html.escape(self.how)}{omitted}</p>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{about}"


@dataclass(frozen=True)
class Planted:
    """Information of independent factors planted in more than two sources, in bits.

    A factor is redundant (each of several sources contains it), unique (one source contains it) or
    synergistic (only several sources together contain it). Its name lists these sources: `redundant`,
    `redundant12`, `unique3`, `synergy13`. No measure is needed: the information of any set of sources is the
    sum over the factors that the set contains.

    Args:
        terms: Information of each factor by name, in bits.

    Example:
        >>> Planted({"redundant": 1.0, "synergy13": 0.5}).total
        1.5
    """

    terms: dict[str, float]
    measure: ClassVar[str] = "independent factors"
    how: ClassVar[str] = "design"
    gap: ClassVar[float] = 0.0

    @property
    def total(self) -> float:
        """I(X1,X2,...;Y) in bits."""
        return math.fsum(self.terms.values())

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: every factor, total, gap (bits), measure, how."""
        return {**self.terms, "total": self.total, "gap": self.gap, "measure": self.measure, "how": self.how}
