"""Efforts of probing: how many rows, which probes, which checks."""

from dataclasses import dataclass

from pidlab.errors import InvalidRequest
from pidlab.probes.mlp import MLPProbe


@dataclass(frozen=True)
class Level:
    """An effort of probing.

    Args:
        train: rows that probes are fitted on.
        validation: rows that choose between probes, snapshots and temperatures.
        test: rows that are scored.
        mlp: the MLP probe.
        every_readout: the MLP probe on every readout, not on z12 alone, and inside structured rungs.
        structured: rungs made for targets of two ingredients, on z12.
        beside: what else a readout holds: ingredients, nuisance, all of Y; its own decomposition.
        refit: every rung again on a quarter of the rows, for the convergence flag.
        controls: bits lost since the data, planted ingredients, readouts at half the training.
        seeds: MLP probes whose probabilities are averaged.
    """

    train: int
    validation: int
    test: int
    mlp: MLPProbe
    every_readout: bool = False
    structured: bool = False
    auxiliary: bool = False
    refit: bool = False
    controls: bool = False
    seeds: int = 1


LEVELS = {
    "quick": Level(8192, 4096, 12288, MLPProbe(epochs=8)),
    "standard": Level(20480, 8192, 20480, MLPProbe(), structured=True, auxiliary=True),
    "thorough": Level(
        40960,
        16384,
        40960,
        MLPProbe(hidden=192, epochs=8, rate=3e-3, snapshots=4),
        every_readout=True,
        structured=True,
        auxiliary=True,
        refit=True,
        controls=True,
        seeds=2,
    ),
}


def get_level(probes: str) -> Level:
    """The level of that name.

    Raises:
        InvalidRequest: there is none.
    """
    if probes not in LEVELS:
        raise InvalidRequest(f"unknown probes {probes!r}: expected one of {', '.join(LEVELS)}")
    return LEVELS[probes]
