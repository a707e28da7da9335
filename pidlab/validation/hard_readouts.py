"""Readouts whose information is known and that are hard to read, for each level of the probes."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.generators import Generator, Sample, Target, ViewInformation
from pidlab.generators.generator import Stack
from pidlab.info import entropy
from pidlab.probes.capture import capture_cohort
from pidlab.probes.controls import embed
from pidlab.probes.levels import LEVELS
from pidlab.seeds import child, torch_generator

# A headline that is further below its truth must be flagged at `standard`.
SHORT = 0.05
# Widths of z12; parts of a readout without content are normal.
WIDTH, WIDE = 16, 512
# Degrees of freedom of the heavy tails, periods of the oscillation, and probability of the rare class.
DEGREES, PERIODS, RARE = 1.2, 4, 0.01
# Noise around the symbols of a readout that determines its target.
NOISE = 0.2
# Size of the direction that holds a bit next to a coordinate of size 1.
TINY = 1e-6

# What each readout holds, by name.
HARD = {
    "heavy tails": f"XOR of the signs of two of 16 coordinates with Student's t({DEGREES}) distribution",
    "wide": f"XOR of two bits, rotated into {WIDE} dimensions",
    "parity of 3": "parity of the signs of three of 16 normal coordinates",
    "parity of 4": "parity of the signs of four of 16 normal coordinates",
    "oscillation": f"square wave of {PERIODS} periods of one of 16 uniform coordinates",
    "tiny": f"a bit of size {TINY:g} next to a coordinate of size 1",
    "rare": f"a bit with p = {RARE}",
    "20 classes": "20 points with normal noise in 16 dimensions",
    "100 classes": "100 points with normal noise in 16 dimensions",
    "ordinal": "ten equally likely intervals of a normal coordinate",
}


@dataclass(frozen=True)
class Hard(Generator):
    """A readout z12 that determines its target y, halved into two modalities.

    Args:
        case: Name in `HARD`.
        world: Seed of rotations and of the points of classes.
    """

    name: ClassVar[str] = "hard"
    policies: ClassVar[tuple[str, ...]] = ()

    case: str = "parity of 3"
    world: int = 0

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        half = (WIDE if self.case == "wide" else WIDTH) // 2
        return (Vector(half), Vector(half))

    @cached_property
    def target_specs(self) -> dict[str, Target]:  # type: ignore[override]
        if self.case == "rare":
            prior = (1.0 - RARE, RARE)
        else:
            sizes = {"20 classes": 20, "100 classes": 100, "ordinal": 10}
            classes = sizes.get(self.case, 2)
            prior = (1.0 / classes,) * classes
        bits = float(entropy(torch.tensor(prior, dtype=torch.float64).numpy()))
        # z12 determines y up to an error of probability below 1e-4; single halves are not read.
        return {"y": Target("y", prior, bits, {(0, 1): bits})}

    @property
    def truth(self) -> Decomposition:
        """Information as synergy; the decomposition is not examined."""
        return Decomposition(0.0, 0.0, 0.0, self.target_specs["y"].entropy)

    @property
    def shape_key(self) -> str:
        return self.case

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        return {}

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        raise NotImplementedError("hard readouts are representations and have no views")

    @classmethod
    def stack(cls, generators: "list[Generator]") -> Stack:  # type: ignore[override]
        return Stack(generators)

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
            Halves of z12 as modalities, and y.
        """
        z, y = self._draw(n, torch_generator(child(seed, "hard")), seed)
        z, y = z.float().to(device), y.to(device)
        half = z.shape[1] // 2
        return Sample((z[:, :half], z[:, half:]), {"y": y}, {"y": self.target_specs["y"].classes})

    def _draw(
        self, n: int, generator: torch.Generator, seed: int
    ) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Return rows of z12 and their labels."""
        normal = torch.randn(n, WIDTH, generator=generator, dtype=torch.float64)
        if self.case in ("parity of 3", "parity of 4"):
            parts = int(self.case[-1])
            return normal, (normal[:, :: WIDTH // parts][:, :parts] > 0).sum(1) % 2
        if self.case == "heavy tails":
            uniform = torch.rand(n, WIDTH, generator=generator, dtype=torch.float64)
            z = torch.as_tensor(stats.t.ppf(uniform.numpy(), DEGREES))
            return z, (z[:, 0] > 0).long() ^ (z[:, -1] > 0)
        if self.case == "oscillation":
            z = torch.rand(n, WIDTH, generator=generator, dtype=torch.float64)
            return z, (z[:, 0] * 2 * PERIODS).long() % 2
        if self.case == "ordinal":
            return normal, (torch.special.ndtr(normal[:, 0]) * 10).long().clamp(max=9)
        if self.case == "wide":
            bits = torch.randint(2, (n, 2), generator=generator)
            latents = 2.0 * bits - 1.0 + NOISE * normal[:, :2]
            z = embed(latents[None].float(), WIDE, [child(seed, "padding")], [self.world])[0]
            return z, bits.sum(1) % 2
        if self.case == "tiny":
            y = torch.randint(2, (n,), generator=generator)
            normal[:, 1] = normal[:, 0] + TINY * (2.0 * y - 1.0)
            return normal, y
        if self.case == "rare":
            y = (torch.rand(n, generator=generator) < RARE).long()
            normal[:, 0] = y + NOISE / 2.0 * normal[:, 0]
            return normal, y
        classes = self.target_specs["y"].classes
        points = torch.randn(classes, WIDTH, generator=torch_generator(child(self.world, "points")))
        y = torch.randint(classes, (n,), generator=generator)
        return points[y] + NOISE * normal, y


def examine_hard(level: str, seed: int = 0) -> pd.DataFrame:
    """Measure the captured bits of every hard readout.

    Args:
        level: Level of the probes: `quick`, `standard` or `thorough`.
        seed: Seed of the rows and the probes.

    Returns:
        The headline of each readout, a row each: level, case, truth, captured, low, high (bits), probe,
        converged, `short` (truth minus captured) and `flagged`: whether `converged` is False.
    """
    rows = []
    for case in HARD:
        generators = [Hard(case)] * 2
        seeds = [child(seed, "hard", i) for i in range(2)]

        def represent(x: "list[Tensor]") -> dict[str, Tensor]:
            return {"z12": torch.cat([*x], dim=-1)}

        for row in capture_cohort(represent, generators, seeds, LEVELS[level])[0]:  # type: ignore[arg-type]
            if row["headline"] and row["quantity"] == "mi":
                rows.append({"level": level, "case": case, **row})
    table = pd.DataFrame(rows)[
        ["level", "case", "truth", "captured", "low", "high", "probe", "converged", "accuracy"]
    ]
    return table.assign(short=table["truth"] - table["captured"], flagged=table["converged"] == False)  # noqa: E712
