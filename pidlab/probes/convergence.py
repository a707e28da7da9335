"""Convergence of the headlines of z12, checked with few further fits.

A headline counts as converged if one of these holds:

- it is within `MAX_RISE` bits of the information in the data, which no probe can exceed;
- a probe of a quarter of the training rows reads nearly as much (`is_settled`);
- it is near 0, and the same probe reads most of an XOR that is planted in a readout of the same width and
  number of rows. A quarter of the rows would read 0 as well, and would say nothing.

A headline of the `product` probe has not converged: the other probes missed what a search found.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pidlab.probes.conditional import Readings, fit_features
from pidlab.probes.controls import MIN_POWER, planted_power
from pidlab.probes.ladder import HEADLINE, Ladder
from pidlab.probes.reading import MAX_RISE, is_settled
from pidlab.probes.structured import is_structured

# Fraction of the training rows of the refits.
REFIT_FRACTION = 0.25

# Probes that levels with `refit` fit again anyway, as they do structured ones.
BASIC = ("linear", "mlp")

# Flags by target, probe and member; None where nothing was examined.
Flags = dict[str, list[list[bool | None]]]


def assess(ladder: Ladder, readings: Readings, truths: Mapping[str, Sequence[float]]) -> Flags:
    """Examine the headlines of z12.

    Args:
        ladder: The probes of all members.
        readings: Readings of z12 by target.
        truths: Information of every member about each target, in bits; other targets are not examined.

    Returns:
        Whether each headline has converged; None for other probes.
    """
    flags: Flags = {name: [[None] * len(one.log_prior) for _ in one.probes] for name, one in readings.items()}
    # Members to refit, by probe; one refit serves all their targets.
    partial: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, values in truths.items():
        one = readings[name]
        scores, headline = one.headline_bits.mean(-1).tolist(), one.headline.tolist()
        for k, (score, truth) in enumerate(zip(scores, values, strict=True)):
            probe = one.probes[headline[k]]
            if score >= truth - MAX_RISE:
                flags[name][headline[k]][k] = True
            elif probe == "product":
                flags[name][headline[k]][k] = False
            elif score <= MAX_RISE:
                flags[name][headline[k]][k] = _power(ladder) >= MIN_POWER
            elif not (is_structured(probe) or (ladder.level.refit and probe in BASIC)):
                partial[probe][name].append(k)
    for probe, by_target in partial.items():
        members = sorted({k for ks in by_target.values() for k in ks})
        refitted = _refit(ladder, probe, members)
        for name, ks in by_target.items():
            p = readings[name].probes.index(probe)
            places = [members.index(k) for k in ks]
            settled = is_settled(readings[name].bits[p, ks], refitted[name].bits[0, places])
            for k, flag in zip(ks, settled.tolist(), strict=True):
                flags[name][p][k] = flag
    return flags


def _refit(ladder: Ladder, probe: str, members: Sequence[int]) -> Readings:
    """Fit one probe to a quarter of the training rows."""
    if probe == "fourier":
        return fit_features(ladder, "fourier", members, REFIT_FRACTION)
    kind = "rank-" if probe.startswith("rank-") else ""
    return fit_features(ladder, kind, members, REFIT_FRACTION, (probe.removeprefix(kind),))


def _power(ladder: Ladder) -> float:
    train, validation, _ = ladder.whitened(HEADLINE)
    return planted_power(
        train.shape[-1], train.shape[1], validation.shape[1], ladder.level.mlp, ladder.level.seeds
    )
