"""Jointly Gaussian modalities and target with any redundant, unique and synergistic bits."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import TERMS, Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.base import (
    Sample,
    Target,
    ViewInformation,
    check_classes,
    check_nonnegative,
    check_policy,
)
from pidlab.generators.latent import Rendered, one_target
from pidlab.info import gaussian
from pidlab.info.gaussian import equal_edges, quantized_decomposition
from pidlab.seeds import child, torch_generator

# A block of b bits needs noise 2^b times finer than its signal, and float32 has 24 bits.
MOST_BITS = 12.0

# Of unit variance, the least noise of what the modalities of an S block show together: float32 costs it
# some thousandths of a bit.
FINEST = 1e-6

# Where the solver wants a positive definite covariance, shared noise is correlated by this much.
ALMOST_ONE = 1.0 - 1e-9


@dataclass(frozen=True)
class Gaussian(Rendered):
    """Linear-Gaussian data: four independent blocks, one per term, each about its own part of Y.

    Y = (Y_r, Y_u1, Y_u2, Y_s) is standard normal. A block of b bits sees g Y_k + N with
    1/2 log2(1 + g^2) = b: for R the same noisy copy in both modalities, for U_i one in modality i. For S
    both see g Y_s + N_i with noises correlated by rho:

        I1 = I2 = 1/2 log2(1 + g^2),   I12 = 1/2 log2(1 + 2 g^2 / (1 + rho)),

    and BROJA = MMI for a scalar Y (Barrett 2015), so the block brings redundancy, its leak I1, that is taken
    off the R block. Without an R block the leak is unique: one modality alone sees g Y_s, the other noise,

        I1 = 1/2 log2(1 + g^2),   I2 = 0,   I12 = 1/2 log2(1 + g^2 / (1 - rho^2)),

    and it is taken off that modality's U block. So the terms are those asked for. Synergy alone is
    impossible: I1 = I2 = 0 means cov(X1, Y) = cov(X2, Y) = 0, and of jointly normal variables I12 = 0.

    `truth` is about the continuous Y. Targets are its four parts, each cut into `classes` bins of equal mass;
    their information, less than the term's, is computed by quadrature (`examined`).

    Args:
        redundant: bits in both modalities.
        unique1: bits in the first modality only.
        unique2: bits in the second only.
        synergy: bits in neither alone.
        classes: bins of every part of Y.
        leak: bits that the synergy brings: redundant ones, or unique ones where nothing is redundant, and
            all of them where these are fewer.
        depth: leaky ReLU layers; 0 keeps everything Gaussian.

    Raises:
        InvalidRequest: synergy alone, more than 12 bits in a term, a leak that float32 cannot show, a value
            out of range.
    """

    name: ClassVar[str] = "gaussian"

    redundant: float = 1.0
    unique1: float = 1.0
    unique2: float = 1.0
    synergy: float = 1.0
    classes: int = 8
    leak: float = 0.1
    depth: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_nonnegative(self, *TERMS, "leak")
        check_classes(self)
        for term in TERMS:
            if getattr(self, term) > MOST_BITS:
                raise InvalidRequest(
                    f"{term} = {getattr(self, term):g}: a Gaussian block holds at most {MOST_BITS:g} bits"
                )
        if self.synergy and not self.leaked:
            raise InvalidRequest(
                f"synergy = {self.synergy:g} with no other bits or leak = {self.leak:g}: Gaussian synergy is "
                "never pure; ask for redundant, unique1 or unique2 and leak above 0, or take modular"
            )
        gain = math.sqrt(odds(self.leaked))
        if math.sqrt(1.0 + self._correlation) / math.hypot(1.0, gain) < FINEST:
            raise InvalidRequest(
                f"synergy = {self.synergy:g} with {self.leaked:g} bits of leak (leak = {self.leak:g}, "
                f"{self.leaks} = {getattr(self, self.leaks):g}): float32 cannot show what is left where the "
                "modalities cancel; ask for .001 to 1 bits of leak"
            )
        super().__post_init__()

    @property
    def leaks(self) -> str:
        """The term that the synergy block's leak is taken off."""
        return next((term for term in TERMS[:3] if getattr(self, term)), "redundant")

    @property
    def leaked(self) -> float:
        """Bits that the synergy block brings beside synergy."""
        return min(self.leak, getattr(self, self.leaks)) if self.synergy else 0.0

    @property
    def coordinates(self) -> tuple[int, int]:
        return (3, 3)

    @property
    def shape_key(self) -> Any:
        return (self.classes, *super().shape_key)

    @property
    def truth(self) -> Decomposition:
        return Decomposition(self.redundant, self.unique1, self.unique2, self.synergy, how="closed form")

    @property
    def _told(self) -> dict[str, tuple[float, float, float]]:
        """Bits that X1, X2 and both hold about each part of Y."""
        left = {term: getattr(self, term) - self.leaked * (term == self.leaks) for term in TERMS[:3]}
        r, u1, u2 = left.values()
        first, second = (self.leaked * (self.leaks in ("redundant", own)) for own in ("unique1", "unique2"))
        return {
            "redundant": (r, r, r),
            "unique1": (u1, 0.0, u1),
            "unique2": (0.0, u2, u2),
            "synergy": (first, second, self.leaked + self.synergy),
        }

    def _quantised(self, term: str) -> Decomposition:
        one, two, both = map(explained, self._told[term])
        return quantized_decomposition(one, two, both, self.classes)

    @property
    def examined(self) -> Decomposition:
        first, *rest = map(self._quantised, TERMS)
        return sum(rest, start=first)

    @property
    def targets(self) -> dict[str, Target]:
        """The four parts of Y, each cut into bins of equal mass."""
        prior = (1.0 / self.classes,) * self.classes
        return {term: one_target(self._quantised(term), prior, term) for term in TERMS}

    def solved(self) -> Decomposition:
        return gaussian(self.covariance(), (4, 3, 3))

    def covariance(self, shared: float = ALMOST_ONE) -> Float[np.ndarray, "10 10"]:
        """Covariance of (Y, X1, X2) before rendering.

        Args:
            shared: correlation of the noises of the R block, 1 in the data.
        """
        gain = np.zeros((2, 3, 4))
        for m, gains in enumerate(self._gains):
            for row, part in enumerate((0, 1 + m, 3)):
                gain[m, row, part] = gains[part]
        channel = np.concatenate(gain)
        noise = np.eye(6)
        noise[0, 3] = noise[3, 0] = shared
        noise[2, 5] = noise[5, 2] = self._correlation
        return np.block([[np.eye(4), channel.T], [channel, channel @ channel.T + noise]])

    @property
    def _gains(self) -> list[list[float]]:
        """Gains of the parts of Y, in the order of the terms, for each modality."""
        return [[math.sqrt(odds(told[m])) for told in self._told.values()] for m in (0, 1)]

    @property
    def _correlation(self) -> float:
        """Rho, of the noises of the S block."""
        if not self.synergy:
            return 0.0
        first, second, both = map(odds, self._told["synergy"])
        if first and second:
            return 2.0 * first / both - 1.0
        return -math.sqrt(1.0 - (first + second) / both)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';T) per term, in bits.

        `task` keeps Y and draws the noise afresh, so two views are noisy looks at one normal variable:
        I(X;X') = -1/2 log2(1 - r^4) with r^2 = 1 - 2^(-2 bits). `noise` keeps the coordinates, of which
        the information is infinite.
        """
        check_policy(self, policy)
        if policy == "generic":
            return {term: ViewInformation(None, None) for term in TERMS}
        stated = {}
        for term, target in self.targets.items():
            r2 = explained(self._told[term][2])
            between = -0.5 * math.log2(1.0 - r2 * r2) if policy == "task" else None
            stated[term] = ViewInformation(between, target.information[0, 1])
        return stated

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        return {
            name: torch.randn((rows, n), generator=torch_generator(child(seed, name), device), device=device)
            for name, rows in (("target", 4), ("channel", 5))
        }

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        y = latents["target"]
        edges = torch.as_tensor(equal_edges(self.classes), dtype=y.dtype, device=y.device)
        return dict(zip(TERMS, torch.bucketize(y, edges, right=True).unbind(), strict=True))

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Y is kept, the noise drawn afresh."""
        y = sample.latents["target"]
        return self.draw(y.shape[-1], seed, device=y.device) | {"target": y}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        y, noise = latents["target"], latents["channel"]
        rho = self._correlation
        crossed = noise[3] if m == 0 else rho * noise[3] + math.sqrt(1.0 - rho * rho) * noise[4]
        parts = ((0, noise[0]), (1 + m, noise[1 + m]), (3, crossed))
        gains = self._gains[m]
        # Scaled to unit variance, which changes no information.
        return torch.stack([(gains[k] * y[k] + n) / math.hypot(1.0, gains[k]) for k, n in parts])


def odds(bits: float) -> float:
    """Signal to noise of a normal variable in normal noise that tells these bits: 2^(2 bits) - 1."""
    return math.expm1(2.0 * bits * math.log(2.0))


def explained(bits: float) -> float:
    """The part of a normal variable's variance that these bits about it explain: 1 - 2^(-2 bits)."""
    return -math.expm1(-2.0 * bits * math.log(2.0))
