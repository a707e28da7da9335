"""Retention as an experiment: what an objective loses from a start that holds every term."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.registry import parse
from pidlab.results.means import READING, STEP
from pidlab.studies.experiments import Columns, Experiment, ExperimentResult, PreparedExperiment
from pidlab.studies.resumable import Parts
from pidlab.studies.settings import ByProfile, Effort, Profile, name_field

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

# Quantities of the rows: at checkpoints, before the first step, and after the last one.
TRACKED, START, END = "tracked", "start", "mi"


class RetentionSettings(Effort):
    """Settings of the retention experiment, all optional."""

    objectives: list[str] | None = Field(
        default=None, min_length=1, description="References to objectives that have a head."
    )
    regression: int | None = Field(
        default=None, ge=1, description="Steps that regress the networks onto the true symbols; 400."
    )
    fitting: int | None = Field(
        default=None, ge=1, description="Steps that fit heads before the training; 600."
    )
    track: int | None = Field(default=None, ge=2, description="Number of checkpoints; 8.")


class Retention(RetentionSettings, Experiment):
    """Captured bits along the training from networks that hold R, U1, U2 and S.

    The start is the warm start of the oracle experiment: networks are regressed onto the true symbols, then
    heads are fitted. Quick probes read the checkpoints. The table has the columns of a sweep: rows of
    quantity `tracked` have a `step`, those of `start` are before the first step, those of `mi` after the
    last.
    """

    kind = "retention"

    name: str = name_field("retention")
    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator; only atoms.")
    profiles: ByProfile[RetentionSettings] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return generator, objectives, checkpoints and settings."""
        merged = self.merged(profile)
        settings = {k: v for k, v in (profile.settings | merged).items() if k in Effort.model_fields}
        settings.pop("probes", None)  # checkpoints are read by quick probes
        return {
            "generator": self.generator,
            "objectives": [str(parse(o)) for o in merged.get("objectives", defaults.TRAINED_OBJECTIVES)],
            "regression": merged.get("regression", 400),
            "fitting": merged.get("fitting", 600),
            "track": merged.get("track", 8),
            **settings,
        }

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns, with objectives, terms and quantities."""
        columns: Columns = dict.fromkeys(("objective", "seed", *READING, STEP, *TERMS))
        columns |= {"objective": specification["objectives"], "term": [*TERMS]}
        return columns | {"quantity": [TRACKED, START, END]}

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Build the warm start of every objective."""
        from pidlab.studies.oracle import plan_oracles
        from pidlab.training.checkpoints import checkpoint_steps

        names = {tuned.get(o, o): o for o in specification["objectives"]}
        options: dict[str, Any] = {name: value for name, value in specification.items() if name != "track"}
        options |= {"device": device, "representations": ()}
        trial: dict[str, Any] = {**options, "objectives": [*names]}
        plan, *_ = plan_oracles(**trial)
        steps = checkpoint_steps(plan.training.steps, specification["track"])
        return PreparedExperiment(partial(_run, options, steps, names))


def _run(
    options: Mapping[str, Any],
    steps: Sequence[int],
    names: Mapping[str, str],
    directory: Path,
    progress: "Progress | None",
) -> ExperimentResult:
    from pidlab.objectives.load import source_digest
    from pidlab.workers import available_cores

    parts: list[tuple[str, dict[str, Any], Callable[[], pd.DataFrame]]] = []
    for objective in names:
        alone = {**options, "objectives": [objective]}
        key = {**alone, "source": source_digest(objective), "steps": [*steps]}
        parts.append(("retention", key, partial(retain, alone, steps)))
    found = Parts(directory, progress).compute_all(parts, available_cores())
    tables: list[pd.DataFrame] = []
    failures: dict[str, str] = {}
    for name, result in zip(names.values(), found, strict=True):
        if isinstance(result, pd.DataFrame):
            tables.append(result.assign(objective=name))
        elif isinstance(result, FloatingPointError):
            failures[name] = str(result)
        else:
            raise result
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["objective", *READING])
    runs = len(names) * options["seeds"]
    return ExperimentResult(table, [], failures, runs, {**options, "objectives": [*names], "track": [*steps]})


def retain(options: Mapping[str, Any], steps: Sequence[int]) -> pd.DataFrame:
    """Train one objective from a warm start, and probe it at checkpoints.

    Args:
        options: Arguments of `plan_oracles`.
        steps: Steps at which the models are probed, from 0 to the last one.

    Returns:
        Rows of every seed, as in `Retention`.

    Raises:
        FloatingPointError: If a loss is not finite.
    """
    from pidlab.probes.trajectory import tracked_rows
    from pidlab.studies.oracle import plan_oracles

    (plan,) = plan_oracles(**options)
    seeds = range(len(plan.generators))
    members, warm = plan.warm_start(seeds)
    trained = plan.train(plan.make, members, plan.training, warm.states, steps)
    checkpoints = {step: trained.at(step).represent for step in steps}
    tracked = tracked_rows(checkpoints, plan.generators, seeds, options["device"])
    rows = []
    for seed, member in zip(seeds, tracked, strict=True):
        for row in member:
            truth = {term: getattr(plan.generators[seed].truth, term) for term in TERMS}
            labels = {"run": f"{plan.objective}-{seed}", "objective": plan.objective, "seed": seed, **truth}
            first, last = row[STEP] == steps[0], row[STEP] == steps[-1]
            quantities = [TRACKED, *([START] if first else []), *([END] if last else [])]
            rows += [{**labels, **row, "quantity": quantity} for quantity in quantities]
    return pd.DataFrame(rows)
