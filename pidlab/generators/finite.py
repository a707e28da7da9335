"""Generators of finite laws p(x1, x2, y)."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.defaults import ATOMS
from pidlab.generators.generator import Sample, Target, ViewInformation, ingredient_specs, target_from_law
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.generators.parameters import check_nonnegative
from pidlab.info import decompose, entropy, mutual_information
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True, kw_only=True)
class Finite(Rendered):
    """A finite law p(x1, x2, y) with one target, y.

    Latents are the symbols of X1 and X2. Each modality shows its symbol as coordinates in {-1, 1} (`code`)
    plus normal noise that is truncated inside half their gap. A symbol is therefore a function of the
    observation, and the information of the law is exactly that of the data.

    Args:
        noise: Standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.
    """

    noise: float = ATOMS["noise"]

    def __post_init__(self) -> None:
        check_nonnegative(self, "noise")
        super().__post_init__()

    @abstractmethod
    def law(self, split: str = "eval") -> Float[np.ndarray, "n1 n2 ny"]:
        """Return the exact joint pmf p(x1, x2, y) of a split."""

    def code(self, m: int) -> Float[Tensor, "symbols coordinates"]:
        """Return the coordinates of every symbol of modality `m`: one for two symbols, one-hot for more."""
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

    @property
    def truth(self) -> Decomposition:
        return self._solver_truth

    @cached_property
    def _solver_truth(self) -> Decomposition:
        law = np.ascontiguousarray(self.law(), dtype=np.float64)
        return _decompose_once(law.tobytes(), law.shape)

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return self.law()

    @property
    def target_specs(self) -> dict[str, Target]:
        return {"y": target_from_law("y", self.law())}

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        return ingredient_specs("y", self.law())

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return {"y": self.law()}

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return {"y": self.law()}

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';Y) of the symbols under a policy, exact in bits.

        `noise` keeps every symbol. `task` keeps y and redraws (x1, x2) from p(x1, x2 | y).
        """
        if policy not in ("task", "noise"):
            return super().view_information(policy)
        joint = self.law().reshape(-1, self.law().shape[-1])
        between = entropy(joint.sum(1))
        if policy == "task":
            y = joint.sum(0)
            given = np.divide(joint, y, out=np.zeros_like(joint), where=y > 0)
            between = mutual_information(joint @ given.T)
        bits = self.target_specs["y"].information[0, 1]
        # An information of 0 can round to a negative number.
        return {"y": ViewInformation(max(float(between), 0.0), bits)}

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        law = self.law(split)
        u = torch.rand(n, generator=torch_generator(child(seed, "symbols"), device), device=device)
        cell = _draw_cells(u, law)
        _, n2, ny = law.shape
        return {"x1": cell // (ny * n2), "x2": cell // ny % n2, "y": cell % ny}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": latents["y"]}

    def ingredients(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y:1": latents["x1"], "y:2": latents["x2"]}

    def cells(self, latents: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return (latents["x1"], latents["x2"])

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Draw (x1, x2) from p(x1, x2 | y)."""
        y, law = sample.targets["y"], self.law()
        u = torch.rand(y.shape, generator=torch_generator(child(seed, "symbols"), y.device), device=y.device)
        pair = torch.zeros_like(y)
        _, n2, ny = law.shape
        for label in range(ny):
            if law[:, :, label].sum() > 0:
                pair = torch.where(y == label, _draw_cells(u, law[:, :, label]), pair)
        return {"x1": pair // n2, "x2": pair % n2, "y": y}

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {"y": tuple(self._encode(m, latents) for m in (0, 1))}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        clean = self._encode(m, latents)
        uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
        return clean + truncated_normal(uniform, self.noise)

    def _encode(self, m: int, latents: dict[str, Tensor]) -> Tensor:
        symbol = latents[("x1", "x2")[m]]
        return self.code(m).to(symbol.device)[symbol].mT


def _draw_cells(u: Float[Tensor, " n"], law: Float[np.ndarray, "..."]) -> Tensor:
    """Return the flat index of the pmf's cell that each uniform number selects, by the inverse CDF."""
    cdf = np.cumsum(law)
    cumulative = torch.as_tensor(cdf / cdf[-1], device=u.device)
    cell = torch.searchsorted(cumulative, u.double(), right=True)
    # The first cell that reaches 1; cells after it have probability 0.
    return cell.clamp(max=int((cumulative < cumulative[-1]).sum()))


@lru_cache(maxsize=256)  # points of a sweep that differ in noise or in stress dials have one law
def _decompose_once(law: bytes, shape: tuple[int, ...]) -> Decomposition:
    """Decompose a pmf that is given as the bytes of its float64 array."""
    return decompose(np.frombuffer(law).reshape(shape))
