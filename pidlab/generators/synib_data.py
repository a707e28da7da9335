"""SynIB's XOR with a spurious shortcut that exists only in training."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.generator import Sample, Target, target_from_truth
from pidlab.generators.latent import Latent, Rendering, stack_maps
from pidlab.generators.parameters import check_maps, check_nonnegative, check_probability, check_whole
from pidlab.seeds import child, torch_generator

SHORTCUT_SCALE = 1.3
QUADRATURE_ERROR = 1e-9  # bits
LEAST_GAP = 1e-4


@dataclass(frozen=True)
class SynIB(Latent):
    """Y = b1 XOR b2 with a fair bit b_m in each modality, and a shortcut to Y in training.

    Distribution: of the ``width`` coordinates of a modality, ``signal`` show its bit as
    ±gap + N(0, noise^2) and the rest are N(0, 1). In the first modality, ``shortcut`` of the rest are 1.3 eps
    in the split ``"eval"`` and 1.3 (alpha y± + sqrt(1 - alpha^2) eps) in ``"train"``, with equal variance
    and eps normal. Views: `task`, `noise`, `generic`.

    Truth, by quadrature for the split ``"eval"``: only both modalities together determine Y, so
    synergy = I(X1,X2;Y), which is 1 bit to 14 digits at the defaults. In training X1 alone has information
    about Y that grows with ``alpha``.

    Differences from the released code, all deliberate: a random rotation hides the roles of the
    coordinates, and the training set has as many rows as requested. The paper trains on 300 rows
    (`samples=300`).

    Args:
        alpha: Strength of the shortcut, 0 to 1.
        signal: Number of coordinates that show a modality's bit.
        shortcut: Number of coordinates that show the shortcut.
        gap: Distance of a signal's mean from 0.
        noise: Standard deviation of a signal's noise.
        width: Numbers in an observation.
        world: Seed of the rotations.

    Raises:
        InvalidRequest: If there are more coordinates than ``width``, or a value is out of range.

    Source:
        SynIB, github.com/kkontras/SynIB, scripts/analysis/xor_spurious_pub.py, the XOR with a spurious
        shortcut.

    Example:
        >>> round(SynIB(noise=2.2).truth.synergy, 3)
        0.835
    """

    name: ClassVar[str] = "synib"

    alpha: float = 0.5
    signal: int = 4
    shortcut: int = 6
    gap: float = 2.2
    noise: float = 0.55
    width: int = 64
    world: int = 0

    def __post_init__(self) -> None:
        check_probability(self, "alpha")
        check_nonnegative(self, "gap", "noise")
        check_whole(self, signal=1, shortcut=0, width=1, world=0)
        check_maps(self.width)
        if 0 < self.gap < LEAST_GAP:
            raise InvalidRequest(
                f"gap = {self.gap:g}: float32 cannot represent it next to coordinates of variance 1; "
                f"expected 0 or a number of {LEAST_GAP:g} or more"
            )
        needed = self.signal + self.shortcut
        if needed > self.width:
            raise InvalidRequest(
                f"signal {self.signal} and shortcut {self.shortcut} need {needed} dimensions "
                f"but width is {self.width}: ask for {needed} or more"
            )

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def truth(self) -> Decomposition:
        quality = math.inf if not self.noise else self.signal * (self.gap / self.noise) ** 2
        if not self.gap:
            quality = 0.0
        return Decomposition(0.0, 0.0, 0.0, xor_information(quality), how="quadrature", gap=QUADRATURE_ERROR)

    @property
    def target_specs(self) -> dict[str, Target]:
        return {"y": target_from_truth(self.truth, (0.5, 0.5))}

    @property
    def shape_key(self) -> tuple[int]:
        return (self.width,)

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        generator = torch_generator(child(seed, "bits"), device)
        first, y = (torch.rand((2, n), generator=generator, device=device) < 0.5).long()
        # "led": whether the row shows the shortcut.
        return {"first": first, "y": y, "led": torch.full_like(y, split == "train")}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": latents["y"]}

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Flip both bits with probability 1/2; a training row keeps its shortcut."""
        y = sample.targets["y"]
        return sample.latents | {"first": self.draw(len(y), seed, device=y.device)["first"]}

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        first, y = latents["first"], latents["y"]
        observed = []
        for m, bit in enumerate((first, first ^ y)):
            generator = torch_generator(child(seed, "noise", m), y.device)
            x = torch.randn((self.width, len(y)), generator=generator, device=y.device)
            x[: self.signal] = self.gap * (2.0 * bit - 1.0) + self.noise * x[: self.signal]
            if m == 0:
                strength = self.alpha * latents["led"]
                hint = x[self.signal : self.signal + self.shortcut]  # a view of x, changed in place
                hint.mul_((1.0 - strength**2).sqrt()).add_(strength * (2.0 * y - 1.0)).mul_(SHORTCUT_SCALE)
            observed.append(self._rotations[m](x[None])[0])
        return tuple(observed)

    @cached_property
    def _rotations(self) -> tuple[Rendering, Rendering]:
        first, second = (
            Rendering(stack_maps([self.world], m, 0, self.width), self.width, 1.0) for m in (0, 1)
        )
        return first, second


@lru_cache(maxsize=1024)
def xor_information(quality: float) -> float:
    """Compute I(Z1,Z2; B1 XOR B2) in bits, with Z_m = ±sqrt(quality) + N(0, 1) around a fair bit B_m.

    With log-odds L_m of the bits, P(XOR = 0 | z) = (1 + tanh(L1/2) tanh(L2/2)) / 2. If both bits are 1,
    L_m ~ N(2 quality, 4 quality). E h is computed by the trapezoid rule in both dimensions; its error is
    far below 1e-9 for a smooth integrand that vanishes at both ends.

    Args:
        quality: Signal-to-noise ratio of a modality, summed over coordinates: signal (gap / noise)^2.

    Returns:
        The information in bits.

    Example:
        >>> round(xor_information(4.0), 3)
        0.835
    """
    if quality == 0.0:
        return 0.0
    if math.isinf(quality):
        return 1.0
    z, step = np.linspace(-10.0, 10.0, 1001, retstep=True)
    weight = np.exp(-0.5 * z * z) * step / math.sqrt(2.0 * math.pi)
    tangent = np.tanh(quality + math.sqrt(quality) * z)
    agree = (1.0 + np.multiply.outer(tangent, tangent)) / 2.0
    remaining = (entr(agree) + entr(1.0 - agree)) / math.log(2.0)
    # Rounding can carry an information of nearly 0 below 0.
    return float(max(1.0 - weight @ remaining @ weight, 0.0))
