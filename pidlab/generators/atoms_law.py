"""The symbols that `Atoms` are made of, and their exact joint law with Y."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest
from pidlab.info import binary_entropy, inverse_binary_entropy

# Cells of the largest law that is assembled; the solver's own limit in time is near.
MOST_CELLS = 2**14


@dataclass(frozen=True)
class Slot:
    """One binary symbol of a term.

    Args:
        term: the term it belongs to; `"shared"` is nuisance that both modalities hold.
        p: probability that the symbol is 1.
        keep: probability that it is expressed (as ±1, else 0).
        flip: probability that Y sees it flipped.
        gap: least distance between two of its rendered values, which bounds its noise.
    """

    term: str
    p: float
    keep: float
    flip: float
    gap: float

    @property
    def label_probability(self) -> float:
        """Probability that Y's bit is 1."""
        return self.p + self.flip - 2.0 * self.p * self.flip

    def information(self, channel_uses: int = 1, redrawn: float = 0.0) -> float:
        """Bits between the symbol and a copy behind `channel_uses` of Y's channel.

        The copy is drawn afresh from the symbol's own law with probability `redrawn`.
        """
        flip = (1.0 - (1.0 - 2.0 * self.flip) ** channel_uses) / 2.0
        # The copy is 1, given that the symbol is 0 and given that it is 1.
        given = [(1.0 - redrawn) * seen + redrawn * self.p for seen in (flip, 1.0 - flip)]
        law = (1.0 - self.p, self.p)
        after = sum(p * seen for p, seen in zip(law, given, strict=True))
        lost = math.fsum(p * binary_entropy(seen) for p, seen in zip(law, given, strict=True))
        return self.keep * (binary_entropy(after) - lost)


def slot_count(term: str, bits: float) -> int:
    """How many symbols a term has: one without bits keeps a constant one, so that shapes stay as they are."""
    return max(math.ceil(bits), 0 if term.startswith("shared") else 1)


@lru_cache(maxsize=1024)  # a sweep varies few terms at a time
def slots_of(term: str, bits: float, tuning: str) -> tuple[Slot, ...]:
    """The symbols of a term of so many bits."""
    return tuple(_made(term, bits, tuning))


def gap_of(tuning: str) -> float:
    """The least distance between rendered values of a symbol so tuned."""
    return 1.0 if tuning == "erasure" else 2.0


def _made(term: str, bits: float, tuning: str) -> Iterator[Slot]:
    gap = gap_of(tuning)
    for i in range(slot_count(term, bits)):
        f = min(bits - i, 1.0)
        if tuning == "entropy":
            yield Slot(term, p=inverse_binary_entropy(f), keep=1.0, flip=0.0, gap=gap)
        elif tuning == "erasure":
            yield Slot(term, p=0.5, keep=f, flip=0.0, gap=gap)
        else:
            yield Slot(term, p=0.5, keep=1.0, flip=inverse_binary_entropy(1.0 - f), gap=gap)


def symbol_law(slots: Sequence[Slot]) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(x1, x2, y) of independent symbols together; on every axis the first one is most significant.

    Left out are nuisance and symbols of no bits, of which Y's digit is noise of its own.

    Raises:
        InvalidRequest: more than 2^14 cells.
    """
    informed = [slot for slot in slots if slot.term != "shared" and slot.information() > 0.0]
    laws = [np.ones((1, 1, 1)), *map(slot_law, informed)]
    shape = [math.prod(sizes) for sizes in zip(*(law.shape for law in laws), strict=True)]
    if math.prod(shape) > MOST_CELLS:
        raise InvalidRequest(
            f"the joint law has {' x '.join(map(str, shape))} = {math.prod(shape)} cells: "
            f"too many to assemble (at most {MOST_CELLS}); ask for fewer bits"
        )
    return reduce(np.kron, laws)


def slot_law(slot: Slot) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(x1, x2, y) of one symbol as the modalities show it: -1, 0 or 1, each axis without empty ones."""
    law = _full_law(slot)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        law = np.compress(law.sum(others) > 0, law, axis)
    return law


def values_shown(slot: Slot, modality: int) -> tuple[int, ...]:
    """The values that a modality can show of a symbol, whatever their probability."""
    if slot.term in ("unique1", "unique2") and slot.term != f"unique{modality + 1}":
        return (0,)
    erasable = slot.gap == 1.0 and not (slot.term == "synergy" and modality == 0)
    return (-1, 0, 1) if erasable else (-1, 1)


def cell_law(slots: Sequence[Slot], term: str) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(c1, c2, y) of all that two modalities show of `slots` together and of the target of `term`.

    A cell is a number in mixed radix over `values_shown`, the first symbol least significant; values of
    no probability keep their place, so that the shape is that of every generator of equal signature.
    """
    laws = [np.ones((1, 1, 1))]
    for slot in reversed(slots):
        shown = [[value + 1 for value in values_shown(slot, m)] for m in (0, 1)]
        law = _full_law(slot)[np.ix_(*shown, (0, 1))]
        laws.append(law if slot.term == term else law.sum(2, keepdims=True))
    return reduce(np.kron, laws)


def _full_law(slot: Slot) -> Float[np.ndarray, "3 3 2"]:
    law = np.zeros((3, 3, 2))
    for symbol, first, shown, flipped in product((0, 1), repeat=4):
        signed = 2 * symbol - 1
        if slot.term == "synergy":  # the XOR of two bits, of which the second can be erased
            x1, x2 = 2 * first - 1, (2 * (first ^ symbol) - 1) * shown
        else:
            x1 = signed * shown if slot.term != "unique2" else 0
            x2 = signed * shown if slot.term != "unique1" else 0
        law[x1 + 1, x2 + 1, symbol ^ flipped] += (
            (slot.p if symbol else 1.0 - slot.p)
            * (slot.keep if shown else 1.0 - slot.keep)
            * (slot.flip if flipped else 1.0 - slot.flip)
            / 2.0
        )
    return law
