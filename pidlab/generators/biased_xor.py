"""An XOR whose parts are correlated across modalities: pure synergy all the same."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.generators.base import Sample, check_probability
from pidlab.generators.finite import Finite
from pidlab.info import binary_entropy
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True)
class BiasedXor(Finite):
    """S1 is a fair bit in the first modality, S2 = S1 XOR Y in the second, with P(Y = 1) = p.

    Each modality alone is independent of Y, so synergy = h(p) and the other terms are 0, though the
    modalities share I(X1;X2) = 1 - h(p). CoMM's synergy experiment trains on such pairs: with
    `train_p` the training pairs are as biased as asked for, while the truth belongs to `p`.

    Args:
        p: probability that Y is 1 at examination.
        train_p: the same in training; as `p` where it is not given.

    Raises:
        InvalidRequest: a value out of range.

    Source: B. Dufumier, J. Castillo-Navarro, D. Tuia, J.-P. Thiran, What to align in multimodal
    contrastive learning?, ICLR 2025, section 4.1 (the biased bimodal Trifeature pairs).
    """

    name: ClassVar[str] = "biased_xor"

    p: float = 0.1
    train_p: float | None = None

    def __post_init__(self) -> None:
        check_probability(self, "p")
        if self.train_p is not None:
            check_probability(self, "train_p")
        super().__post_init__()

    def law(self, split: str = "eval") -> Float[np.ndarray, "2 2 2"]:
        p = self.p if split != "train" or self.train_p is None else self.train_p
        law = np.zeros((2, 2, 2))
        for s1 in (0, 1):
            law[s1, s1, 0], law[s1, 1 - s1, 1] = (1.0 - p) / 2.0, p / 2.0
        return law

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Both bits flipped with probability 1/2, whatever p is."""
        y = sample.targets["y"]
        first = torch.rand(
            y.shape, generator=torch_generator(child(seed, "symbols"), y.device), device=y.device
        )
        s1 = (first < 0.5).long()
        return {"x1": s1, "x2": s1 ^ y, "y": y}

    @property
    def truth(self) -> Decomposition:
        return Decomposition(0.0, 0.0, 0.0, binary_entropy(self.p), how="closed form")

    @property
    def between_modalities(self) -> float:
        """I(X1;X2) in bits at examination."""
        return 1.0 - binary_entropy(self.p)
