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
from pidlab.generators.generator import Sample, Target, ViewInformation, target_from_truth
from pidlab.generators.latent import Rendered
from pidlab.generators.parameters import check_classes, check_nonnegative
from pidlab.info import gaussian
from pidlab.info.gaussian_decomposition import equal_edges, quantized_decomposition
from pidlab.seeds import child, torch_generator

# A block of b bits needs noise 2^b times smaller than its signal, and float32 has 24 bits.
MOST_BITS = 12.0

# Least standard deviation of the common noise of a synergy block, relative to a coordinate of variance 1.
# At this value float32 rounding costs some thousandths of a bit.
LEAST_NOISE = 1e-6

# Correlation of shared noise for the solver, which needs a positive definite covariance.
ALMOST_ONE = 1.0 - 1e-9


@dataclass(frozen=True)
class Gaussian(Rendered):
    """Linear-Gaussian data: four independent blocks, one per term, each about its own part of Y.

    Distribution: Y = (Y_r, Y_u1, Y_u2, Y_s) is standard normal. A block of b bits observes g Y_k + N with
    1/2 log2(1 + g^2) = b: for R the same noisy copy in both modalities, for U_i one copy in modality i. For
    S both modalities observe g Y_s + N_i, with noises of correlation rho:

        I1 = I2 = 1/2 log2(1 + g^2),   I12 = 1/2 log2(1 + 2 g^2 / (1 + rho)).

    BROJA equals MMI for a scalar Y (Barrett 2015), so this block also has redundancy I1, the leak. The leak
    is subtracted from the R block. Without an R block the leak is unique: one modality observes g Y_s and
    the other only noise,

        I1 = 1/2 log2(1 + g^2),   I2 = 0,   I12 = 1/2 log2(1 + g^2 / (1 - rho^2)),

    and the leak is subtracted from that modality's U block. The totals are therefore the requested terms.
    Synergy alone is impossible: I1 = I2 = 0 means cov(X1, Y) = cov(X2, Y) = 0, and for jointly normal
    variables this implies I12 = 0.

    Truth: in closed form, for the continuous Y. The targets are the four parts of Y, each cut into
    ``classes`` equal-mass bins; their information, computed by quadrature, is less (`target_truth`). Views:
    `task`, `noise`, `generic`.

    Args:
        redundant: Bits in both modalities.
        unique1: Bits in the first modality only.
        unique2: Bits in the second modality only.
        synergy: Bits that only both modalities together have.
        classes: Bins of every part of Y.
        leak: Further bits of the synergy block: redundant ones, or unique ones if ``redundant`` is 0. If
            there are fewer such bits, all of them are the leak.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers; 0 keeps the observations Gaussian.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If synergy is the only term, a term has more than 12 bits, float32 cannot represent
            the leak, or a value is out of range.

    Source:
        A. B. Barrett, Exploration of synergistic and redundant information sharing in static and dynamical
        Gaussian systems, Physical Review E 91, 2015.

    Example:
        >>> gaussian = Gaussian(redundant=1, unique1=0.5, unique2=0, synergy=0.5, classes=4)
        >>> gaussian.truth.total
        2.0
        >>> round(gaussian.target_truth.total, 3)
        1.599
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
        if self.synergy and not self.leak_bits:
            raise InvalidRequest(
                f"synergy = {self.synergy:g} with no other bits or leak = {self.leak:g}: Gaussian synergy is "
                "never pure; ask for redundant, unique1 or unique2 and leak above 0, or use modular"
            )
        gain = math.sqrt(odds(self.leak_bits))
        if math.sqrt(1.0 + self._correlation) / math.hypot(1.0, gain) < LEAST_NOISE:
            raise InvalidRequest(
                f"synergy = {self.synergy:g} with {self.leak_bits:g} bits of leak (leak = {self.leak:g}, "
                f"{self.leak_term} = {getattr(self, self.leak_term):g}): float32 cannot represent the "
                "difference of the modalities; ask for 0.001 to 1 bits of leak"
            )
        super().__post_init__()

    @property
    def leak_term(self) -> str:
        """Term from which the synergy block's leak is subtracted."""
        return next((term for term in TERMS[:3] if getattr(self, term)), "redundant")

    @property
    def leak_bits(self) -> float:
        """Bits of the synergy block that are not synergy."""
        return min(self.leak, getattr(self, self.leak_term)) if self.synergy else 0.0

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
    def _block_bits(self) -> dict[str, tuple[float, float, float]]:
        """I(X1;Y_k), I(X2;Y_k) and I(X1,X2;Y_k) of each part of Y, in bits."""
        r, u1, u2 = (getattr(self, t) - self.leak_bits * (t == self.leak_term) for t in TERMS[:3])
        first, second = (
            self.leak_bits * (self.leak_term in ("redundant", unique)) for unique in ("unique1", "unique2")
        )
        return {
            "redundant": (r, r, r),
            "unique1": (u1, 0.0, u1),
            "unique2": (0.0, u2, u2),
            "synergy": (first, second, self.leak_bits + self.synergy),
        }

    def _binned_truth(self, term: str) -> Decomposition:
        one, two, both = map(explained_variance, self._block_bits[term])
        return quantized_decomposition(one, two, both, self.classes)

    @property
    def target_truth(self) -> Decomposition:
        first, *rest = map(self._binned_truth, TERMS)
        return sum(rest, start=first)

    @property
    def target_specs(self) -> dict[str, Target]:
        prior = (1.0 / self.classes,) * self.classes
        return {term: target_from_truth(self._binned_truth(term), prior, term) for term in TERMS}

    def solve(self) -> Decomposition:
        return gaussian(self.covariance(), (4, 3, 3))

    def covariance(self, shared: float = ALMOST_ONE) -> Float[np.ndarray, "10 10"]:
        """Compute the covariance of (Y, X1, X2) before rendering.

        Args:
            shared: Correlation of the noises of the R block; it is 1 in the data.

        Returns:
            Covariance of the 4 parts of Y and the 3 coordinates of each modality, shape (10, 10).
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
        """Gains g of the parts of Y, in the order of the terms, for each modality."""
        return [[math.sqrt(odds(bits[m])) for bits in self._block_bits.values()] for m in (0, 1)]

    @property
    def _correlation(self) -> float:
        """Correlation rho of the noises of the S block, from I12 solved for rho."""
        if not self.synergy:
            return 0.0
        first, second, both = map(odds, self._block_bits["synergy"])
        if first and second:
            return 2.0 * first / both - 1.0
        return -math.sqrt(1.0 - (first + second) / both)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';T) per term, in bits.

        `task` keeps Y and redraws the noise, so that two views are noisy observations of one normal
        variable: I(X;X') = -1/2 log2(1 - r^4) with r^2 = 1 - 2^(-2 bits). `noise` keeps the coordinates,
        whose information is infinite.
        """
        if policy not in ("task", "noise"):
            return super().view_information(policy)
        information = {}
        for term, target in self.target_specs.items():
            r2 = explained_variance(self._block_bits[term][2])
            between = -0.5 * math.log2(1.0 - r2 * r2) if policy == "task" else None
            information[term] = ViewInformation(between, target.information[0, 1])
        return information

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
        """Keep Y and draw the noise again."""
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
    """Compute the signal-to-noise ratio 2^(2 bits) - 1 of a Gaussian channel with this information.

    Example:
        >>> round(odds(1.0), 12)
        3.0
    """
    # expm1 is accurate for few bits, where the difference would cancel.
    return math.expm1(2.0 * bits * math.log(2.0))


def explained_variance(bits: float) -> float:
    """Compute the fraction 1 - 2^(-2 bits) of a normal variable's variance that this information explains.

    Example:
        >>> explained_variance(1.0)
        0.75
    """
    return -math.expm1(-2.0 * bits * math.log(2.0))
