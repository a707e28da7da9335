"""Examination of the probes on representations whose information is known, as an experiment."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from pidlab.decomposition import TERMS
from pidlab.registry import look_up
from pidlab.results.means import READING
from pidlab.studies.experiments import Columns, Experiment, ExperimentResult, PreparedExperiment
from pidlab.studies.resumable import Parts
from pidlab.studies.settings import ByProfile, Profile, Strict, name_field

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

# Level and quantity of the rows with the coverage of intervals.
COVERAGE = "coverage"
EXAMINATION_COLUMNS = (
    *("level", "case", *READING),
    *("tolerance", "within", "excess", "above", "below", "replicates", "seed"),
)


class ExaminationSettings(Strict):
    """Extent of the examination."""

    levels: list[Literal["quick", "standard", "thorough", "exam"]] | None = Field(
        default=None, min_length=1, description="Levels to examine; default: the level of the probes."
    )
    replicates: int | None = Field(default=None, ge=2, description="Replicates of the coverage; 1000.")
    fits: int | None = Field(default=None, ge=2, description="Linear probes fitted for the coverage; 40.")
    cases: list[str] | None = Field(
        default=None, min_length=1, description="Known cases to examine; default: all."
    )


class KnownAnswers(ExaminationSettings, Experiment):
    """Examination of `pidlab known-answers`.

    Its table has `level` and `case` in addition to `readout`, `term` and `probe`, with `tolerance` and
    `excess`. In rows whose quantity and level are `coverage`, `captured` is the share of 95 % intervals that
    contain the truth. Cases, levels, readouts and terms are points of a claim.
    """

    kind = "known_answers"
    replicated = False

    name: str = name_field("known-answers")
    seed: int = Field(default=0, ge=0, description="Seed of rows and probes.")
    profiles: ByProfile[ExaminationSettings] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return levels, cases if some are chosen, replicates, fits and seed."""
        merged = self.merged(profile)
        return {
            "levels": merged.get("levels", [profile.settings["probes"]]),
            **({"cases": merged["cases"]} if "cases" in merged else {}),
            "replicates": merged.get("replicates", 1000),
            "fits": merged.get("fits", 40),
            "seed": self.seed,
        }

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns, with levels; the cases are known after `prepare`."""
        return {**dict.fromkeys(EXAMINATION_COLUMNS), "level": [*specification["levels"], COVERAGE]}

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Look up the cases."""
        from pidlab.validation.known_cases import KNOWN

        cases = specification.get("cases", [*KNOWN])
        for case in cases:
            look_up("known case", case, KNOWN)
        columns: Columns = {"case": cases, "term": [*TERMS], "readout": ["z1", "z2", "z12"]}
        return PreparedExperiment(partial(_examine, specification, cases), columns)


def _examine(
    specification: Mapping[str, Any], cases: Sequence[str], directory: Path, progress: "Progress | None"
) -> ExperimentResult:
    from pidlab.validation.examination import FEWEST, coverage, examine
    from pidlab.workers import available_cores

    seed, parts, workers = specification["seed"], Parts(directory, progress), available_cores()
    tables = [
        parts.compute(
            level, {"cases": cases, "seed": seed}, partial(examine, level, seed, cases, workers)
        ).assign(quantity="mi", level=level)
        for level in specification["levels"]
    ]
    options = {"rows": FEWEST} | {name: specification[name] for name in ("replicates", "seed", "fits")}
    rates = parts.compute(
        COVERAGE, {**options, "cases": cases}, partial(coverage, **options, cases=cases, workers=workers)
    )
    rates = rates.rename(columns={"coverage": "captured"})
    tables.append(rates.assign(quantity=COVERAGE, level=COVERAGE, headline=True))
    table = pd.concat(tables, ignore_index=True).assign(seed=seed)
    axis_groups = [["case"], ["level"], ["readout"], ["term"]]
    return ExperimentResult(table, axis_groups, request=specification)
