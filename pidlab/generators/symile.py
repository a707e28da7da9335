"""Symile's synthetic data: a dial from unique information to synergy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.base import check_probability, check_whole
from pidlab.generators.finite import Finite
from pidlab.info import binary_entropy, entropy

MOST_BITS = 5  # of a modality; the law has 8^bits cells


@dataclass(frozen=True)
class Symile(Finite):
    """Symile's binary data: X1 = a and X2 = b are fair bits, Y = a XOR b with probability p_hat, else a.

    Of one bit, with h the binary entropy,

        unique1 = 1 - h(p_hat / 2),   synergy = h(p_hat / 2) - h(p_hat) / 2,   redundant = unique2 = 0:

    p_hat = 0 is unique information alone, p_hat = 1 an XOR. Of d bits each, one draw decides for all of
    them, as in the paper. Given a, Y is any other word with probability r = p_hat / 2^d, so

        unique1 = I(X1;Y) = d + (1 - (2^d - 1) r) log2(1 - (2^d - 1) r) + (2^d - 1) r log2 r,
        unique1 + synergy = d - (1 - 2^-d) h(p_hat).

    Y is uniform given b: redundant = unique2 = 0. In the paper Y is a third modality.

    Args:
        p_hat: the dial.
        bits: of a, b and Y; Y is all of them as one label. The paper has 5.

    Raises:
        InvalidRequest: a value out of range.

    Source: A. Saporta, A. Puli, M. Goldstein, R. Ranganath, Contrasting with Symile: simple
    model-agnostic representation learning for unlimited modalities, NeurIPS 2024, section 5.1, and the
    released experiments/datasets.py.
    """

    name: ClassVar[str] = "symile"

    p_hat: float = 0.5
    bits: int = 1

    def __post_init__(self) -> None:
        check_probability(self, "p_hat")
        check_whole(self, bits=1)
        if self.bits > MOST_BITS:
            raise InvalidRequest(f"bits = {self.bits}: expected {MOST_BITS} or fewer")
        super().__post_init__()

    def law(self, split: str = "eval") -> Float[np.ndarray, "n n n"]:
        words = np.arange(2**self.bits)
        a, b = np.meshgrid(words, words, indexing="ij")
        law = np.zeros((len(words),) * 3)
        law[a, b, a] = 1.0 - self.p_hat
        law[a, b, a ^ b] += self.p_hat
        return law / law.sum()

    def code(self, m: int) -> Float[Tensor, "symbols coordinates"]:
        """Every bit has a coordinate of its own."""
        places = torch.arange(self.bits - 1, -1, -1)
        return 2.0 * (torch.arange(2**self.bits)[:, None] >> places & 1) - 1.0

    @property
    def truth(self) -> Decomposition:
        words = 2**self.bits
        other = self.p_hat / words
        unique = self.bits - float(entropy(np.array([1.0 - (words - 1) * other] + [other] * (words - 1))))
        total = self.bits - (1.0 - 1.0 / words) * binary_entropy(self.p_hat)
        return Decomposition(0.0, unique, 0.0, total - unique, how="closed form")

    def solved(self) -> Decomposition | None:
        # Above three bits the solver takes its time.
        return super().solved() if self.bits <= 3 else None
