"""Synthetic data of DisentangledSSL."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.blocks import VARIANCE, check_injective, uniform_matrix
from pidlab.generators.generator import Target
from pidlab.generators.latent import Latent
from pidlab.generators.parameters import check_nonnegative, check_whole
from pidlab.io import check_memory
from pidlab.seeds import child, torch_generator

# Latent that each label depends on.
LATENT_OF = {"redundant": "shared", "unique1": "own1", "unique2": "own2"}
# Whether X1 and X2 determine the latent of each label.
IS_SHOWN = {"redundant": (True, True), "unique1": (True, False), "unique2": (False, True)}

ACCURACY = 1e-3  # of an information, in bits
LINE_ERROR = 1e-5  # of the quadrature on a line, in bits
SCRAMBLES = 16
CHUNK = 256  # points evaluated at once
# Standard deviation of the labels' noise; the steps of the quadrature are as small.
LEAST_NOISE = 0.01


@dataclass(frozen=True)
class DisentangledSSL(Latent):
    """Shared and unique latents, mixed linearly, with one noisy label each.

    Distribution: Z1, Zs, Z2 ~ N(0, I/2), X_m = [Z_m, Zs] T_m with T_m uniform on [-1, 1]. Each latent has
    a label Y_k = 1[f_k(Z_k) + N(0, label_noise^2) >= median] with a random network
    f_k(z) = v tanh(W z). f_k is odd, so its median is 0 and the label is fair. Y is all three labels: Y_s is
    redundant, Y_1 and Y_2 are unique. Views: `task`, `generic`; there is no noise to redraw.

    Truth, by quadrature on a line and scrambled Sobol points across it (`label_information`):

        I(Z;Y_k) = 1 - E h(Phi(f_k(Z) / label_noise)).

    Points are doubled until two values agree to 0.001 bits and five standard errors over scramblings are
    below 0.001 bits; `truth.gap` is this error.

    Differences from the released code, all deliberate: there f_k is an MLP of 100 ReLUs whose value is cut
    at the median of the drawn rows. An odd network has median 0 exactly, and its label does not depend on
    other rows.

    Args:
        latents: Numbers in each of Z1, Zs, Z2.
        label_noise: Standard deviation of the labels' noise, 0 or at least 0.01; the networks' values have
            a standard deviation of about 0.6.
        hidden: Number of units of the labels' networks.
        width: Numbers in an observation.
        labels_seed: Seed of the label networks. It is separate from the world, so that all worlds have one
            truth.
        world: Seed of the transforms.

    Raises:
        InvalidRequest: If there are more latents than ``width``, or a value is out of range.

    Source:
        C. Wang, S. Gupta, X. Zhang et al., An Information Criterion for Controlled Disentanglement of
        Multimodal Data, ICLR 2025, the simulation study, and the released synthetic_task/dataset.py.

    Example:
        >>> DisentangledSSL(label_noise=0.0).truth.terms
        {'redundant': 1.0, 'unique1': 1.0, 'unique2': 1.0, 'synergy': 0.0}
    """

    name: ClassVar[str] = "disentangledssl"
    policies: ClassVar[tuple[str, ...]] = ("task", "generic")

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
            check_injective(m, 2 * self.latents, self.width)
        check_memory(f"hidden = {self.hidden}", 8 * self.hidden * self.latents)

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def _bits_and_errors(self) -> dict[str, tuple[float, float]]:
        return {
            term: label_information(self.labels_seed, term, self.latents, self.hidden, self.label_noise)
            for term in LATENT_OF
        }

    @property
    def truth(self) -> Decomposition:
        (redundant, unique1, unique2), errors = zip(*self._bits_and_errors.values(), strict=True)
        return Decomposition(redundant, unique1, unique2, 0.0, how="quadrature", gap=max(errors))

    @property
    def target_specs(self) -> dict[str, Target]:
        specs = {}
        for term, (bits, _) in self._bits_and_errors.items():
            first, second = IS_SHOWN[term]
            information = {(0,): bits * first, (1,): bits * second, (0, 1): bits}
            specs[term] = Target(term, (0.5, 0.5), 1.0, information)
        return specs

    @property
    def shape_key(self) -> tuple[int, int]:
        return (self.latents, self.width)

    @property
    def class_counts(self) -> dict[str, int]:
        return dict.fromkeys(LATENT_OF, 2)

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        def normal(name: str, rows: int) -> Tensor:
            generator = torch_generator(child(seed, name), device)
            return torch.randn((rows, n), generator=generator, device=device)

        drawn = {name: math.sqrt(VARIANCE) * normal(name, self.latents) for name in LATENT_OF.values()}
        return drawn | {"label noise": normal("label noise", len(LATENT_OF))}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        noise = self.label_noise * latents["label noise"]
        return {
            term: (network_value(latents[latent], *self._networks[term]) + noise[k] >= 0).long()
            for k, (term, latent) in enumerate(LATENT_OF.items())
        }

    def observe(self, latents: dict[str, Tensor], seed: int) -> tuple[Tensor, ...]:
        return tuple(
            torch.cat([latents[unique], latents["shared"]]).mT @ transform.to(latents[unique].device)
            for unique, transform in zip(("own1", "own2"), self._transforms, strict=True)
        )

    @cached_property
    def _networks(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {term: label_network(self.labels_seed, term, self.latents, self.hidden) for term in LATENT_OF}

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
    """Draw the normal weights W, v of a label, scaled such that every unit's input has variance 1.

    Args:
        seed: Seed of the label networks.
        term: Name of the label.
        latents: Numbers in a latent.
        hidden: Number of units.

    Returns:
        W of shape (hidden, latents) and v of shape (hidden,).
    """
    generator = torch_generator(child(seed, "label", term))
    first = torch.randn((hidden, latents), generator=generator, device="cpu")
    last = torch.randn(hidden, generator=generator, device="cpu")
    return first / math.sqrt(VARIANCE * latents), last / math.sqrt(hidden)


def network_value(
    z: Float[Tensor, "latents n"], first: Float[Tensor, "hidden latents"], last: Float[Tensor, " hidden"]
) -> Float[Tensor, " n"]:
    """Compute f(z) = v tanh(W z), shape (n,)."""
    return last.to(z) @ torch.tanh(first.to(z) @ z)


@lru_cache(maxsize=256)
def label_information(seed: int, term: str, latents: int, hidden: int, noise: float) -> tuple[float, float]:
    """Compute I(Z;Y) = 1 - E h(Phi(f(Z) / noise)) of a label.

    Z is split into its component along the direction in which f rises most, which is integrated by the
    trapezoid rule, and the rest, which is averaged over Sobol points. h is a narrow bump at f = 0 that most
    lines along this direction cross once, so that the average over lines has a small variance.

    Args:
        seed: Seed of the label networks.
        term: Name of the label.
        latents: Numbers in a latent.
        hidden: Number of units.
        noise: Standard deviation of the label's noise.

    Returns:
        The information and its error (five standard errors over scramblings), in bits.
    """
    if noise == 0.0:
        return 1.0, 0.0
    with torch.device("cpu"):  # the caller may have set another default device
        return _label_information(seed, term, latents, hidden, noise)


def _label_information(seed: int, term: str, latents: int, hidden: int, noise: float) -> tuple[float, float]:
    first, last = (t.double() for t in label_network(seed, term, latents, hidden))
    along = first.mT @ last
    along = along / along.norm()
    # An upper bound on the slope of f along the line.
    steepest = math.sqrt(VARIANCE) * float(last.abs() @ (first @ along).abs())
    # The bump has a width of at least noise / steepest; with this step the trapezoid rule errs by 1e-8 of it.
    step = min(0.2, noise, noise / steepest)
    s = torch.arange(-8.0, 8.0 + step, step, dtype=torch.float64)
    weight = torch.exp(-0.5 * s * s) * step / math.sqrt(2.0 * math.pi)
    rise = math.sqrt(VARIANCE) * torch.outer(s, first @ along)  # (nodes, hidden)

    def mean_entropy(rng: np.random.Generator, power: int) -> float:
        points = qmc.Sobol(latents, rng=rng).random_base2(power).clip(1e-12, 1.0 - 1e-12)
        z = math.sqrt(VARIANCE) * torch.as_tensor(ndtri(points))
        across = (z - torch.outer(z @ along, along)) @ first.mT  # (points, hidden)
        means = []
        for rows in across.split(CHUNK):
            scores = torch.tanh(rows[:, None] + rise) @ last / noise
            means.append(label_entropy(scores) @ weight)
        return float(torch.cat(means).mean())

    before, power = math.inf, 5
    while True:
        means = [1.0 - mean_entropy(np.random.default_rng(k), power) for k in range(SCRAMBLES)]
        bits, error = float(np.mean(means)), 5.0 * float(np.std(means, ddof=1)) / math.sqrt(SCRAMBLES)
        if abs(bits - before) < ACCURACY and error < ACCURACY:
            return bits, max(error, LINE_ERROR)
        before, power = bits, power + 1


def label_entropy(scores: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Compute h(Phi(score)), the entropy of a label with probit score, in bits.

    Example:
        >>> label_entropy(torch.tensor([0.0]))
        tensor([1.])
    """
    p = torch.special.ndtr(torch.stack([scores, -scores]))
    return torch.special.entr(p).sum(0) / math.log(2.0)
