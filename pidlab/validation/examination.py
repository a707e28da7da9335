"""The probes' self-examination: captured bits where the answer is known."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from pidlab.decomposition import TERMS
from pidlab.generators import Generator
from pidlab.probes.capture import capture_cohort
from pidlab.probes.controls import orthogonal
from pidlab.probes.data import (
    Z95,
    Rows,
    interval,
    labels_of,
    log_posterior,
    log_ratio_bits,
    modalities_of,
    whiten,
)
from pidlab.probes.levels import LEVELS, Level
from pidlab.probes.linear import fit_linear
from pidlab.seeds import child, torch_generator
from pidlab.validation.known_cases import KNOWN, TOLERANCES, Known

# A quantity within so many bits of nothing or of everything has next to no uncertainty to cover.
SETTLED = 0.001
# Test rows of the quickest level. An interval of fewer rows covers a bit that is nearly whole less often.
FEWEST = min(level.test for level in LEVELS.values())
# Replicates drawn at once, and linear probes fitted for the coverage of a probe that is not exact.
AT_ONCE, MOST_FITS = 50, 40


def coverage(
    replicates: int = 1000,
    rows: int = FEWEST,
    seed: int = 0,
    fits: int = MOST_FITS,
    cases: Sequence[str] = tuple(KNOWN),
) -> pd.DataFrame:
    """The share of intervals that hold the truth, over fresh test rows of every uncertain case.

    With the exact posterior in place of a probe it should be .95 of them; with a linear probe on the readout,
    fitted anew on 8,192 rows up to `fits` times, it says how far that probe's bias goes beyond its interval.

    Returns:
        A row per (case, readout, term, probe): truth, coverage, `above` and `below`, the shares of
        intervals that lie above and below it, replicates.
    """
    found = []
    for case in cases:
        generator = Known(case)
        wanted = list(_uncertain(generator))
        scores = {quantity: [] for quantity in wanted}
        for start in range(0, replicates, AT_ONCE):
            some = min(AT_ONCE, replicates - start)
            for quantity, bits in _exact(generator, wanted, some, rows, child(seed, case, start)):
                scores[quantity].append(interval(bits))
        for (readout, term, truth), parts in scores.items():
            held = _held(np.concatenate(parts), truth)
            found.append((case, readout, term, "exact posterior", truth, *held))
        found += _linear(generator, wanted, min(replicates, fits), seed)
    columns = ["case", "readout", "term", "probe", "truth", "coverage", "above", "below", "replicates"]
    return pd.DataFrame(found, columns=columns)


Quantity = tuple[str, str, float]


def _uncertain(generator: Known) -> Iterator[Quantity]:
    for readout in READOUTS:
        for term, target in generator.target_specs.items():
            truth = target.information[modalities_of(readout, 2)]
            if SETTLED < truth < target.entropy - SETTLED:
                yield readout, term, truth


def _held(scores: Float[np.ndarray, "replicates 3"], truth: float) -> tuple[float, float, float, int]:
    above, below = float((scores[:, 1] > truth).mean()), float((scores[:, 2] < truth).mean())
    return 1.0 - above - below, above, below, len(scores)


def _exact(
    generator: Known, wanted: Sequence[Quantity], replicates: int, rows: int, seed: int
) -> Iterator[tuple[Quantity, Float[Tensor, "replicates rows"]]]:
    """Scores of the exact posterior."""
    drawn, latents = generator.latents(replicates * rows, seed)
    likelihoods = generator.likelihoods(latents)
    for quantity in wanted:
        readout, term, _ = quantity
        y = generator.factor(term, drawn)[None, None]
        prior = torch.tensor(generator.target_specs[term].prior, dtype=torch.float64).log()[None, None]
        log_q = generator.exact_log_posterior(likelihoods, term, modalities_of(readout, 2))[None, None]
        yield quantity, log_ratio_bits(log_q, y, prior).view(replicates, rows)


def _linear(
    generator: Known, wanted: Sequence[Quantity], replicates: int, seed: int
) -> Iterator[tuple[object, ...]]:
    splits: list[Rows] = []
    for split, n in (("train", 8192), ("test", FEWEST)):
        samples = [generator.sample(n, child(seed, split, i)) for i in range(replicates)]
        x = [torch.stack([s.x[m] for s in samples]) for m in (0, 1)]
        factors = {t: torch.stack([s.targets[t] for s in samples]) for t in TERMS}
        splits.append(Rows(as_readouts(x), factors, ()))
    train, test = splits
    every: Sequence[Generator] = [generator] * replicates
    labels = labels_of([g.target_specs for g in every], [train, test, test])
    for readout in dict.fromkeys(readout for readout, _, _ in wanted):
        white = whiten(train.readouts[readout])
        scores = fit_linear(white(train.readouts[readout]), labels)(white(test.readouts[readout]))
        bits = log_ratio_bits(log_posterior(scores, labels), labels.test, labels.log_prior).double()
        intervals = interval(bits)
        for other, term, truth in wanted:
            if other == readout:
                held = _held(intervals[:, TERMS.index(term)], truth)
                yield generator.case, readout, term, "linear", truth, *held


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


# The examination itself is taken with 100,000 training rows; the levels of a sweep are shown beside.
EXAM = replace(
    LEVELS["thorough"], train=100_000, validation=50_000, test=100_000, auxiliary=False, controls=False
)
EXAMS: dict[str, Level] = {
    name: replace(level, auxiliary=False, controls=False) for name, level in {**LEVELS, "exam": EXAM}.items()
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
        groups.setdefault(generator.shape_key, []).append(generator)
    return list(groups.values())


def _within(row: pd.Series) -> bool:
    error = row["captured"] - row["truth"]
    if row["truth"] == 0.0 and row["term"] == "synergy":
        return abs(error) <= NULL
    if row["case"] == "randproj2" and row["term"] == "synergy" and row["readout"] == "z12":
        return abs(error) <= row["tolerance"] and row["captured"] >= PROJECTED
    return abs(error) <= row["tolerance"]
