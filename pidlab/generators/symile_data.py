"""Synthetic data of Symile: from unique information to synergy by one parameter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.finite import Finite
from pidlab.generators.parameters import check_probability, check_whole
from pidlab.info import binary_entropy, entropy

MOST_BITS = 5  # of a modality; the law has 8^bits cells
MOST_SOLVED_BITS = 3  # the solver takes minutes for more


@dataclass(frozen=True)
class Symile(Finite):
    """Binary data of Symile: X1 = a and X2 = b are fair bits, Y = a XOR b with probability p_hat, else a.

    Truth, in closed form. For one bit, with h the binary entropy,

        unique1 = 1 - h(p_hat / 2),   synergy = h(p_hat / 2) - h(p_hat) / 2,   redundant = unique2 = 0,

    so p_hat = 0 is unique information and p_hat = 1 is an XOR. For words of d bits one draw decides for
    all bits, as in the paper. Given a, Y is each other word with probability r = p_hat / 2^d, so

        unique1 = I(X1;Y) = d + (1 - (2^d - 1) r) log2(1 - (2^d - 1) r) + (2^d - 1) r log2 r,
        unique1 + synergy = d - (1 - 2^-d) h(p_hat).

    Y is uniform given b, so redundant = unique2 = 0. In the paper Y is a third modality, as in `parity`.
    Views: `task`, `noise`, `generic`.

    Args:
        p_hat: Probability that Y is the XOR.
        bits: Number of bits of a, b and Y; Y is one label of 2^bits classes. The paper has 5.
        noise: Standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If a value is out of range.

    Source:
        A. Saporta, A. Puli, M. Goldstein, R. Ranganath, Contrasting with Symile: simple model-agnostic
        representation learning for unlimited modalities, NeurIPS 2024, section 5.1, and the released
        experiments/datasets.py.

    Example:
        >>> {term: round(bits, 3) for term, bits in Symile(p_hat=0.5).truth.terms.items()}
        {'redundant': 0.0, 'unique1': 0.189, 'unique2': 0.0, 'synergy': 0.311}
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
        """Return one coordinate in {-1, 1} per bit of the word."""
        places = torch.arange(self.bits - 1, -1, -1)
        return 2.0 * (torch.arange(2**self.bits)[:, None] >> places & 1) - 1.0

    @property
    def truth(self) -> Decomposition:
        words = 2**self.bits
        other = self.p_hat / words
        unique = self.bits - float(entropy(np.array([1.0 - (words - 1) * other] + [other] * (words - 1))))
        total = self.bits - (1.0 - 1.0 / words) * binary_entropy(self.p_hat)
        return Decomposition(0.0, unique, 0.0, total - unique, how="closed form")

    def solve(self) -> Decomposition | None:
        return super().solve() if self.bits <= MOST_SOLVED_BITS else None
