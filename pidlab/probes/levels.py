"""Levels of probing: the number of rows, the probes and the checks."""

from dataclasses import dataclass

from pidlab.errors import InvalidRequest
from pidlab.probes.mlp import MLPProbe


@dataclass(frozen=True)
class Level:
    """A level of probing.

    Args:
        train: Number of rows that probes are fitted on.
        validation: Number of rows that select probes, snapshots and temperatures.
        test: Number of rows that are scored.
        mlp: Settings of the MLP probe.
        every_readout: Whether MLP probes read every readout, and inside structured probes; otherwise
            only z12.
        structured: Whether structured probes read z12.
        structured_headline: Whether a structured probe may be the headline. Structured probes use labels of
            ingredients, and `experts` exists only where z12 is z1 and z2 concatenated, so that headlines
            would not be comparable between objectives.
        auxiliary: Whether auxiliary targets (ingredients, nuisance) are read, and the decomposition.
        assess: Whether conditional probes read z12 (`pidlab.probes.conditional`), and whether its headlines
            are examined for convergence (`pidlab.probes.convergence`).
        refit: Whether probes are fitted again on a quarter of the rows, for the convergence check.
        controls: Whether to compute lost bits, planted controls and the change since half the training.
        seeds: Number of MLP probes whose probabilities are averaged.
    """

    train: int
    validation: int
    test: int
    mlp: MLPProbe
    every_readout: bool = False
    structured: bool = False
    structured_headline: bool = False
    auxiliary: bool = False
    assess: bool = False
    refit: bool = False
    controls: bool = False
    seeds: int = 1


LEVELS = {
    "quick": Level(8192, 4096, 12288, MLPProbe(epochs=8)),
    "standard": Level(20480, 8192, 20480, MLPProbe(), structured=True, auxiliary=True, assess=True),
    "thorough": Level(
        40960,
        16384,
        40960,
        MLPProbe(hidden=192, epochs=8, rate=3e-3, snapshots=4),
        every_readout=True,
        structured=True,
        auxiliary=True,
        assess=True,
        refit=True,
        controls=True,
        seeds=2,
    ),
}


def get_level(probes: str) -> Level:
    """Return the level of that name.

    Args:
        probes: ``"quick"``, ``"standard"`` or ``"thorough"``.

    Raises:
        InvalidRequest: If there is no such level.
    """
    if probes not in LEVELS:
        raise InvalidRequest(f"unknown probes {probes!r}; choose one of {', '.join(LEVELS)}")
    return LEVELS[probes]
