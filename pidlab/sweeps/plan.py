"""From runs to cohorts: which models are trained together."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pidlab import defaults
from pidlab.analysis.draw import DRAW_ROWS
from pidlab.analysis.levels import LEVELS
from pidlab.defaults import Training
from pidlab.modality import rows_at_once
from pidlab.objectives import load_objective
from pidlab.sweeps.runs import Run, Some
from pidlab.training import Member
from pidlab.training.cohort import member_bytes


@dataclass(frozen=True)
class Cohort:
    """Runs of one objective, one shape and one set of settings."""

    runs: Sequence[Run]

    @cached_property
    def objective(self) -> str:
        """What all of them are trained on."""
        return self.runs[0].objective

    @cached_property
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
    groups: dict[object, array[int]] = {}
    point = signature = None
    for place, run in enumerate(runs):
        if run.point is not point:  # runs of one point differ in their world, which no shape depends on
            point, signature = run.point, run.generator.signature
        shape = (run.objective, run.training, run.generator.name, signature)
        groups.setdefault(shape, array("q")).append(place)
    cohorts = []
    for group in groups.values():
        most = max(1, min(share, budget // _member_bytes(runs[group[0]])))
        count = math.ceil(len(group) / most)
        size = math.ceil(len(group) / count)
        cohorts += [Cohort(Some(runs, group[i : i + size])) for i in range(0, len(group), size)]
    return cohorts


def among(cohort: Cohort, wanted: Sequence[int]) -> Cohort:
    """Of a planned cohort those runs alone whose place is wanted, `wanted[place]`; maybe none."""
    runs = cohort.runs
    assert isinstance(runs, Some)
    return Cohort(Some(runs.of, array("q", [place for place in runs.places if wanted[place]])))


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
