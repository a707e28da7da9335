"""From runs to cohorts: which models are trained together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pidlab import defaults
from pidlab.analysis.levels import LEVELS, Level
from pidlab.defaults import Training
from pidlab.sweeps.request import Run


@dataclass(frozen=True)
class Cohort:
    """Runs of one objective, one shape and one set of settings."""

    runs: tuple[Run, ...]

    @property
    def objective(self) -> str:
        """What all of them are trained on."""
        return self.runs[0].objective

    @property
    def training(self) -> Training:
        """How all of them are trained."""
        return self.runs[0].training


def plan(runs: Sequence[Run], budget: int = defaults.COHORT_BYTES) -> list[Cohort]:
    """Groups runs into cohorts whose tensors stay within `budget` bytes, in the order of the runs."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        shape = (run.objective, run.training, run.generator.name, run.generator.signature)
        groups.setdefault(shape, []).append(run)
    cohorts = []
    for group in groups.values():
        most = max(1, budget // member_bytes(group[0].training, LEVELS[group[0].probes]))
        count = math.ceil(len(group) / most)
        size = math.ceil(len(group) / count)
        cohorts += [Cohort(tuple(group[i : i + size])) for i in range(0, len(group), size)]
    return cohorts


def member_bytes(training: Training, level: Level) -> int:
    """Upper estimate of the memory one member takes, in training or in probing, whichever is more."""
    rows = 6 * training.batch  # two views under three masks
    similarities = 8 * (2 * training.batch) ** 2
    activations = 4 * rows * training.hidden * (training.layers + 3)
    trained = 4 * (similarities + activations)
    held = level.train + level.validation + level.test
    probed = 4 * held * (3 * 4 * training.dim + 64)
    return max(trained, probed)
