"""The probes' self-examination: captured bits where the answer is known, and how often intervals hold it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy import stats

from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.draw import Rows, labels_of
from pidlab.analysis.features import log_posterior, log_ratio_bits, whiten
from pidlab.analysis.known_cases import KNOWN, TOLERANCES, Known
from pidlab.analysis.levels import LEVELS, Level
from pidlab.analysis.linear import fit_linear
from pidlab.analysis.rows import Z95, sees
from pidlab.decomposition import TERMS
from pidlab.generators import Generator
from pidlab.seeds import child

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

# Linear probes fitted for the coverage of a probe that is not exact.
MOST_FITS = 40

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
        found = capture_cohort(_identity, group, [seed] * len(group), EXAMS[level])
        for generator, member in zip(group, found, strict=True):
            rows += [{"level": level, "case": generator.case, **row} for row in member]
    table = pd.DataFrame(rows).drop(columns="quantity")
    error = (table["high"] - table["captured"]) / Z95
    excess = table["captured"] - table["truth"]
    # Truths are stated to 3e-4.
    table["excess"] = np.where(excess > 3e-4, (excess - 3e-4) / np.maximum(error, 1e-9), 0.0)
    table["tolerance"] = [
        TOLERANCES[case] * max(1.0, Known(case).targets[term].entropy)
        for case, term in zip(table["case"], table["term"], strict=True)
    ]
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


def coverage(replicates: int = 400, rows: int = 5_000, seed: int = 0) -> pd.DataFrame:
    """How often the 95 % interval holds the truth, over fresh test rows of every uncertain case.

    With the exact posterior in place of a probe it should be .95; with a linear probe on the readout,
    fitted anew on 8,192 rows each time, it says how far that probe's bias goes beyond its interval.
    """
    found = []
    for case in KNOWN:
        generator = Known(case)
        for readout in READOUTS:
            seen = sees(readout, 2)
            for term, target in generator.targets.items():
                truth = target.information[seen]
                if not 0.01 < truth < target.entropy - 0.01:
                    continue
                bits = np.array(
                    [_exact(generator, term, seen, rows, child(seed, case, i)) for i in range(replicates)]
                )
                held = np.abs(bits[:, 0] - truth) <= Z95 * bits[:, 1]
                found.append((case, readout, term, "exact posterior", truth, float(held.mean()), replicates))
        found += _linear_coverage(generator, min(replicates, MOST_FITS), seed)
    columns = ["case", "readout", "term", "probe", "truth", "coverage", "replicates"]
    return pd.DataFrame(found, columns=columns)


def _identity(x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
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


def _exact(generator: Known, term: str, seen: Sequence[int], n: int, seed: int) -> tuple[float, float]:
    drawn, latents = generator.latents(n, seed)
    y = generator.factor(term, drawn)[None, None]
    prior = torch.tensor(generator.targets[term].prior, dtype=torch.float64).log()[None, None]
    log_q = generator.exact_log_posterior(latents, term, seen)[None, None]
    bits = log_ratio_bits(log_q, y, prior)
    return float(bits.mean()), float(bits.std()) / math.sqrt(n)


def _linear_coverage(generator: Known, replicates: int, seed: int) -> list[tuple[object, ...]]:
    found = []
    splits: list[Rows] = []
    for split, n in (("train", 8192), ("test", 12_288)):
        samples = [generator.sample(n, child(seed, split, i)) for i in range(replicates)]
        x = [torch.stack([s.x[m] for s in samples]) for m in (0, 1)]
        factors = {t: torch.stack([s.targets[t] for s in samples]) for t in TERMS}
        splits.append(Rows(_identity(x), factors, ()))
    train, test = splits
    every: Sequence[Generator] = [generator] * replicates
    labels = labels_of([g.targets for g in every], [train, test, test])
    for readout in READOUTS:
        white = whiten(train.readouts[readout])
        log_q = log_posterior(
            fit_linear(white(train.readouts[readout]), labels)(white(test.readouts[readout])), labels
        )
        bits = log_ratio_bits(log_q, labels.test, labels.log_prior).double()
        half = Z95 * bits.std(-1) / math.sqrt(bits.shape[-1])
        for i, (term, target) in enumerate(generator.targets.items()):
            truth = target.information[sees(readout, 2)]
            if 0.01 < truth < target.entropy - 0.01:
                held = (bits.mean(-1)[:, i] - truth).abs() <= half[:, i]
                rate = float(held.double().mean())
                found.append((generator.case, readout, term, "linear", truth, rate, replicates))
    return found
