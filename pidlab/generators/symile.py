"""Symile's synthetic data: a dial from unique information to synergy."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.checks import check_probability, check_whole
from pidlab.generators.finite import Finite
from pidlab.info import binary_entropy

MOST_BITS = 5  # of a modality; the law has 8^bits cells


@dataclass(frozen=True)
class Symile(Finite):
    """Symile's binary data: X1 = a and X2 = b are fair bits, Y = a XOR b with probability p_hat, else a.

    For every bit, with h the binary entropy,

        unique1 = 1 - h(p_hat / 2),   synergy = h(p_hat / 2) - h(p_hat) / 2,   redundant = unique2 = 0:

    p_hat = 0 is unique information alone, p_hat = 1 an XOR. In the paper Y is a third modality.

    Args:
        p_hat: the dial.
        bits: independent bits of a, b and Y; Y is all of them as one label. The paper has 5.

    Raises:
        InvalidRequest: a value out of range.

    Source: A. Saporta, A. Puli, M. Goldstein, R. Ranganath, Contrasting with Symile: simple
    model-agnostic representation learning for unlimited modalities, NeurIPS 2024, section 5.1.
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
        one = np.zeros((2, 2, 2))
        for a in (0, 1):
            for b in (0, 1):
                one[a, b, a ^ b] += self.p_hat / 4.0
                one[a, b, a] += (1.0 - self.p_hat) / 4.0
        return reduce(np.kron, [one] * self.bits)

    def code(self, m: int) -> Float[Tensor, "symbols coordinates"]:
        """Every bit has a coordinate of its own."""
        places = torch.arange(self.bits - 1, -1, -1)
        return 2.0 * (torch.arange(2**self.bits)[:, None] >> places & 1) - 1.0

    @property
    def truth(self) -> Decomposition:
        unique = 1.0 - binary_entropy(self.p_hat / 2.0)
        synergy = binary_entropy(self.p_hat / 2.0) - binary_entropy(self.p_hat) / 2.0
        return Decomposition(0.0, self.bits * unique, 0.0, self.bits * synergy, how="closed form")

    def solved(self) -> Decomposition | None:
        # Above three bits the solver takes its time, and the parts add up.
        return super().solved() if self.bits <= 3 else None
