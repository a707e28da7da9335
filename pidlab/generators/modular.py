"""Phases that add up: continuous synergy without a leak, of any number of bits."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.base import MOST_CLASSES, Sample, Target, check_classes, check_nonnegative
from pidlab.generators.latent import Rendered, one_target
from pidlab.info import binary_entropy
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True)
class Modular(Rendered):
    """Two phases on circles, and a label from their sum.

    a, b are uniform on [0, 1), X1 shows (cos 2 pi a, sin 2 pi a) and X2 the same of b. Y is the class
    whose arc c = (a + b) mod 1 lies in. c is uniform and independent of a and of b, so
    synergy = H(Y) and all other terms are 0, exactly, with nothing in either modality to tell Y's
    prior from. The prior has one arc for each of `classes`: all but the first of equal length, so long
    that H(Y) = `synergy`; for two classes Y = 1[c < p] with h(p) = `synergy`.

    Args:
        synergy: bits; at most log2 of `classes`.
        classes: of Y.

    Raises:
        InvalidRequest: more bits than the classes hold, a value out of range.
    """

    name: ClassVar[str] = "modular"

    synergy: float = 1.0
    classes: int = 2

    def __post_init__(self) -> None:
        check_nonnegative(self, "synergy")
        check_classes(self)
        if self.synergy > math.log2(self.classes):
            most = math.log2(MOST_CLASSES)
            enough = (
                f"classes = {math.ceil(2**self.synergy)} or more" if self.synergy <= most else "fewer bits"
            )
            raise InvalidRequest(
                f"synergy = {self.synergy:g}: {self.classes} classes hold "
                f"{math.log2(self.classes):.6g} bits at most; ask for {enough}"
            )
        super().__post_init__()

    @property
    def coordinates(self) -> tuple[int, int]:
        return (2, 2)

    @property
    def shape_key(self) -> Any:
        return (self.classes, *super().shape_key)

    @property
    def prior(self) -> tuple[float, ...]:
        """The length of every class's arc."""
        rest = rest_of_entropy(self.synergy, self.classes)
        return (1.0 - rest, *[rest / (self.classes - 1)] * (self.classes - 1))

    @property
    def truth(self) -> Decomposition:
        return Decomposition(0.0, 0.0, 0.0, self.synergy)

    @property
    def targets(self) -> dict[str, Target]:
        """The one target, y."""
        return {"y": one_target(self.truth, self.prior)}

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        generator = torch_generator(child(seed, "phases"), device)
        first, total = torch.rand((2, n), generator=generator, device=device, dtype=torch.float64)
        return {"phase": first, "sum": total}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        edges = torch.tensor(self.prior[:-1], device=latents["sum"].device, dtype=torch.float64).cumsum(0)
        return {"y": torch.bucketize(latents["sum"], edges, right=True)}

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """The first phase anywhere, the sum anywhere in its arc."""
        y = sample.targets["y"]
        fresh = self.draw(len(y), seed, device=y.device)
        lengths = torch.tensor(self.prior, device=y.device, dtype=torch.float64)
        starts = lengths.cumsum(0) - lengths
        return fresh | {"sum": starts[y] + fresh["sum"] * lengths[y]}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        a = latents["phase"]
        angle = 2.0 * math.pi * (a if m == 0 else latents["sum"] - a)
        return torch.stack([angle.cos(), angle.sin()]).float()


def rest_of_entropy(bits: float, classes: int) -> float:
    """What the classes after the first have together, each the same, in a law of this entropy."""
    most = 1.0 - 1.0 / classes
    if bits >= math.log2(classes):
        return most
    if bits == 0.0:
        return 0.0

    def excess(rest: float) -> float:
        return binary_entropy(rest) + rest * math.log2(classes - 1) - bits

    return float(brentq(excess, 0.0, most, xtol=1e-300, rtol=1e-15, maxiter=5000))
