"""A sweep whose joint readout is probed through noise, as an experiment."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.studies.experiments import (
    Columns,
    ExperimentResult,
    PreparedExperiment,
    Sweep,
    SweepSettings,
    tuned_request,
)
from pidlab.studies.parts import Parts
from pidlab.studies.settings import ByProfile, Profile

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress
    from pidlab.sweeps.plan import Cohort
    from pidlab.sweeps.request import Request


class ReadabilitySettings(SweepSettings):
    """Settings of a sweep, and the noise added to its readout."""

    sigmas: list[Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        min_length=1,
        description="Standard deviations of the noise, in units of a whitened coordinate; 0 to 1.6.",
    )


class Readability(ReadabilitySettings, Sweep):
    """A sweep whose z12 is whitened and probed through noise, as `pidlab readability` does at one point.

    Its table has `sigma` in addition to the columns of a sweep.
    """

    kind = "readability"

    name: str = Field(
        default="readability", pattern=r"^[\w-]+$", description="Name that claims and figures refer to."
    )
    profiles: ByProfile[ReadabilitySettings] = Field(  # type: ignore[assignment]
        default=ByProfile(), description="Values that apply in one profile only."
    )

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return the specification of the sweep, and the standard deviations."""
        specification = super().specification(profile)
        if specification["settings"].pop("track", None):
            raise InvalidRequest("track: noise is added after training only; remove it")
        return specification | {"sigmas": self.merged(profile).get("sigmas", [*defaults.SIGMAS])}

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns of the sweep, and sigma."""
        return {**super().columns(specification), "sigma": specification["sigmas"], "rows": None}

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Build the request."""
        request, names = tuned_request(specification, tuned, device)
        return PreparedExperiment(partial(_run, request, specification["sigmas"], names))


def _run(
    request: "Request",
    sigmas: Sequence[float],
    names: Mapping[str, str],
    directory: Path,
    progress: "Progress | None",
) -> ExperimentResult:
    from pidlab.sweeps.plan import plan
    from pidlab.sweeps.readability import strained

    parts, runs = Parts(directory, progress), request.runs()
    failures: dict[str, str] = {}

    def probe(number: int, cohort: "Cohort") -> pd.DataFrame:
        specification = {"runs": [run.key for run in cohort.runs], "sigmas": [*sigmas]}
        name = f"{number}-{cohort.runs[0].key}"
        try:
            return parts.compute(name, specification, lambda: strained(cohort, sigmas, (1.0,)))
        except FloatingPointError as error:
            failures[names[cohort.objective]] = str(error)
            return pd.DataFrame()

    table = pd.concat([probe(number, cohort) for number, cohort in enumerate(plan(runs))], ignore_index=True)
    if len(table):
        table["objective"] = table["objective"].map(names)
    axis_groups = [*request.axis_groups, *([["sigma"]] if len(sigmas) > 1 else [])]
    request_record = dataclasses.asdict(request) | {"sigmas": [*sigmas]}
    return ExperimentResult(table, axis_groups, failures, len(runs), request_record)
