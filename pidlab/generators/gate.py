"""Any finite distribution as a generator: its symbols rendered, its truth from the solver."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.defaults import ATOMS
from pidlab.errors import InvalidRequest
from pidlab.generators.base import Generator, Sample, Target, ViewInformation, ingredients_of, target_of
from pidlab.generators.checks import check_policy, check_rendering, check_sample
from pidlab.generators.noise import corruption, truncated_normal
from pidlab.generators.rendering import Rendering, stack_maps
from pidlab.info import decompose, entropy, mutual_information
from pidlab.info.tables import load_pmf
from pidlab.modality import Vector
from pidlab.seeds import child, torch_generator


@dataclass(frozen=True)
class Gate(Generator):
    """A named gate, or a pmf of a user's own: p(x1, x2, y) with one target, y.

    Latents are the symbols of X1 in the first modality and of X2 in the second: one coordinate in
    {-1, 1} for a binary variable, one-hot coordinates in {-1, 1} for more symbols, none for a constant
    one. Each carries normal noise truncated inside half its gap, so that a symbol is a function of the
    observation and the pmf's information is exactly the data's; private normal nuisance follows. A
    random bijection (`pidlab.generators.rendering`) carries them to `width`.

    Args:
        pmf: a gate (`pidlab list gates`) or a .csv, .json or .npy file (`pidlab.info.tables.read_pmf`).
        noise: standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: private normal coordinates in each modality.
        depth: leaky ReLU layers of the rendering.
        slope: their slope on negative numbers.
        width: numbers in an observation.
        world: which random rendering.

    Raises:
        InvalidRequest: no such gate or file, a value out of range, or more latents than `width` can carry.
    """

    name: ClassVar[str] = "gate"
    policies: ClassVar[tuple[str, ...]] = ("task", "noise", "generic")

    pmf: str = "xor"
    noise: float = ATOMS["noise"]
    nuisance: int = int(ATOMS["nuisance"])
    depth: int = int(ATOMS["depth"])
    slope: float = ATOMS["slope"]
    width: int = int(ATOMS["width"])
    world: int = 0
    # A file can change under its name; results are kept by what was in it.
    contents: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.pmf, str):
            raise InvalidRequest(f"pmf = {self.pmf!r}: expected the name of a gate or of a file")
        check_rendering(self)
        object.__setattr__(self, "contents", hashlib.sha256(self._law.tobytes()).hexdigest()[:16])
        for m in (0, 1):
            symbols = _code(self._law.shape[m]).shape[1]
            needed = symbols + self.nuisance
            if needed > self.width:
                raise InvalidRequest(
                    f"modality {m + 1} needs {needed} dimensions (symbols {symbols}, "
                    f"nuisance {self.nuisance}) but width is {self.width}: ask for {needed} or more"
                )

    @cached_property
    def _law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return load_pmf(self.pmf).values

    def symbol_law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return self._law

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def truth(self) -> Decomposition:
        return self._truth

    @cached_property
    def _truth(self) -> Decomposition:
        return decompose(self._law)

    @property
    def targets(self) -> dict[str, Target]:
        """The one target, y."""
        return {"y": target_of("y", self._law)}

    @property
    def beside(self) -> dict[str, Target]:
        """The symbols of X1 and of X2."""
        return ingredients_of("y", self._law)

    @property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        return {"y": self._law}

    @property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return {"y": self._law}

    @property
    def signature(self) -> Any:
        return (self._law.shape, self.noise, self.nuisance, self.depth, self.slope, self.width)

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """I(X;X') and I(X';Y) of the symbols under a policy, exact in bits.

        `noise` keeps every symbol. `task` keeps y and draws (x1, x2) afresh from p(x1, x2 | y).
        `generic` works on the observation: not known exactly.
        """
        check_policy(self, policy)
        if policy == "generic":
            return {"y": ViewInformation(None, None)}
        joint = self._law.reshape(-1, self._law.shape[-1])
        between = entropy(joint.sum(1))
        if policy == "task":
            y = joint.sum(0)
            given = np.divide(joint, y, out=np.zeros_like(joint), where=y > 0)
            between = mutual_information(joint @ given.T)
        target = self.targets["y"].information[0, 1]
        return {"y": ViewInformation(max(float(between), 0.0), target)}

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draws `n` samples; both splits follow the same law.

        Raises:
            InvalidRequest: fewer than one sample, or an unknown split.
        """
        check_sample(n, split)
        cumulative = np.cumsum(self._law)
        u = torch.rand(n, generator=torch_generator(child(seed, "symbols"), device), device=device)
        cell = _place(u, torch.as_tensor(cumulative / cumulative[-1], device=device))
        _, n2, ny = self._law.shape
        y = cell % ny
        return self._observed(cell // (ny * n2), cell // ny % n2, y, seed)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a view of every row under `task`, `noise` or `generic`.

        Raises:
            InvalidRequest: an unknown policy.
        """
        check_policy(self, policy)
        if policy == "generic":
            drawn = [
                corruption(x.shape, torch_generator(child(seed, "generic", m), x.device))
                for m, x in enumerate(sample.x)
            ]
            x = tuple((x + noise) * kept for x, (noise, kept) in zip(sample.x, drawn, strict=True))
            return dataclasses.replace(sample, x=x)
        x1, x2, y = sample.latents["x1"], sample.latents["x2"], sample.targets["y"]
        if policy == "task":
            x1, x2 = self._again(y, seed)
        return self._observed(x1, x2, y, seed)

    def _again(self, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """(x1, x2) drawn from p(x1, x2 | y)."""
        u = torch.rand(y.shape, generator=torch_generator(child(seed, "symbols"), y.device), device=y.device)
        pair = torch.zeros_like(y)
        _, n2, ny = self._law.shape
        for label in range(ny):
            cumulative = np.cumsum(self._law[:, :, label])
            if cumulative[-1] > 0:
                drawn = _place(u, torch.as_tensor(cumulative / cumulative[-1], device=y.device))
                pair = torch.where(y == label, drawn, pair)
        return pair // n2, pair % n2

    def _observed(self, x1: Tensor, x2: Tensor, y: Tensor, seed: int) -> Sample:
        observed, shown = [], []
        for m, symbol in enumerate((x1, x2)):
            clean = _code(self._law.shape[m]).to(y.device)[symbol].mT
            generator = torch_generator(child(seed, "noise", m), y.device)
            uniform = torch.rand(clean.shape, generator=generator, device=y.device)
            nuisance = torch.randn((self.nuisance, len(y)), generator=generator, device=y.device)
            latents = torch.cat([clean + truncated_normal(uniform, self.noise), nuisance])
            observed.append(self._renderings[m](latents[None])[0])
            shown.append(clean)
        symbols = (shown[0], shown[1])
        return Sample(
            tuple(observed),
            {"y": y},
            {"y": self._law.shape[2]},
            {"x1": x1, "x2": x2},
            {"y": symbols},
            {"y:1": x1, "y:2": x2},
            (x1, x2),
        )

    @cached_property
    def _renderings(self) -> tuple[Rendering, Rendering]:
        first, second = (
            Rendering(
                stack_maps([self.world], m, self.depth, self.width),
                _code(self._law.shape[m]).shape[1] + self.nuisance,
                self.slope,
            )
            for m in (0, 1)
        )
        return first, second


def _code(symbols: int) -> Float[Tensor, "symbols coordinates"]:
    """The coordinates of every symbol, in {-1, 1}."""
    if symbols <= 2:
        return torch.tensor([[-1.0], [1.0]])[:symbols, : symbols - 1]
    return 2.0 * torch.eye(symbols) - 1.0


def _place(u: Float[Tensor, " n"], cumulative: Float[Tensor, " cells"]) -> Tensor:
    """The cell that each uniform number falls into; cells of no mass are never met."""
    place = torch.searchsorted(cumulative, u.double(), right=True)
    last = int((cumulative < cumulative[-1]).sum())  # the cell that reaches 1, whatever rounding says
    return place.clamp(max=last)
