"""Estimators of mutual information on normal variables, as an experiment."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field

from pidlab.studies.experiments import Columns, Experiment, ExperimentResult, PreparedExperiment
from pidlab.studies.resumable import Parts
from pidlab.studies.settings import ByProfile, Profile, Strict, name_field

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

ESTIMATION_COLUMNS = ("conditional", "dimension", "nats", "seed", "estimator", "critic", "batch")
# Columns in bits; each has a column in nats with the suffix `_nats`.
VALUES = ("truth", "jeffreys", "estimate")
BITS_PER_NAT = 1.0 / math.log(2.0)


class EstimationSettings(Strict):
    """Extent of the experiment, all optional."""

    dimensions: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, min_length=1, description="Coordinates of X and Y, or of Z; 20, 50, 100, 200."
    )
    nats: list[Annotated[float, Field(gt=0, le=20)]] | None = Field(
        default=None, min_length=1, description="True information in nats, in training order; 2 to 10."
    )
    seeds: int | None = Field(default=None, ge=1, description="Number of seeds.")
    steps: int | None = Field(default=None, ge=1, description="Steps of Adam at each value of nats.")
    batch: int | None = Field(default=None, ge=2, description="Rows of a batch; 64.")
    hidden: int | None = Field(default=None, ge=1, description="Width of hidden layers of critics; 128.")


class Estimation(EstimationSettings, Experiment):
    """InfoNCE, CLUB and NCE-CLUB of normal variables with known information.

    Its table has one row per dimension, nats, seed, estimator (`nce`, `club`, `nce-club`) and critic
    (`trained`, or `exact` for the log ratio of the densities). Its columns `truth`, `jeffreys` and `estimate`
    are in bits, `truth_nats`, ... in nats. Dimensions and nats are points of a claim:
    `value(column="estimate", estimator="nce", critic="trained") <= 6 everywhere`.
    """

    kind = "estimation"

    name: str = name_field("estimation")
    conditional: bool = Field(default=False, description="Estimate I(X;Y|Z) of scalar X and Y.")
    profiles: ByProfile[EstimationSettings] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return conditional, dimensions, nats, seeds, steps, batch and hidden."""
        merged = profile.settings | self.merged(profile)
        return {
            "conditional": self.conditional,
            "dimensions": merged.get("dimensions", [20, 50, 100, 200]),
            "nats": merged.get("nats", [2.0, 4.0, 6.0, 8.0, 10.0]),
            "seeds": merged["seeds"],
            "steps": merged.get("steps", 1000),
            "batch": merged.get("batch", 64),
            "hidden": merged.get("hidden", 128),
        }

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns, with dimensions, nats, estimators and critics."""
        values = [f"{name}{unit}" for name in VALUES for unit in ("", "_nats")]
        columns: Columns = dict.fromkeys((*ESTIMATION_COLUMNS, *values))
        columns |= {"dimension": specification["dimensions"], "nats": specification["nats"]}
        return columns | {"estimator": ["nce", "club", "nce-club"], "critic": ["exact", "trained"]}

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Plan one part per dimension and seed."""
        return PreparedExperiment(partial(_run, specification))


def _run(specification: Mapping[str, Any], directory: Path, progress: "Progress | None") -> ExperimentResult:
    from pidlab.workers import available_cores

    options = {name: specification[name] for name in ("conditional", "nats", "steps", "batch", "hidden")}
    parts = [
        (
            f"dimension-{dimension}-seed-{seed}",
            options | {"dimension": dimension, "seed": seed},
            partial(_part, dimension=dimension, seed=seed, **options),
        )
        for dimension in specification["dimensions"]
        for seed in range(specification["seeds"])
    ]
    tables: list[pd.DataFrame] = []
    for found in Parts(directory, progress).compute_all(parts, available_cores()):
        if isinstance(found, Exception):
            raise found
        tables.append(found)
    axis_groups = [["dimension"], ["nats"]]
    return ExperimentResult(pd.concat(tables, ignore_index=True), axis_groups, {}, len(parts), specification)


def _part(
    *,
    dimension: int,
    seed: int,
    conditional: bool,
    nats: Sequence[float],
    steps: int,
    batch: int,
    hidden: int,
) -> pd.DataFrame:
    """Return the rows of one dimension and seed."""
    from pidlab.validation.estimators import Channel, estimate

    channels = [Channel(dimension, value, conditional) for value in nats]
    table = pd.DataFrame(estimate(channels, seed, steps=steps, batch=batch, hidden=hidden))
    table = table.rename(columns={"estimate": "estimate_nats"}).assign(
        conditional=conditional, dimension=dimension, seed=seed, batch=batch, truth_nats=table["nats"]
    )
    table["jeffreys_nats"] = table["nats"].map({one.nats: one.jeffreys for one in channels})
    return table.assign(**{name: BITS_PER_NAT * table[f"{name}_nats"] for name in VALUES})
