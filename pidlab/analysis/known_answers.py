"""The probes' self-examination: captured bits where the answer is known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy import stats

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.interval import Z95
from pidlab.analysis.known_cases import KNOWN, TOLERANCES, Known
from pidlab.analysis.levels import LEVELS, Level

# The examination itself is taken with 100,000 training rows; the levels of a sweep are shown beside.
EXAM = replace(
    LEVELS["thorough"], train=100_000, validation=50_000, test=100_000, beside=False, controls=False
)
EXAMS: dict[str, Level] = {
    name: replace(level, beside=False, controls=False) for name, level in {**LEVELS, "exam": EXAM}.items()
}

# Synergy where there is none, by any probe; and of the linear one where both parts are there.
NULL, LINEAR_NULL = 0.005, 0.015
# Least synergy of `randproj2`; and the part of a family's chance to exceed the truth once.
PROJECTED, FAMILY = 0.55, 0.01

READOUTS = ("z1", "z2", "z12")


def examine(level: str = "exam", seed: int = 0, cases: Sequence[str] = tuple(KNOWN)) -> pd.DataFrame:
    """Captured bits of every known case, readout, factor and probe.

    Returns:
        A row per (case, readout, term, probe): truth, captured, low, high, probe, headline, converged;
        of headlines, the tolerance and whether they are `within` it (null: not a headline); and
        `excess`, standard errors above the truth.
    """
    rows = []
    for group in _alike([Known(case) for case in cases]):
        found = capture_cohort(as_readouts, group, [seed] * len(group), EXAMS[level])
        for generator, member in zip(group, found, strict=True):
            rows += [{"level": level, "case": generator.case, **row} for row in member]
    table = pd.DataFrame(rows).drop(columns="quantity")
    # The side on which the truth would lie.
    error = (table["captured"] - table["low"]) / Z95
    excess = table["captured"] - table["truth"]
    # Truths are stated to 3e-4.
    table["excess"] = np.where(excess > 3e-4, (excess - 3e-4) / np.maximum(error, 1e-9), 0.0)
    table["tolerance"] = table["case"].map(TOLERANCES)
    table["within"] = [_within(row) if row["headline"] else None for _, row in table.iterrows()]
    return table


def family_wise(table: pd.DataFrame) -> tuple[float, float]:
    """The largest excess over the truth in standard errors, and what chance allows it to be at 1 %."""
    return float(table["excess"].max()), float(stats.norm.isf(FAMILY / len(table)))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Per level, of headlines: mean error, the XOR's and its linear rung's, the worst, how many hold."""
    found = []
    for level, rows in table.groupby("level", sort=False):
        best = rows[rows["headline"]]
        error = best["captured"] - best["truth"]
        both = (rows["term"] == "synergy") & (rows["readout"] == "z12") & (rows["truth"] > 0)
        linear = rows[both & (rows["probe"] == "linear")]
        found.append(
            {
                "level": level,
                "rows": EXAMS[str(level)].train,
                "cases": rows["case"].nunique(),
                "bias": error.mean(),
                "bias_synergy": error[both].mean(),
                "worst": float(error.to_numpy()[error.abs().to_numpy().argmax()]),
                "worst_null": error[best["truth"] == 0].abs().max(),
                "linear_synergy": linear["captured"].abs().max(),
                "within": int((best["within"] == True).sum()),  # noqa: E712 - None where there is no verdict
                "of": len(best),
            }
        )
    return pd.DataFrame(found)


def as_readouts(x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Both modalities, and both side by side: representations that leave nothing out."""
    return {"z1": x[0], "z2": x[1], "z12": torch.cat([*x], dim=-1)}


def _alike(generators: Sequence[Known]) -> list[list[Known]]:
    groups: dict[object, list[Known]] = {}
    for generator in generators:
        groups.setdefault(generator.signature, []).append(generator)
    return list(groups.values())


def _within(row: pd.Series) -> bool:
    error = row["captured"] - row["truth"]
    if row["truth"] == 0.0 and row["term"] == "synergy":
        return abs(error) <= NULL
    if row["case"] == "randproj2" and row["term"] == "synergy" and row["readout"] == "z12":
        return abs(error) <= row["tolerance"] and row["captured"] >= PROJECTED
    return abs(error) <= row["tolerance"]
