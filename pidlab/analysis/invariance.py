"""What must not move captured bits, and what may only lower them, where the truth is known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.embedding import orthogonal
from pidlab.analysis.interval import Z95
from pidlab.analysis.known_answers import EXAMS, FAMILY
from pidlab.analysis.known_cases import TOLERANCES, Known
from pidlab.seeds import child, torch_generator

Change = Callable[[Tensor], Tensor]

# One where all is known, one where noise has taken a part.
CASES = ("all", "awgn")
# Deviations of added noise; a coordinate of the representations has one of about 1.
NOISES = (0.2, 0.5, 1.0)


def invariances(level: str = "standard", seed: int = 0, cases: Sequence[str] = CASES) -> pd.DataFrame:
    """Captured bits of z12 before and after changes of it.

    Bijections, copies, permutations and constant columns change no information, nor what the family of
    any probe could read: each rung's score may differ by the case's tolerance, since both headlines must
    lie between truth minus tolerance and truth. Noise is a channel behind Z: it may raise no headline
    beyond what chance allows over all rows (`FAMILY`), by the standard errors of both.

    Args:
        level: of the probes, or `exam`; without convergence, controls and what stands beside the targets.
        seed: of rows, probes, rotation and noise.
        cases: of alike representations.

    Returns:
        A row per (change, case, term, probe), `headline` for the probe that validation chose: truth,
        captured, before, difference, most (the difference that is allowed), within.
    """
    effort = replace(EXAMS[level], refit=False)
    generators = [Known(case) for case in cases]

    def read(change: Change) -> pd.DataFrame:
        def represent(x: Sequence[Tensor]) -> dict[str, Tensor]:
            return {"z12": change(torch.cat([*x], dim=-1))}

        found = capture_cohort(represent, generators, [seed] * len(cases), effort)
        rows = [{"case": case, **row} for case, rows in zip(cases, found, strict=True) for row in rows]
        table = pd.DataFrame(rows)
        chosen = table[table["headline"]].assign(probe="headline")
        return pd.concat([chosen, table], ignore_index=True)

    before = read(lambda z: z)
    parts = [
        before[["case", "term", "probe", "truth"]].assign(
            level=level,
            change=name,
            captured=after["captured"],
            before=before["captured"],
            difference=after["captured"] - before["captured"],
            most=_most(name, before, after),
        )
        for name, change in _changes(seed).items()
        for after in [read(change)]
    ]
    table = pd.concat(parts, ignore_index=True)
    asked = (table["probe"] == "headline") | ~table["change"].str.startswith("noise")
    table = table[asked].reset_index(drop=True)
    noisy = table["change"].str.startswith("noise")
    table["within"] = table["difference"].abs().where(~noisy, table["difference"]) <= table["most"]
    return table


def _changes(seed: int) -> dict[str, Change]:
    def rotated(z: Tensor) -> Tensor:
        return z @ orthogonal(child(seed, "rotation"), z.shape[-1], 1)[0].to(z)

    def permuted(z: Tensor) -> Tensor:
        order = torch.randperm(z.shape[-1], generator=torch_generator(child(seed, "permutation")))
        return z[..., order.to(z.device)]

    def constant(z: Tensor) -> Tensor:
        return torch.cat([z, torch.full_like(z[..., :4], 7.0)], dim=-1)

    def noisy(sigma: float) -> Change:
        # One stream for all rows: chunk follows chunk.
        generator = torch_generator(child(seed, "noise"))
        return lambda z: z + sigma * torch.randn(z.shape, generator=generator).to(z)

    fixed = {
        "rotation": rotated,
        "duplication": lambda z: torch.cat([z, z], dim=-1),
        "permutation": permuted,
        "constant columns": constant,
    }
    return fixed | {f"noise {sigma:g}": noisy(sigma) for sigma in NOISES}


def _most(change: str, before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    if not change.startswith("noise"):
        return before["case"].map(TOLERANCES)
    chance = float(stats.norm.isf(FAMILY / (len(NOISES) * (before["probe"] == "headline").sum())))
    errors = [(table["high"] - table["low"]) / (2 * Z95) for table in (before, after)]
    return chance * (errors[0] ** 2 + errors[1] ** 2) ** 0.5 + math.ulp(1.0)
