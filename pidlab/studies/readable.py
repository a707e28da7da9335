"""How readable bits are, as an experiment of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.studies.experiment import Columns, Outcome, Ready
from pidlab.studies.kept import Kept
from pidlab.studies.settings import Profile, Strict
from pidlab.studies.swept import Sweep, SweepSettings, request_of

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress
    from pidlab.sweeps.plan import Cohort
    from pidlab.sweeps.request import Request


class ReadabilitySettings(SweepSettings):
    """Settings of a sweep that is read through noise."""

    sigmas: list[Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        min_length=1,
        description="Deviations of the noise, in units of a whitened coordinate's; 0 to 1.6 by default.",
    )


class ReadabilityProfiles(Strict):
    """What it asks in one profile only."""

    quick: ReadabilitySettings = ReadabilitySettings()
    laptop: ReadabilitySettings = ReadabilitySettings()
    paper: ReadabilitySettings = ReadabilitySettings()


class Readability(ReadabilitySettings, Sweep):
    """A sweep whose z12 is read through noise: `pidlab readability` at every point.

    Its table has `sigma` beside the columns of a sweep: bits are those of whitened z12 + sigma * noise.
    """

    kind = "readability"

    name: str = Field(default="readability", pattern=r"^[\w-]+$", description="Claims and figures use it.")
    profiles: ReadabilityProfiles = Field(  # type: ignore[assignment]
        default=ReadabilityProfiles(), description="What holds in one profile only."
    )

    def asked(self, profile: Profile) -> dict[str, Any]:
        """As of a sweep, with the deviations."""
        found, own = super().asked(profile), getattr(self.profiles, profile.name)
        if found["settings"].pop("track", None):
            raise InvalidRequest("track: noise is put on what training ends with; leave it out")
        return found | {"sigmas": own.sigmas or self.sigmas or [*defaults.SIGMAS]}

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """As of a sweep, with the deviations."""
        return {**super().columns(asked), "sigma": asked["sigmas"], "rows": None}

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes the request."""
        request = request_of(asked, [tuned.get(o, o) for o in asked["objectives"]], device)
        bare = {tuned.get(o, o): o for o in asked["objectives"]}
        return Ready(partial(_strain, request, asked["sigmas"], bare))


def _strain(
    request: "Request",
    sigmas: Sequence[float],
    bare: Mapping[str, str],
    directory: Path,
    progress: "Progress | None",
) -> Outcome:
    from pidlab.sweeps.plan import plan
    from pidlab.sweeps.readability import strained

    kept, runs = Kept(directory, progress), request.runs()
    failures: dict[str, str] = {}

    def rows(number: int, cohort: "Cohort") -> pd.DataFrame:
        asked = {"runs": [run.key for run in cohort.runs], "sigmas": [*sigmas]}
        try:
            return kept.part(
                f"{number}-{cohort.runs[0].key}", asked, lambda: strained(cohort, sigmas, (1.0,))
            )
        except FloatingPointError as error:
            failures[bare[cohort.objective]] = str(error)
            return pd.DataFrame()

    table = pd.concat([rows(number, cohort) for number, cohort in enumerate(plan(runs))], ignore_index=True)
    if len(table):
        table["objective"] = table["objective"].map(bare)
    directions = [*request.directions, *([["sigma"]] if len(sigmas) > 1 else [])]
    asked = dataclasses.asdict(request) | {"sigmas": [*sigmas]}
    return Outcome(table, directions, failures, len(runs), asked)
