"""Any finite law p(x1, x2, y) as a generator: its symbols rendered, its information from the law."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.defaults import ATOMS
from pidlab.generators.base import (
    Sample,
    Target,
    ViewInformation,
    check_nonnegative,
    check_policy,
    ingredients_of,
    target_of,
)
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.info import entropy, mutual_information
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True, kw_only=True)
class Finite(Rendered):
    """A finite law with one target, y.

    Latents are the symbols of X1 in the first modality and of X2 in the second, as coordinates in
    {-1, 1} (`code`) with normal noise truncated inside half their gap, so that a symbol is a function of
    the observation and the law's information is exactly the data's.

    Args:
        noise: standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: private normal coordinates in each modality.
        depth: leaky ReLU layers of the rendering.
        slope: their slope on negative numbers.
        width: numbers in an observation.
        world: which random rendering.
    """

    noise: float = ATOMS["noise"]

    def __post_init__(self) -> None:
        check_nonnegative(self, "noise")
        super().__post_init__()

    @abstractmethod
    def law(self, split: str = "eval") -> Float[np.ndarray, "n1 n2 ny"]:
        """The exact joint pmf of the symbols and y."""

    def code(self, m: int) -> Float[Tensor, "symbols coordinates"]:
        """The coordinates of every symbol, in {-1, 1}: one for two symbols, one-hot for more."""
        symbols = self.law().shape[m]
        if symbols <= 2:
            return torch.tensor([[-1.0], [1.0]])[:symbols, : symbols - 1]
        return 2.0 * torch.eye(symbols) - 1.0

    @property
    def coordinates(self) -> tuple[int, int]:
        return (self.code(0).shape[1], self.code(1).shape[1])

    @property
    def shape_key(self) -> Any:
        return (self.law().shape, self.noise, self.nuisance, self.depth, self.slope, self.width)

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return self.law()

    @property
    def targets(self) -> dict[str, Target]:
        """The one target, y."""
        return {"y": target_of("y", self.law())}

    @property
    def auxiliary_targets(self) -> dict[str, Target]:
        """The symbols of X1 and of X2."""
        return ingredients_of("y", self.law())

    @property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return {"y": self.law()}

    @property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return {"y": self.law()}

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';Y) of the symbols under a policy, exact in bits.

        `noise` keeps every symbol. `task` keeps y and draws (x1, x2) afresh from p(x1, x2 | y).
        `generic` works on the observation: not known exactly.
        """
        check_policy(self, policy)
        if policy == "generic":
            return {"y": ViewInformation(None, None)}
        joint = self.law().reshape(-1, self.law().shape[-1])
        between = entropy(joint.sum(1))
        if policy == "task":
            y = joint.sum(0)
            given = np.divide(joint, y, out=np.zeros_like(joint), where=y > 0)
            between = mutual_information(joint @ given.T)
        target = self.targets["y"].information[0, 1]
        return {"y": ViewInformation(max(float(between), 0.0), target)}

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        law = self.law(split)
        cumulative = np.cumsum(law)
        u = torch.rand(n, generator=torch_generator(child(seed, "symbols"), device), device=device)
        cell = _place(u, torch.as_tensor(cumulative / cumulative[-1], device=device))
        _, n2, ny = law.shape
        return {"x1": cell // (ny * n2), "x2": cell // ny % n2, "y": cell % ny}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": latents["y"]}

    def ingredients(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y:1": latents["x1"], "y:2": latents["x2"]}

    def cells(self, latents: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return (latents["x1"], latents["x2"])

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """(x1, x2) drawn from p(x1, x2 | y)."""
        y, law = sample.targets["y"], self.law()
        u = torch.rand(y.shape, generator=torch_generator(child(seed, "symbols"), y.device), device=y.device)
        pair = torch.zeros_like(y)
        _, n2, ny = law.shape
        for label in range(ny):
            cumulative = np.cumsum(law[:, :, label])
            if cumulative[-1] > 0:
                drawn = _place(u, torch.as_tensor(cumulative / cumulative[-1], device=y.device))
                pair = torch.where(y == label, drawn, pair)
        return {"x1": pair // n2, "x2": pair % n2, "y": y}

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {"y": tuple(self._coded(m, latents) for m in (0, 1))}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        clean = self._coded(m, latents)
        uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
        return clean + truncated_normal(uniform, self.noise)

    def _coded(self, m: int, latents: dict[str, Tensor]) -> Tensor:
        symbol = latents[("x1", "x2")[m]]
        return self.code(m).to(symbol.device)[symbol].mT


def _place(u: Float[Tensor, " n"], cumulative: Float[Tensor, " cells"]) -> Tensor:
    """The cell that each uniform number falls into; cells of no mass are never met."""
    place = torch.searchsorted(cumulative, u.double(), right=True)
    last = int((cumulative < cumulative[-1]).sum())  # the cell that reaches 1, whatever rounding says
    return place.clamp(max=last)
