"""Oracle experiment as a table of a study file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.io import write_csv
from pidlab.registry import parse
from pidlab.results.panels import FITTED, OWN_FUSION, REPRESENTATIONS
from pidlab.studies.experiments import Columns, Experiment, ExperimentResult, PreparedExperiment
from pidlab.studies.settings import ByProfile, Effort, Profile, name_field

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

ORACLE_COLUMNS = (
    *("objective", "seed", "representation", "views", "loss", "low", "high"),
    *(f"captured_{term}" for term in TERMS),
)


class OracleSettings(Effort):
    """Settings of the oracle experiment, all optional."""

    objectives: list[str] | None = Field(
        default=None, min_length=1, description="References to objectives that have a head."
    )
    representations: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Symbols of the oracles: R, U, U1, U2, S, nuisance, joined by +.",
    )
    regression: int | None = Field(
        default=None,
        ge=1,
        description="Steps that regress the networks of a warm start onto the oracle; 400.",
    )
    fitting: int | None = Field(
        default=None, ge=1, description="Steps that fit heads to frozen codes; default: the training steps."
    )
    batches: int | None = Field(
        default=None, ge=2, description="Fresh batches that a loss is averaged over; 64."
    )


class OracleExperiment(OracleSettings, Experiment):
    """Losses on representations made of the true symbols, after training from scratch and from a warm start.

    Its table has one row per objective, seed and representation, with `loss` in nats and
    `captured_redundant`, ... in bits. A claim reads them by `value(column="loss", objective=...,
    representation=...)`.
    """

    kind = "oracle"

    name: str = name_field("oracle")
    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator; only atoms.")
    profiles: ByProfile[OracleSettings] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return generator, objectives, representations and settings."""
        merged = self.merged(profile)
        return {
            "generator": self.generator,
            "objectives": [str(parse(o)) for o in merged.get("objectives", defaults.TRAINED_OBJECTIVES)],
            "representations": merged.get("representations", [*REPRESENTATIONS]),
            "regression": merged.get("regression", 400),
            "fitting": merged.get("fitting"),
            "batches": merged.get("batches", 64),
            **{k: v for k, v in (profile.settings | merged).items() if k in Effort.model_fields},
        }

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns, with objectives and representations."""
        columns: Columns = dict.fromkeys(ORACLE_COLUMNS)
        columns["objective"] = specification["objectives"]
        columns["representation"] = [*specification["representations"], OWN_FUSION, *FITTED]
        return columns

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Build every objective on every oracle."""
        from pidlab.studies.oracle import plan_oracles

        names = {tuned.get(o, o): o for o in specification["objectives"]}
        trial: dict[str, Any] = {**specification, "objectives": [*names], "device": device}
        plan_oracles(**trial)
        return PreparedExperiment(partial(_run, specification, names, device))


def _run(
    specification: Mapping[str, Any],
    names: Mapping[str, str],
    device: str,
    directory: Path,
    progress: "Progress | None",
) -> ExperimentResult:
    from pidlab.studies.oracle import oracle

    tables: list[pd.DataFrame] = []
    failures: dict[str, str] = {}
    for objective, name in names.items():
        options: dict[str, Any] = {**specification, "objectives": [objective], "device": device}
        if progress is not None:
            options["note"] = progress.note
        try:
            tables.append(oracle(**options, directory=directory).assign(objective=name))
        except FloatingPointError as error:
            failures[name] = str(error)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ORACLE_COLUMNS)
    write_csv(table, directory / "oracle.csv")
    request_record = {**specification, "objectives": [*names]}
    return ExperimentResult(table, [], failures, len(table), request_record)
