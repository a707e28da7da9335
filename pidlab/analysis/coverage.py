"""How often the 95 % interval holds the truth where that is known."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.analysis.draw import Rows, labels_of
from pidlab.analysis.features import log_posterior, log_ratio_bits, whiten
from pidlab.analysis.interval import interval
from pidlab.analysis.known_answers import READOUTS, as_readouts
from pidlab.analysis.known_cases import KNOWN, Known
from pidlab.analysis.levels import LEVELS
from pidlab.analysis.linear import fit_linear
from pidlab.analysis.rows import sees
from pidlab.decomposition import TERMS
from pidlab.generators import Generator
from pidlab.seeds import child

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
        for term, target in generator.targets.items():
            truth = target.information[sees(readout, 2)]
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
        prior = torch.tensor(generator.targets[term].prior, dtype=torch.float64).log()[None, None]
        log_q = generator.exact_log_posterior(likelihoods, term, sees(readout, 2))[None, None]
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
    labels = labels_of([g.targets for g in every], [train, test, test])
    for readout in dict.fromkeys(readout for readout, _, _ in wanted):
        white = whiten(train.readouts[readout])
        scores = fit_linear(white(train.readouts[readout]), labels)(white(test.readouts[readout]))
        bits = log_ratio_bits(log_posterior(scores, labels), labels.test, labels.log_prior).double()
        intervals = interval(bits)
        for other, term, truth in wanted:
            if other == readout:
                held = _held(intervals[:, TERMS.index(term)], truth)
                yield generator.case, readout, term, "linear", truth, *held
