"""From runs to cohorts: which models are trained together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pidlab import defaults
from pidlab.analysis.draw import DRAW_ROWS
from pidlab.analysis.levels import LEVELS
from pidlab.defaults import Training
from pidlab.modality import rows_at_once
from pidlab.objectives import load_objective
from pidlab.sweeps.request import Run
from pidlab.training import Member
from pidlab.training.cohort import member_bytes


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


def plan(runs: Sequence[Run], budget: int = defaults.COHORT_BYTES, parts: int = 1) -> list[Cohort]:
    """Groups runs into cohorts, in the order of the runs.

    Args:
        runs: what to train.
        budget: bytes that the tensors of a cohort stay within.
        parts: how many are computed at once; cohorts are small enough to keep them busy.
    """
    # Several for each, or the last one is waited for while the others idle.
    share = math.ceil(len(runs) / (4 * parts)) if parts > 1 else len(runs)
    groups: dict[object, list[Run]] = {}
    signatures: dict[int, object] = {}  # by identity: runs of one point and seed share their generator
    for run in runs:
        at = id(run.generator)
        if at not in signatures:
            signatures[at] = run.generator.signature
        shape = (run.objective, run.training, run.generator.name, signatures[at])
        groups.setdefault(shape, []).append(run)
    cohorts = []
    for group in groups.values():
        most = max(1, min(share, budget // _member_bytes(group[0])))
        count = math.ceil(len(group) / most)
        size = math.ceil(len(group) / count)
        cohorts += [Cohort(tuple(group[i : i + size])) for i in range(0, len(group), size)]
    return cohorts


def _member_bytes(run: Run) -> int:
    # In training, in probing or in drawing what is probed, whichever is most.
    try:
        make = load_objective(run.objective)
    except Exception:
        trained = 0  # a user's own code that fails; its run will say how
    else:
        trained = member_bytes(make, Member(run.generator, run.seed), run.training, run.track)
    level = LEVELS[run.probes]
    held = level.train + level.validation + level.test
    probed = 4 * held * (3 * 4 * run.training.dim + 160)
    modalities = run.generator.modalities
    drawn = 4 * rows_at_once(modalities, DRAW_ROWS) * sum(math.prod(m.shape) for m in modalities)
    return max(trained, probed, drawn)
