"""Examination of the probes on cases with known information."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from pidlab.decomposition import TERMS
from pidlab.probes.capture import capture_cohort
from pidlab.probes.controls import random_orthogonal
from pidlab.probes.levels import LEVELS, Level
from pidlab.probes.linear import fit_linear
from pidlab.probes.posteriors import log_posterior, log_ratio_bits
from pidlab.probes.row import Z95, interval, modalities_of
from pidlab.probes.splits import Split, stack_labels
from pidlab.probes.whitening import whiten
from pidlab.seeds import child, torch_generator
from pidlab.threads import one_thread
from pidlab.validation.known_cases import KNOWN, TOLERANCES, Known
from pidlab.workers import compute_all

# The examination uses 100,000 training rows; the levels of a sweep are examined for comparison. Its readouts
# are all concatenations, so that structured probes can be headlines.
EXAM = replace(
    LEVELS["thorough"],
    train=100_000,
    validation=50_000,
    test=100_000,
    auxiliary=False,
    controls=False,
    structured_headline=True,
)
EXAMS: dict[str, Level] = {
    name: replace(level, auxiliary=False, controls=False) for name, level in {**LEVELS, "exam": EXAM}.items()
}
READOUTS = ("z1", "z2", "z12")
# Cases that a worker probes together; one case takes as long as two (`pidlab.doubling`).
PROBED_TOGETHER = 2

# Largest synergy that any probe may read where there is none.
NULL = 0.005
# Smallest synergy that must be read from case `randproj2`.
PROJECTED = 0.55
# Probability with which a family of tests may exceed its limit by chance.
FAMILY = 0.01
# Truths are known to this many bits.
TRUTH_ERROR = 3e-4

# Coverage is measured for informations at least this far from 0 and from the entropy; others hardly vary.
SETTLED = 0.001
# Test rows of the quickest level. With fewer rows, intervals of nearly certain bits have lower coverage.
FEWEST = min(level.test for level in LEVELS.values())
# Replicates drawn at once, and the number of fitted linear probes.
AT_ONCE, MOST_FITS = 50, 40

# Cases of the invariances: without and with noise.
CASES = ("all", "awgn")
# Standard deviations of the added noise; a coordinate of the representations has one of about 1.
NOISES = (0.2, 0.5, 1.0)

Quantity: TypeAlias = tuple[str, str, float]  # readout, term, truth in bits
Change: TypeAlias = Callable[[Tensor], Tensor]


def examine(
    level: str = "exam", seed: int = 0, cases: Sequence[str] = tuple(KNOWN), workers: int = 1
) -> pd.DataFrame:
    """Measure the captured bits of every known case, readout, factor and probe.

    Args:
        level: Probe level: `quick`, `standard`, `thorough` or `exam`.
        seed: Seed of the rows and the probes.
        cases: Names in `KNOWN`.
        workers: Number of worker processes; 1 computes in this process. The result does not depend on it.

    Returns:
        One row per (case, readout, term, probe): truth, captured, low, high (bits), probe, headline,
        converged; the tolerance of the case, whether a headline is `within` it (null for other rows), and
        `excess`, the standard errors above the truth.
    """
    groups = _by_shape([Known(case) for case in cases])
    if workers > 1:
        groups = [
            group[i : i + PROBED_TOGETHER] for group in groups for i in range(0, len(group), PROBED_TOGETHER)
        ]
    parts = compute_all([partial(_examine_group, level, seed, group) for group in groups], workers)
    table = pd.DataFrame([row for part in parts for row in part]).drop(columns="quantity")
    # The standard error of the lower side, on which the truth should lie.
    error = (table["captured"] - table["low"]) / Z95
    excess = table["captured"] - table["truth"]
    table["excess"] = np.where(excess > TRUTH_ERROR, (excess - TRUTH_ERROR) / np.maximum(error, 1e-9), 0.0)
    # Tolerances are stated for one bit and grow with the entropy of a target: the sum of mod3 has 1.58.
    entropies = {
        (case, term): target.entropy for case in cases for term, target in Known(case).target_specs.items()
    }
    sizes = [entropies[key] for key in zip(table["case"], table["term"], strict=True)]
    table["tolerance"] = table["case"].map(TOLERANCES) * np.maximum(sizes, 1.0)
    table["within"] = [_is_within(row) if row["headline"] else None for _, row in table.iterrows()]
    return table


def _examine_group(level: str, seed: int, group: Sequence[Known]) -> list[dict[str, Any]]:
    """Return the rows of cases that one cohort can probe."""
    members = capture_cohort(as_readouts, group, [seed] * len(group), EXAMS[level])
    return [
        {"level": level, "case": generator.case, **row}
        for generator, member in zip(group, members, strict=True)
        for row in member
    ]


def family_wise(table: pd.DataFrame) -> tuple[float, float]:
    """Compute the largest excess over the truth and the limit that chance exceeds with probability 1 %.

    Args:
        table: Rows of `examine`.

    Returns:
        Both in standard errors.
    """
    return float(table["excess"].max()), float(stats.norm.isf(FAMILY / len(table)))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize the headlines of each level.

    Args:
        table: Rows of `examine`.

    Returns:
        One row per level: mean, worst and null errors in bits, the error of the synergy, the largest synergy
        that a linear probe reads, and how many headlines are `within` their tolerance `of` how many.
    """
    summaries = []
    for level, rows in table.groupby("level", sort=False):
        headlines = rows[rows["headline"]]
        error = headlines["captured"] - headlines["truth"]
        has_synergy = (rows["term"] == "synergy") & (rows["readout"] == "z12") & (rows["truth"] > 0)
        linear = rows[has_synergy & (rows["probe"] == "linear")]
        summaries.append(
            {
                "level": level,
                "rows": EXAMS[str(level)].train,
                "cases": rows["case"].nunique(),
                "bias": error.mean(),
                "bias_synergy": error[has_synergy].mean(),
                "worst": float(error.to_numpy()[error.abs().to_numpy().argmax()]),
                "worst_null": error[headlines["truth"] == 0].abs().max(),
                "linear_synergy": linear["captured"].abs().max(),
                "within": int((headlines["within"] == True).sum()),  # noqa: E712 - may be None
                "of": len(headlines),
            }
        )
    return pd.DataFrame(summaries)


def as_readouts(x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return both modalities and their concatenation: representations that lose no information.

    Args:
        x: One tensor per modality, shape (..., d).

    Returns:
        Readouts `z1`, `z2` and `z12`.
    """
    return {"z1": x[0], "z2": x[1], "z12": torch.cat([*x], dim=-1)}


def _by_shape(generators: Sequence[Known]) -> list[list[Known]]:
    """Group generators that one cohort can probe together."""
    groups: dict[object, list[Known]] = {}
    for generator in generators:
        groups.setdefault(generator.shape_key, []).append(generator)
    return list(groups.values())


def _is_within(row: pd.Series) -> bool:
    """Return whether a headline is within the tolerance of its case."""
    error = row["captured"] - row["truth"]
    if row["truth"] == 0.0 and row["term"] == "synergy":
        return abs(error) <= NULL
    if row["case"] == "randproj2" and row["term"] == "synergy" and row["readout"] == "z12":
        return abs(error) <= row["tolerance"] and row["captured"] >= PROJECTED
    return abs(error) <= row["tolerance"]


def coverage(
    replicates: int = 1000,
    rows: int = FEWEST,
    seed: int = 0,
    fits: int = MOST_FITS,
    cases: Sequence[str] = tuple(KNOWN),
    workers: int = 1,
) -> pd.DataFrame:
    """Measure the coverage of the intervals over fresh test rows of every uncertain case.

    With the exact posterior in place of a probe, coverage should be 0.95. With a linear probe, fitted anew on
    8,192 rows up to ``fits`` times, it shows how often that probe's bias exceeds its interval.

    Args:
        replicates: Number of independent test sets.
        rows: Rows per test set.
        seed: Seed of the rows and the probes.
        fits: Maximum number of fitted linear probes.
        cases: Names in `KNOWN`.
        workers: Number of worker processes; 1 computes in this process. The result does not depend on it.

    Returns:
        One row per (case, readout, term, probe): truth (bits), coverage, `above` and `below` (the shares of
        intervals above and below the truth), replicates.
    """
    calls = [partial(_cover_case, case, replicates, rows, seed, fits) for case in cases]
    rates = [rate for part in compute_all(calls, workers) for rate in part]
    columns = ["case", "readout", "term", "probe", "truth", "coverage", "above", "below", "replicates"]
    return pd.DataFrame(rates, columns=columns)


@one_thread()
def _cover_case(case: str, replicates: int, rows: int, seed: int, fits: int) -> list[tuple[Any, ...]]:
    """Return the coverage of one case, with the exact posterior and with linear probes."""
    generator = Known(case)
    quantities = list(_uncertain(generator))
    scores: dict[Quantity, list[np.ndarray]] = {quantity: [] for quantity in quantities}
    for start in range(0, replicates, AT_ONCE):
        count = min(AT_ONCE, replicates - start)
        for quantity, bits in _exact(generator, quantities, count, rows, child(seed, case, start)):
            scores[quantity].append(interval(bits))
    rates: list[tuple[Any, ...]] = []
    for (readout, term, truth), parts in scores.items():
        shares = _coverage(np.concatenate(parts), truth)
        rates.append((case, readout, term, "exact posterior", truth, *shares))
    return [*rates, *_linear(generator, quantities, min(replicates, fits), seed)]


def _uncertain(generator: Known) -> Iterator[Quantity]:
    """Yield the informations of a case that are neither 0 nor the full entropy."""
    for readout in READOUTS:
        for term, target in generator.target_specs.items():
            truth = target.information[modalities_of(readout, 2)]
            if SETTLED < truth < target.entropy - SETTLED:
                yield readout, term, truth


def _coverage(intervals: Float[np.ndarray, "replicates 3"], truth: float) -> tuple[float, float, float, int]:
    """Return the shares of intervals that contain, lie above and lie below the truth, and their number."""
    above, below = float((intervals[:, 1] > truth).mean()), float((intervals[:, 2] < truth).mean())
    return 1.0 - above - below, above, below, len(intervals)


def _exact(
    generator: Known, quantities: Sequence[Quantity], replicates: int, rows: int, seed: int
) -> Iterator[tuple[Quantity, Float[Tensor, "replicates rows"]]]:
    """Score the exact posterior on fresh rows."""
    drawn, latents = generator.latents(replicates * rows, seed)
    likelihoods = generator.likelihoods(latents)
    for quantity in quantities:
        readout, term, _ = quantity
        y = generator.factor(term, drawn)[None, None]
        prior = torch.tensor(generator.target_specs[term].prior, dtype=torch.float64).log()[None, None]
        log_q = generator.exact_log_posterior(likelihoods, term, modalities_of(readout, 2))[None, None]
        yield quantity, log_ratio_bits(log_q, y, prior).view(replicates, rows)


def _linear(
    generator: Known, quantities: Sequence[Quantity], replicates: int, seed: int
) -> Iterator[tuple[object, ...]]:
    """Measure the coverage of linear probes, each fitted on its own training rows."""
    splits: list[Split] = []
    for split, n in (("train", 8192), ("test", FEWEST)):
        samples = [generator.sample(n, child(seed, split, i)) for i in range(replicates)]
        x = [torch.stack([s.x[m] for s in samples]) for m in (0, 1)]
        factors = {t: torch.stack([s.targets[t] for s in samples]) for t in TERMS}
        splits.append(Split(as_readouts(x), factors, ()))
    train, test = splits
    labels = stack_labels([generator.target_specs] * replicates, [train, test, test])
    for readout in dict.fromkeys(readout for readout, _, _ in quantities):
        white = whiten(train.readouts[readout])
        scores = fit_linear(white(train.readouts[readout]), labels)(white(test.readouts[readout]))
        bits = log_ratio_bits(log_posterior(scores, labels), labels.test, labels.log_prior).double()
        intervals = interval(bits)
        for other, term, truth in quantities:
            if other == readout:
                shares = _coverage(intervals[:, TERMS.index(term)], truth)
                yield generator.case, readout, term, "linear", truth, *shares


def invariances(
    level: str = "standard", seed: int = 0, cases: Sequence[str] = CASES, workers: int = 1
) -> pd.DataFrame:
    """Compare the captured bits of z12 before and after transformations.

    Rotations, copies, permutations and constant columns change neither the information nor what any probe
    family can read, so each probe's score may differ by at most the tolerance of the case. Added noise is a
    channel after Z: it may not raise a headline by more than chance allows over all rows (`FAMILY`).

    Args:
        level: Probe level: `quick`, `standard`, `thorough` or `exam`; convergence is not
            checked.
        seed: Seed of the rows, the probes, the rotation and the noise.
        cases: Names in `KNOWN` whose representations have equal shapes.
        workers: Number of worker processes; 1 computes in this process. The result does not depend on it.

    Returns:
        One row per (change, case, term, probe), with probe `headline` for the one selected on validation
        rows: truth, captured, before, difference, most (the allowed difference, bits), within.
    """
    names = [*_changes(seed)]
    calls = [partial(_probe_changed, name, level, seed, cases) for name in (None, *names)]
    before, *tables = compute_all(calls, workers)
    parts = [
        before[["case", "term", "probe", "truth"]].assign(
            level=level,
            change=name,
            captured=after["captured"],
            before=before["captured"],
            difference=after["captured"] - before["captured"],
            most=_allowed_difference(name, before, after),
        )
        for name, after in zip(names, tables, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    # Noise changes what each single probe can read, so only the headline is compared.
    is_compared = (table["probe"] == "headline") | ~table["change"].str.startswith("noise")
    table = table[is_compared].reset_index(drop=True)
    is_noise = table["change"].str.startswith("noise")
    table["within"] = table["difference"].abs().where(~is_noise, table["difference"]) <= table["most"]
    return table


def _probe_changed(change: str | None, level: str, seed: int, cases: Sequence[str]) -> pd.DataFrame:
    """Probe z12 after a change; rows of probe `headline` are those of the selected probes."""
    transform = _changes(seed)[change] if change else lambda z: z

    def represent(x: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"z12": transform(torch.cat([*x], dim=-1))}

    effort = replace(EXAMS[level], refit=False, assess=False)
    members = capture_cohort(represent, [Known(case) for case in cases], [seed] * len(cases), effort)
    rows = [{"case": case, **row} for case, rows in zip(cases, members, strict=True) for row in rows]
    table = pd.DataFrame(rows)
    headlines = table[table["headline"]].assign(probe="headline")
    return pd.concat([headlines, table], ignore_index=True)


def _changes(seed: int) -> dict[str, Change]:
    """Return the transformations by name."""

    def rotated(z: Tensor) -> Tensor:
        return z @ random_orthogonal(child(seed, "rotation"), z.shape[-1], 1)[0].to(z)

    def permuted(z: Tensor) -> Tensor:
        order = torch.randperm(z.shape[-1], generator=torch_generator(child(seed, "permutation")))
        return z[..., order.to(z.device)]

    def constant(z: Tensor) -> Tensor:
        return torch.cat([z, torch.full_like(z[..., :4], 7.0)], dim=-1)

    def noisy(sigma: float) -> Change:
        # One generator for all chunks, so that chunks get different noise.
        generator = torch_generator(child(seed, "noise"))
        return lambda z: z + sigma * torch.randn(z.shape, generator=generator).to(z)

    fixed = {
        "rotation": rotated,
        "duplication": lambda z: torch.cat([z, z], dim=-1),
        "permutation": permuted,
        "constant columns": constant,
    }
    return fixed | {f"noise {sigma:g}": noisy(sigma) for sigma in NOISES}


def _allowed_difference(change: str, before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    """Return the allowed difference of each row, in bits."""
    if not change.startswith("noise"):
        return before["case"].map(TOLERANCES)
    chance = float(stats.norm.isf(FAMILY / (len(NOISES) * (before["probe"] == "headline").sum())))
    errors = [(table["high"] - table["low"]) / (2 * Z95) for table in (before, after)]
    return chance * (errors[0] ** 2 + errors[1] ** 2) ** 0.5 + math.ulp(1.0)
