"""Sweeps as experiments of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.references import parse
from pidlab.studies.experiment import Columns, Experiment, Outcome, Ready
from pidlab.studies.settings import AxisText, Profile, Settings, Strict
from pidlab.sweeps.ask import ask, spread, values
from pidlab.tables.columns import READING, RUN, STEP

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress
    from pidlab.sweeps.request import Request

# Columns that every table of a sweep has.
COLUMNS = (*RUN[1:], *READING, STEP, *TERMS)


class SweepSettings(Settings):
    """Settings of a sweep, and what it compares, where a profile asks for less or more of it."""

    axes: dict[str, AxisText] = Field(default={}, description="What varies: any parameter, as after --vary.")
    objectives: list[str] | None = Field(
        default=None, min_length=1, description="References, as after --objective."
    )


class SweepProfiles(Strict):
    """What a sweep asks in one profile only."""

    quick: SweepSettings = SweepSettings()
    laptop: SweepSettings = SweepSettings()
    paper: SweepSettings = SweepSettings()


class Sweep(SweepSettings, Experiment):
    """A sweep: `pidlab sweep` in the same words."""

    kind = "sweep"

    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator.")
    zip: bool = Field(default=False, description="Axes go along together instead of in all combinations.")
    profiles: SweepProfiles = Field(default=SweepProfiles(), description="What holds in one profile only.")

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Generator, axes as texts, objectives, zip, settings."""
        own: SweepSettings = getattr(self.profiles, profile.name)
        objectives = own.objectives or self.objectives or [*defaults.OBJECTIVES]
        axes = spread((self.axes | own.axes).items())
        return {
            "generator": self.generator,
            "axes": [[list(names), text] for names, text in axes],
            "objectives": [str(parse(objective)) for objective in objectives],
            "zip": self.zip,
            "settings": profile.settings | self.said | own.said,
        }

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """Objectives and the values of every axis."""
        points = asked["settings"]["points"]
        found: dict[str, Sequence[Any] | None] = dict.fromkeys(COLUMNS)
        found["objective"] = asked["objectives"]
        for names, text in asked["axes"]:
            varied = values(tuple(names), text, points)
            # A parameter that does not vary has no column of its own, unless it is a term.
            found |= {name: varied for name in names if len(varied) > 1 or name in TERMS}
        return found

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes the request."""
        request = request_of(asked, [tuned.get(o, o) for o in asked["objectives"]], device)
        bare = {tuned.get(o, o): o for o in asked["objectives"]}
        return Ready(partial(_sweep, request, bare), {"term": _terms(request)})


def request_of(asked: Mapping[str, Any], objectives: Sequence[str], device: str) -> "Request":
    """The request that a sweep's words mean."""
    return ask(
        [(tuple(names), text) for names, text in asked["axes"]],
        generator=asked["generator"],
        objectives=objectives,
        zipped=asked["zip"],
        device=device,
        **asked["settings"],
    )


def _terms(request: "Request") -> list[str] | None:
    """The terms that it measures; None where there are more than can be told beforehand."""
    if request.probes != "quick":
        return None
    return list(dict.fromkeys(term for run in request.runs() for term in run.generator.targets))


def _sweep(
    request: "Request", bare: Mapping[str, str], directory: Path, progress: "Progress | None"
) -> Outcome:
    from pidlab.sweeps import run_sweep
    from pidlab.sweeps.provenance import outcome

    found = run_sweep(request, directory, progress=progress, drawn=False)
    runs = request.runs()
    by_key = {run.key: run.objective for run in runs} if found.failures else {}
    failures = {bare[by_key[key]]: why.splitlines()[0] for key, why in found.failures.items()}
    table = found.table.assign(objective=found.table["objective"].map(bare))
    stated = {
        name: said for name, said in outcome(runs, found.failures).items() if name not in ("runs", "failed")
    }
    return Outcome(table, request.directions, failures, found.runs, dataclasses.asdict(request), stated)
