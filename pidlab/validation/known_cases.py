"""Representations with known information about every factor, for the examination of probes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.decomposition import TERMS, Decomposition
from pidlab.encoders import Vector
from pidlab.generators import Generator, Sample, Target, ViewInformation
from pidlab.generators.generator import Stack, ingredient_specs
from pidlab.info import entropy
from pidlab.probes.controls import embed
from pidlab.seeds import child, torch_generator

# Flip probability of the two BSC cases, and probability of the rare symbol of `imbalanced`.
FLIP, RARE = 0.11, 0.1
KNOWN: dict[str, Any] = json.loads(files("pidlab.validation").joinpath("known_cases.json").read_text())
# Allowed error of a headline at 100,000 rows, in bits: 0.01 where all bits survive, 0.03 with noise or flips,
# 0.05 after a projection.
TOLERANCES = {
    "Ronly": 0.01,
    "X1only": 0.01,
    "noSyn": 0.01,
    "all": 0.01,
    "halfBSC": 0.03,
    "halfBSC_indep": 0.03,
    "awgn": 0.03,
    "randproj2": 0.05,
    "mod3": 0.03,
    "imbalanced": 0.03,
}


@dataclass(frozen=True)
class Known(Generator):
    """Factors r, u1, u2, s and two representations of them, each behind a random bijection.

    The hidden bits r, u1, s1, u2, s2 are independent and s = s1 xor s2 (`mod3`: ternary s1, s2 and their sum
    mod 3; `imbalanced`: rare r, u1, u2 and s). Modality m contains the amplitudes of (r, um, sm), or of the
    part that the case selects, plus normal noise. The truth is a closed form or a quadrature of the exact
    posterior (known_cases.json, error at most 3e-4 bits).

    Args:
        case: `Ronly`, `X1only`, `noSyn`, `all`, `halfBSC`, `halfBSC_indep`, `awgn`, `randproj2`, `mod3`
            or `imbalanced`.
        width: Dimension of each representation.
        world: Seed of the bijections.
    """

    name: ClassVar[str] = "known"
    policies: ClassVar[tuple[str, ...]] = ()

    case: str = "all"
    width: int = 16
    world: int = 0

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self.width), Vector(self.width))

    @property
    def truth(self) -> Decomposition:
        """Decomposition of the hidden factors, in bits."""
        return Decomposition(**{term: target.entropy for term, target in self.target_specs.items()})  # type: ignore[arg-type]

    @cached_property
    def target_specs(self) -> dict[str, Target]:  # type: ignore[override]
        bits = KNOWN[self.case]["bits"]
        specs = {}
        for i, term in enumerate(TERMS):
            prior = self.cell_laws[term].sum((0, 1))
            information = {(0,): bits["1"][term], (1,): bits["2"][term], (0, 1): bits["12"][term]}
            specs[term] = Target(TERMS[i], tuple(map(float, prior)), float(entropy(prior)), information)
        return specs

    @property
    def auxiliary_specs(self) -> dict[str, Target]:
        return ingredient_specs("synergy", self.pair_laws["synergy"])

    @cached_property
    def pair_laws(self) -> dict[str, Float[np.ndarray, "a b y"]]:
        outcomes, n = self._outcomes, 3 if self.case == "mod3" else 2
        law = np.zeros((n, n, n))
        np.add.at(law, (*outcomes.hidden[:, [2, 4]].T, outcomes.factors[:, 3]), outcomes.p)
        return {"synergy": law}

    @cached_property
    def cell_laws(self) -> dict[str, Float[np.ndarray, "n1 n2 y"]]:
        return self._laws(self._outcomes.cells)

    def _laws(self, cells: np.ndarray) -> dict[str, np.ndarray]:
        """Return p(cell of X1, cell of X2, factor) of every term."""
        outcomes = self._outcomes
        laws = {}
        for i, term in enumerate(TERMS):
            y = outcomes.factors[:, i]
            law = np.zeros((*(cells.max(0) + 1), y.max() + 1))
            np.add.at(law, (*cells.T, y), outcomes.p)
            laws[term] = law
        return laws

    @property
    def shape_key(self) -> Any:
        return (self.width, self.case == "mod3")

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        return {}

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draw samples.

        Args:
            n: Number of samples.
            seed: Seed of the draw.
            split: Not used.
            device: Device of the tensors.

        Returns:
            The samples.
        """
        drawn, latents = self.latents(n, seed, device)
        worlds = [child(self.world, "readout", m) for m in (0, 1)]
        x = [
            embed(z[None], self.width, [child(seed, "nuisance", m)], [world])[0]
            for m, (z, world) in enumerate(zip(latents, worlds, strict=True))
        ]
        columns = {name: torch.as_tensor(getattr(self._outcomes, name)) for name in ("factors", "hidden")}
        factors, hidden = (columns[name].to(drawn.device)[drawn] for name in ("factors", "hidden"))
        cells = torch.as_tensor(self._outcomes.cells).to(drawn.device)[drawn]
        return Sample(
            (x[0], x[1]),
            {term: factors[:, i] for i, term in enumerate(TERMS)},
            {term: target.classes for term, target in self.target_specs.items()},
            auxiliary_targets={"synergy:1": hidden[:, 2], "synergy:2": hidden[:, 4]},
            cells=(cells[:, 0], cells[:, 1]),
        )

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        raise NotImplementedError("known cases are representations and have no views")

    def latents(
        self, n: int, seed: int, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, tuple[Float[Tensor, "n _"], Float[Tensor, "n _"]]]:
        """Draw hidden outcomes and the latents of both modalities before their bijections.

        Args:
            n: Number of samples.
            seed: Seed of the draw.
            device: Device of the tensors.

        Returns:
            Outcome indices, shape (n,), and one latent per modality, shape (n, d).
        """
        generator = torch_generator(child(seed, "known"), device)
        p = torch.as_tensor(self._outcomes.p, device=device)
        u = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
        drawn = torch.searchsorted(p.cumsum(0), u).clamp(max=len(p) - 1)
        shown = []
        for m, points in enumerate(self._points):
            place = torch.as_tensor(self._outcomes.shown[:, m], device=device)[drawn]
            clean = torch.as_tensor(points, device=device, dtype=torch.float32)[place]
            noise = torch.randn(clean.shape, generator=generator, device=device)
            shown.append(clean + KNOWN[self.case]["noise"] * noise)
        return drawn, (shown[0], shown[1])

    def factor(self, term: str, drawn: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the value of a factor.

        Args:
            term: Term of the factor.
            drawn: Outcome indices, shape (n,).

        Returns:
            Class indices, shape (n,).
        """
        return torch.as_tensor(self._outcomes.factors)[drawn][:, TERMS.index(term)]

    def likelihoods(self, latents: Sequence[Float[Tensor, "n _"]]) -> list[Float[Tensor, "n points"]]:
        """Compute p(latent | symbols of the modality), up to a factor per row.

        Args:
            latents: One latent per modality, shape (n, d).

        Returns:
            One array per modality, shape (n, points).
        """
        likelihoods = []
        for latent, points in zip(latents, map(torch.as_tensor, self._points), strict=True):
            # ln N(latent; point) without terms common to all points
            log = latent.double() @ points.mT - points.square().sum(1) / 2.0
            likelihoods.append(((log - log.amax(1, keepdim=True)) / KNOWN[self.case]["noise"] ** 2).exp())
        return likelihoods

    def exact_log_posterior(
        self, likelihoods: Sequence[Float[Tensor, "n _"]], term: str, seen: Sequence[int] = (0, 1)
    ) -> Float[Tensor, "classes n"]:
        """Compute ln p(factor | latents) by Bayes' rule over all hidden outcomes.

        Args:
            likelihoods: Result of `likelihoods`.
            term: Term of the factor.
            seen: Indices of the observed modalities.

        Returns:
            Log posterior, shape (classes, n).
        """
        law = torch.as_tensor(self._shown_laws[term])
        first = law.sum(0).mT[:, None] if 0 not in seen else torch.einsum("na,aby->ynb", likelihoods[0], law)
        joint = (first * likelihoods[1]).sum(-1) if 1 in seen else first.sum(-1)
        return (joint / joint.sum(0)).clamp_min(1e-300).log()

    @cached_property
    def _shown_laws(self) -> dict[str, np.ndarray]:
        return self._laws(self._outcomes.shown)

    @cached_property
    def _outcomes(self) -> "_Outcomes":
        return _outcomes(self.case)

    @cached_property
    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """Latent of every symbol triple (r, u, s), per modality."""
        s = 3 if self.case == "mod3" else 2
        triples = np.array(list(product((0, 1), (0, 1), range(s))))
        signs = 2.0 * triples - 1.0
        if self.case == "mod3":
            angle = 2.0 * np.pi * triples[:, 2] / 3.0
            both = np.column_stack([signs[:, :2], np.cos(angle), np.sin(angle)])
            return both, both
        if self.case == "Ronly":
            return signs[:, :1], signs[:, :1]
        if self.case == "X1only":
            return signs, 0.0 * signs[:, :1]
        if self.case == "noSyn":
            return signs[:, :2], signs[:, :2]
        if self.case == "randproj2":
            first, second = (np.array(KNOWN[self.case][a]) for a in ("A1", "A2"))
            return signs @ first.T, signs @ second.T
        return signs, signs

    @classmethod
    def stack(cls, generators: Sequence[Generator]) -> Stack:
        return Stack(generators)


@dataclass(frozen=True)
class _Outcomes:
    """All hidden outcomes of a case.

    Args:
        p: Probabilities, shape (outcomes,).
        factors: Values of r, u1, u2, s, shape (outcomes, 4).
        hidden: Values of r, u1, s1, u2, s2, shape (outcomes, 5).
        cells: Indices of (r, u1, s1) and (r, u2, s2), shape (outcomes, 2).
        shown: The same indices after flips, as the modalities contain them, shape (outcomes, 2).
    """

    p: np.ndarray
    factors: np.ndarray
    hidden: np.ndarray
    cells: np.ndarray
    shown: np.ndarray


def _outcomes(case: str) -> _Outcomes:
    """Enumerate the hidden outcomes of a case."""
    arity = 3 if case == "mod3" else 2
    rows, weights = [], []
    flips = {"halfBSC": 5, "halfBSC_indep": 6}.get(case, 0)
    for r, u1, s1, u2, s2 in product((0, 1), (0, 1), range(arity), (0, 1), range(arity)):
        s = (s1 + s2) % arity
        weight = 1.0 / (8 * arity**2)
        if case == "imbalanced":
            rare = [RARE if bit else 1.0 - RARE for bit in (r, u1, u2, s)]
            weight = float(np.prod(rare)) / 2.0  # s1 is a fair bit, and s2 = s1 xor s
        for flip in product((0, 1), repeat=flips):
            chance = float(np.prod([FLIP if f else 1.0 - FLIP for f in flip]))
            f = (*flip, 0, 0, 0, 0, 0, 0)[:6]
            second = f[5] if case == "halfBSC_indep" else f[0]
            one = (r ^ f[0], u1 ^ f[1], s1 ^ f[2] if flips else s1)
            two = (r ^ second, u2 ^ f[3], s2 ^ f[4] if flips else s2)
            rows.append((r, u1, u2, s, r, u1, s1, u2, s2, *one, *two))
            weights.append(weight * chance)
    table = np.array(rows)

    def triple(columns: Sequence[int]) -> np.ndarray:
        r, u, s = table[:, columns].T
        return (2 * r + u) * arity + s

    return _Outcomes(
        np.array(weights),
        table[:, :4],
        table[:, 4:9],
        np.column_stack([triple((4, 5, 6)), triple((4, 7, 8))]),
        np.column_stack([triple((9, 10, 11)), triple((12, 13, 14))]),
    )
