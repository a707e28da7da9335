"""The synthetic data of DisentangledSSL, with the information they hold."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.base import Target, check_nonnegative, check_whole
from pidlab.generators.blocks import check_fits, uniform_matrix
from pidlab.generators.latent import Latent
from pidlab.seeds import child, torch_generator

VARIANCE = 0.5  # of a latent
HELD = {"redundant": "shared", "unique1": "own1", "unique2": "own2"}
ACCURACY = 1e-3  # bits
LINE = 1e-5  # bits; what the quadrature on a line leaves
SCRAMBLES = 16
CHUNK = 256  # points at once
LEAST_NOISE = 0.01  # of a label that has some; the steps of its quadrature are as fine


@dataclass(frozen=True)
class DisentangledSSL(Latent):
    """Shared and own latents, mixed linearly, and a noisy label of each.

    Z1, Zs, Z2 ~ N(0, I/2), X_m = [Z_m, Zs] T_m with T_m uniform on [-1, 1]. Each latent has a label of
    its own, Y_k = 1[f_k(Z_k) + N(0, label_noise^2) >= median], f_k(z) = v tanh(W z) a random network;
    f_k is odd, so the median is 0 and the label fair. Y is all three: Y_s is redundant, Y_1 and Y_2 are
    unique, and

        I(Z;Y_k) = 1 - E h(Phi(f_k(Z) / label_noise)),

    by quadrature on a line and scrambled Sobol points across it (`label_information`), doubled until two
    agree to 1e-3 bits and five standard errors over scramblings are below it as well: `truth.gap`.

    On purpose otherwise than released, where f_k is an MLP of 100 ReLUs, cut at the median of the rows
    drawn: an odd network has a median of 0 exactly, and a label that no other row has a part in.

    Args:
        latents: numbers in each of Z1, Zs, Z2.
        label_noise: standard deviation of the labels' noise; the networks' values have about .6.
        hidden: units of the labels' networks.
        width: numbers in an observation.
        labels_seed: which label networks. They are not part of a world, so that all worlds have one truth.
        world: which transforms.

    Raises:
        InvalidRequest: more latents than `width`, a value out of range.

    Source: C. Wang, S. Gupta, X. Zhang et al., An Information Criterion for Controlled Disentanglement of
    Multimodal Data, ICLR 2025, the simulation study, and the released synthetic_task/dataset.py.
    """

    name: ClassVar[str] = "disentangledssl"
    policies: ClassVar[tuple[str, ...]] = ("task", "generic")  # there is no noise to redraw

    latents: int = 50
    label_noise: float = 0.1
    hidden: int = 50
    width: int = 100
    labels_seed: int = 0
    world: int = 0

    def __post_init__(self) -> None:
        check_nonnegative(self, "label_noise")
        if 0 < self.label_noise < LEAST_NOISE:
            raise InvalidRequest(
                f"label_noise = {self.label_noise:g}: expected 0 or a number of {LEAST_NOISE:g} or more"
            )
        check_whole(self, latents=1, hidden=1, width=1, labels_seed=0, world=0)
        for m in (0, 1):
            check_fits(m, 2 * self.latents, self.width)

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def _known(self) -> dict[str, tuple[float, float]]:
        """Bits of every target, and their error."""
        return {
            term: label_information(self.labels_seed, term, self.latents, self.hidden, self.label_noise)
            for term in HELD
        }

    @property
    def truth(self) -> Decomposition:
        (redundant, unique1, unique2), errors = zip(*self._known.values(), strict=True)
        return Decomposition(redundant, unique1, unique2, 0.0, how="quadrature", gap=max(errors))

    @property
    def targets(self) -> dict[str, Target]:
        """The label of each latent."""
        places = {"redundant": (True, True), "unique1": (True, False), "unique2": (False, True)}
        return {
            term: Target(
                term,
                (0.5, 0.5),
                1.0,
                {(0,): bits * places[term][0], (1,): bits * places[term][1], (0, 1): bits},
            )
            for term, (bits, _) in self._known.items()
        }

    @property
    def shape_key(self) -> Any:
        return (self.latents, self.width)

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        def normal(name: str, rows: int) -> Tensor:
            generator = torch_generator(child(seed, name), device)
            return torch.randn((rows, n), generator=generator, device=device)

        drawn = {name: math.sqrt(VARIANCE) * normal(name, self.latents) for name in HELD.values()}
        return drawn | {"label noise": normal("label noise", len(HELD))}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        noise = self.label_noise * latents["label noise"]
        return {
            term: (network_value(latents[held], *self._networks[term]) + noise[k] >= 0).long()
            for k, (term, held) in enumerate(HELD.items())
        }

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        return tuple(
            torch.cat([latents[own], latents["shared"]]).mT @ transform.to(latents[own].device)
            for own, transform in zip(("own1", "own2"), self._transforms, strict=True)
        )

    @cached_property
    def _networks(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {term: label_network(self.labels_seed, term, self.latents, self.hidden) for term in HELD}

    @cached_property
    def _transforms(self) -> tuple[Tensor, Tensor]:
        first, second = (
            uniform_matrix(self.world, "transform", m, 2 * self.latents, self.width, least=-1.0)
            for m in (0, 1)
        )
        return first, second


def label_network(
    seed: int, term: str, latents: int, hidden: int
) -> tuple[Float[Tensor, "hidden latents"], Float[Tensor, " hidden"]]:
    """W and v of a label, normal, scaled so that every unit's input has variance 1."""
    generator = torch_generator(child(seed, "label", term))
    first = torch.randn((hidden, latents), generator=generator, device="cpu")
    last = torch.randn(hidden, generator=generator, device="cpu")
    return first / math.sqrt(VARIANCE * latents), last / math.sqrt(hidden)


def network_value(
    z: Float[Tensor, "latents n"], first: Float[Tensor, "hidden latents"], last: Float[Tensor, " hidden"]
) -> Float[Tensor, " n"]:
    """F(z) = v tanh(W z)."""
    return last.to(z) @ torch.tanh(first.to(z) @ z)


@lru_cache(maxsize=256)
def label_information(seed: int, term: str, latents: int, hidden: int, noise: float) -> tuple[float, float]:
    """I(Z;Y) = 1 - E h(Phi(f(Z) / noise)) in bits, and its error: five standard errors over scramblings.

    Z is split along the direction in which f rises most, over which the mean is taken by the trapezoid
    rule, and what is across it, over which it is taken on Sobol points. h is a narrow bump at f = 0, that
    most lines along the direction cross once: what is left to sample varies little. The rule itself is
    granted an error of 1e-5.
    """
    if noise == 0.0:
        return 1.0, 0.0
    with torch.device("cpu"):  # whatever device a caller is building a model on
        return _label_information(seed, term, latents, hidden, noise)


def _label_information(seed: int, term: str, latents: int, hidden: int, noise: float) -> tuple[float, float]:
    first, last = (t.double() for t in label_network(seed, term, latents, hidden))
    along = first.mT @ last
    along = along / along.norm()
    steepest = math.sqrt(VARIANCE) * float(last.abs() @ (first @ along).abs())  # f rises by no more along s
    # The bump is met in steps of 1 of its own or less, at which the trapezoid rule errs by 1e-8 of it.
    step = min(0.2, noise, noise / steepest)
    s = torch.arange(-8.0, 8.0 + step, step, dtype=torch.float64)
    weight = torch.exp(-0.5 * s * s) * step / math.sqrt(2.0 * math.pi)
    rise = math.sqrt(VARIANCE) * torch.outer(s, first @ along)  # (nodes, hidden)

    def mean_doubt(rng: np.random.Generator, power: int) -> float:
        points = qmc.Sobol(latents, rng=rng).random_base2(power).clip(1e-12, 1.0 - 1e-12)
        z = math.sqrt(VARIANCE) * torch.as_tensor(ndtri(points))
        across = (z - torch.outer(z @ along, along)) @ first.mT  # (points, hidden)
        found = []
        for some in across.split(CHUNK):
            scores = torch.tanh(some[:, None] + rise) @ last / noise
            found.append(binary_doubt(scores) @ weight)
        return float(torch.cat(found).mean())

    before, power = math.inf, 5
    while True:
        means = [1.0 - mean_doubt(np.random.default_rng(k), power) for k in range(SCRAMBLES)]
        bits, error = float(np.mean(means)), 5.0 * float(np.std(means, ddof=1)) / math.sqrt(SCRAMBLES)
        if abs(bits - before) < ACCURACY and error < ACCURACY:
            return bits, max(error, LINE)
        before, power = bits, power + 1


def binary_doubt(scores: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """h(Phi(score)) in bits."""
    p = torch.special.ndtr(torch.stack([scores, -scores]))
    return torch.special.entr(p).sum(0) / math.log(2.0)
