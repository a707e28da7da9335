"""An XOR whose inputs are correlated across modalities; its information is purely synergistic."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.generators.finite import Finite
from pidlab.generators.generator import Sample
from pidlab.generators.parameters import check_probability
from pidlab.info import binary_entropy
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True)
class BiasedXor(Finite):
    """S1 is a fair bit in the first modality, S2 = S1 XOR Y in the second, with P(Y = 1) = p.

    Truth, in closed form: each modality alone is independent of Y, so synergy = h(p) and the other terms
    are 0, although the modalities share I(X1;X2) = 1 - h(p). Views: `task`, `noise`, `generic`.

    CoMM's experiment on synergy trains on such biased pairs. ``train_p`` sets the bias of the split
    ``"train"``; the truth is that of ``p``.

    Args:
        p: Probability that Y is 1 in the split ``"eval"``.
        train_p: Probability that Y is 1 in the split ``"train"``; equal to ``p`` by default.
        noise: Standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If a value is out of range.

    Source:
        B. Dufumier, J. Castillo-Navarro, D. Tuia, J.-P. Thiran, What to align in multimodal contrastive
        learning?, ICLR 2025, section 4.1 (the biased bimodal Trifeature pairs).

    Example:
        >>> round(BiasedXor(p=0.1).truth.synergy, 3)
        0.469
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
        """Flip both bits with probability 1/2, which is p(x1, x2 | y) for every p."""
        y = sample.targets["y"]
        generator = torch_generator(child(seed, "symbols"), y.device)
        s1 = (torch.rand(y.shape, generator=generator, device=y.device) < 0.5).long()
        return {"x1": s1, "x2": s1 ^ y, "y": y}

    @property
    def truth(self) -> Decomposition:
        return Decomposition(0.0, 0.0, 0.0, binary_entropy(self.p), how="closed form")

    @property
    def between_modalities(self) -> float:
        """I(X1;X2) in bits, in the split ``"eval"``."""
        return 1.0 - binary_entropy(self.p)
