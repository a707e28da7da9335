"""Sums of phases: continuous synergy of any number of bits without redundancy."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.generator import Sample, Target, target_from_truth
from pidlab.generators.latent import Rendered
from pidlab.generators.parameters import MOST_CLASSES, check_classes, check_nonnegative
from pidlab.info import binary_entropy
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True)
class Modular(Rendered):
    """Two phases on circles and a label from their sum.

    Distribution: a, b are uniform on [0, 1). X1 shows (cos 2 pi a, sin 2 pi a), X2 the same of b. The
    circle is divided into one arc per class, and Y is the class of the arc that contains
    c = (a + b) mod 1. All arcs but the first have equal lengths, chosen such that H(Y) = ``synergy``. For
    two classes Y = 1[c < p] with h(p) = ``synergy``.

    Truth, by design: c is uniform and independent of a and of b, so synergy = H(Y) and all other terms are
    exactly 0. Views: `task`, `noise`, `generic`.

    Args:
        synergy: Bits of synergy, at most log2 of ``classes``.
        classes: Number of classes of Y.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If there are more bits than the classes can have, or a value is out of range.

    Example:
        >>> Modular(synergy=1.5, classes=3).truth.synergy
        1.5
        >>> Modular(synergy=1.0, classes=2).prior
        (0.5, 0.5)
    """

    name: ClassVar[str] = "modular"

    synergy: float = 1.0
    classes: int = 2

    def __post_init__(self) -> None:
        check_nonnegative(self, "synergy")
        check_classes(self)
        if self.synergy > math.log2(self.classes):
            most = math.log2(MOST_CLASSES)
            remedy = (
                f"classes = {math.ceil(2**self.synergy)} or more" if self.synergy <= most else "fewer bits"
            )
            raise InvalidRequest(
                f"synergy = {self.synergy:g}: {self.classes} classes hold "
                f"{math.log2(self.classes):.6g} bits at most; ask for {remedy}"
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
        """Probability of every class: the length of its arc."""
        rest = tail_mass(self.synergy, self.classes)
        return (1.0 - rest, *[rest / (self.classes - 1)] * (self.classes - 1))

    @property
    def truth(self) -> Decomposition:
        return Decomposition(0.0, 0.0, 0.0, self.synergy)

    @property
    def target_specs(self) -> dict[str, Target]:
        return {"y": target_from_truth(self.truth, self.prior)}

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        generator = torch_generator(child(seed, "phases"), device)
        # Float64, because the label is cut from the sum, which float32 would blur at the arcs' ends.
        first, total = torch.rand((2, n), generator=generator, device=device, dtype=torch.float64)
        return {"phase": first, "sum": total}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        edges = torch.tensor(self.prior[:-1], device=latents["sum"].device, dtype=torch.float64).cumsum(0)
        return {"y": torch.bucketize(latents["sum"], edges, right=True)}

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Draw the first phase anywhere and the sum anywhere in its label's arc."""
        y = sample.targets["y"]
        fresh = self.draw(len(y), seed, device=y.device)
        lengths = torch.tensor(self.prior, device=y.device, dtype=torch.float64)
        starts = lengths.cumsum(0) - lengths
        return fresh | {"sum": starts[y] + fresh["sum"] * lengths[y]}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        a = latents["phase"]
        angle = 2.0 * math.pi * (a if m == 0 else latents["sum"] - a)
        return torch.stack([angle.cos(), angle.sin()]).float()


def tail_mass(bits: float, classes: int) -> float:
    """Solve for the total probability of all classes but the first, given the entropy.

    Args:
        bits: Entropy of the prior (1 - t, t / (k - 1), ..., t / (k - 1)), in bits.
        classes: Number k of classes.

    Returns:
        The probability t.

    Example:
        >>> tail_mass(1.0, 2)
        0.5
    """
    most = 1.0 - 1.0 / classes
    if bits >= math.log2(classes):
        return most
    if bits == 0.0:
        return 0.0

    def excess(rest: float) -> float:
        return binary_entropy(rest) + rest * math.log2(classes - 1) - bits

    # An absolute tolerance would give 0 for very few bits; the relative one must decide.
    return float(brentq(excess, 0.0, most, xtol=1e-300, rtol=1e-15, maxiter=5000))
