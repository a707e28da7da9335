"""The record that everybody in pidlab speaks in: a partial information decomposition, in bits."""

import html
import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = float | NDArray[np.float64]

TERMS = ("redundant", "unique1", "unique2", "synergy")

# Distributions of a batch that a notebook shows.
MOST_ROWS = 10

# Measures that add up over independent parts (Bertschinger et al. 2014 for BROJA; the common variable
# of independent parts is that of each of them).
ADDITIVE = frozenset({"broja", "gk"})


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition:
    """Information that two sources X1, X2 hold about a target Y, split in four terms, in bits.

    I(X1,X2;Y) = redundant + unique1 + unique2 + synergy, I(Xi;Y) = redundant + unique_i.

    Args:
        redundant: bits about Y that each source holds.
        unique1: bits that only X1 holds.
        unique2: bits that only X2 holds.
        synergy: bits that only both together hold.
        measure: the definition of redundancy that is meant, `"broja"` unless said otherwise.
        how: how the numbers are known: `"design"`, `"closed form"`, `"solver"`, `"quadrature"`.
        gap: certified bound on the error of every term, in bits; 0 where exact.

    Terms are floats for one distribution, float64 arrays of equal shape for a batch.
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
        """The four terms by name, in bits."""
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
        """The decomposition of two independent parts side by side: terms and gaps add.

        Raises:
            ValueError: the parts are of different measures, or of one that does not add up.
        """
        if not isinstance(other, Decomposition):
            return NotImplemented
        if self.measure != other.measure or self.measure not in ADDITIVE:
            raise ValueError(
                f"cannot add a {self.measure!r} and a {other.measure!r} decomposition: "
                f"only parts of one additive measure add up ({', '.join(sorted(ADDITIVE))})"
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
        """A JSON-ready dict: terms, total, mi1, mi2, co_information, gap (bits), measure, how."""
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
        """A table for notebooks: a row per distribution, the first ones of a large batch."""
        columns = {**self.terms, "total": self.total, "gap": self.gap}
        size = int(np.prod(np.shape(self.total)))
        shape = np.shape(self.total)
        cells = {name: np.broadcast_to(bits, shape).reshape(-1) for name, bits in columns.items()}
        head = "".join(f"<th>{name} [bits]</th>" for name in cells)
        rows = (
            f"<tr>{''.join(f'<td>{found[i]:.6g}</td>' for found in cells.values())}</tr>"
            for i in range(min(size, MOST_ROWS))
        )
        some = f", {MOST_ROWS} of {size} shown" if size > MOST_ROWS else ""
        about = f"<p>{html.escape(self.measure)} by {html.escape(self.how)}{some}</p>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{about}"


@dataclass(frozen=True)
class Planted:
    """What is known by design of more than two sources: bits of independent factors.

    A factor is held redundantly (by each of some sources), uniquely (by one) or synergistically (by some
    together, and by fewer not at all); its name says by which: `redundant`, `redundant12`, `unique3`,
    `synergy13`. No measure is needed, and none of two sources would do: what any set of sources holds is
    the sum over the factors that it holds.

    Args:
        terms: bits by factor.
    """

    terms: dict[str, float]
    measure: ClassVar[str] = "independent factors"
    how: ClassVar[str] = "design"
    gap: ClassVar[float] = 0.0

    @property
    def total(self) -> float:
        """I(X1,X2,X3;Y) in bits."""
        return math.fsum(self.terms.values())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict: every factor, total, gap (bits), measure, how."""
        return {**self.terms, "total": self.total, "gap": self.gap, "measure": self.measure, "how": self.how}
