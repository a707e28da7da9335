"""Experiments other than sweeps: known answers, readability and the oracle."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.registry import look_up, parse
from pidlab.results.means import READING
from pidlab.results.panels import (
    FITTED,
    OWN_FUSION,
    REPRESENTATIONS,
)
from pidlab.studies.experiments import (
    Columns,
    Experiment,
    Outcome,
    Ready,
    Sweep,
    SweepSettings,
    request_of,
)
from pidlab.studies.settings import (
    Effort,
    Kept,
    Profile,
    Strict,
)

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress
    from pidlab.sweeps.plan import Cohort
    from pidlab.sweeps.request import Request


COVERAGE = "coverage"
EXAMINATION_COLUMNS = (
    *("level", "case", *READING),
    *("tolerance", "within", "excess", "above", "below", "replicates", "seed"),
)


class ExamSettings(Strict):
    """How much of the probes' examination is taken."""

    levels: list[Literal["quick", "standard", "thorough", "exam"]] | None = Field(
        default=None, min_length=1, description="Levels to examine; that of the profile's probes by default."
    )
    replicates: int | None = Field(
        default=None, ge=2, description="Replicates of the coverage; 1000 by default."
    )
    fits: int | None = Field(
        default=None, ge=2, description="Linear probes fitted for the coverage of one; 40 by default."
    )
    cases: list[str] | None = Field(
        default=None, min_length=1, description="Known cases that probes are examined on; all by default."
    )


class ExamProfiles(Strict):
    """What the examination asks in one profile only."""

    quick: ExamSettings = ExamSettings()
    laptop: ExamSettings = ExamSettings()
    paper: ExamSettings = ExamSettings()


class KnownAnswers(ExamSettings, Experiment):
    """The probes examined where the answer is known: `pidlab known-answers`.

    Its table has `level` and `case` beside `readout`, `term` and `probe`, with `tolerance` and `excess`; rows
    of quantity and level `coverage` have in `captured` how often the 95 % interval held the truth. Cases,
    levels, readouts and terms are points: a claim names them, or speaks of all by `everywhere`.
    """

    kind = "known_answers"

    name: str = Field(default="known-answers", pattern=r"^[\w-]+$", description="Claims and figures use it.")
    seed: int = Field(default=0, ge=0, description="Seeds the rows and the probes.")
    profiles: ExamProfiles = Field(default=ExamProfiles(), description="What holds in one profile only.")

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Levels, replicates, seed."""
        own: ExamSettings = getattr(self.profiles, profile.name)
        cases = own.cases or self.cases
        return {
            "levels": own.levels or self.levels or [profile.settings["probes"]],
            **({"cases": cases} if cases else {}),
            "replicates": own.replicates or self.replicates or 1000,
            "fits": own.fits or self.fits or 40,
            "seed": self.seed,
        }

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """Levels; the cases are known where the probes are."""
        return {**dict.fromkeys(EXAMINATION_COLUMNS), "level": [*asked["levels"], COVERAGE]}

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Names the cases."""
        from pidlab.validation.known_cases import KNOWN

        cases = asked.get("cases", [*KNOWN])
        for case in cases:
            look_up("known case", case, KNOWN)
        columns: Columns = {"case": cases, "term": [*TERMS], "readout": ["z1", "z2", "z12"]}
        return Ready(partial(_run_examination, asked, cases), columns)


def _run_examination(
    asked: Mapping[str, Any], cases: Sequence[str], directory: Path, progress: "Progress | None"
) -> Outcome:
    from pidlab.validation.examination import FEWEST, coverage, examine

    seed, kept = asked["seed"], Kept(directory, progress)
    parts = [
        kept.part(level, {"cases": cases, "seed": seed}, partial(examine, level, seed, cases)).assign(
            quantity="mi", level=level
        )
        for level in asked["levels"]
    ]
    how = {"rows": FEWEST} | {name: asked[name] for name in ("replicates", "seed", "fits")}
    rates = kept.part(COVERAGE, {**how, "cases": cases}, partial(coverage, **how, cases=cases))
    parts.append(
        rates.rename(columns={"coverage": "captured"}).assign(
            quantity=COVERAGE, level=COVERAGE, headline=True
        )
    )
    table = pd.concat(parts, ignore_index=True).assign(seed=seed)
    return Outcome(table, [["case"], ["level"], ["readout"], ["term"]], {}, 0, asked)


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
    from pidlab.sweeps.plan import Runs, plan
    from pidlab.sweeps.readability import strained

    kept, runs = Kept(directory, progress), Runs(request)
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
    axis_groups = [*request.axis_groups, *([["sigma"]] if len(sigmas) > 1 else [])]
    asked = dataclasses.asdict(request) | {"sigmas": [*sigmas]}
    return Outcome(table, axis_groups, failures, len(runs), asked)


ORACLE_COLUMNS = (
    *("objective", "seed", "representation", "views", "loss", "low", "high"),
    *(f"captured_{term}" for term in TERMS),
)


class OracleSettings(Effort):
    """Settings of the oracle experiment (`pidlab.studies.oracle.oracle`), all optional."""

    objectives: list[str] | None = Field(
        default=None, min_length=1, description="References; each needs a head."
    )
    representations: list[str] | None = Field(
        default=None, min_length=1, description="What oracles tell: R, U, U1, U2, S, nuisance, joined by +."
    )
    regression: int | None = Field(
        default=None, ge=1, description="Steps that bring a warm start's networks to the oracle; 400."
    )
    fitting: int | None = Field(
        default=None, ge=1, description="Steps of heads on what is held still; those of the training."
    )
    batches: int | None = Field(default=None, ge=2, description="Fresh batches that losses are means of; 64.")


class OracleProfiles(Strict):
    """What the experiment asks in one profile only."""

    quick: OracleSettings = OracleSettings()
    laptop: OracleSettings = OracleSettings()
    paper: OracleSettings = OracleSettings()


class Oracles(OracleSettings, Experiment):
    """Losses on representations made of the true symbols, from scratch and from a warm start.

    Its table has a row per objective, seed and representation, with `loss` (nats) and `captured_redundant`,
    ... (bits); claims read them by `value(column="loss", objective=..., representation=...)`.
    """

    kind = "oracle"

    name: str = Field(default="oracle", pattern=r"^[\w-]+$", description="Claims and figures use it.")
    generator: str = Field(
        default=defaults.GENERATOR, description="Reference to the generator, which must be atoms."
    )
    profiles: OracleProfiles = Field(default=OracleProfiles(), description="What holds in one profile only.")

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Generator, objectives, representations, settings."""
        own: OracleSettings = getattr(self.profiles, profile.name)

        def of(name: str, otherwise: Any) -> Any:
            given = (getattr(own, name), getattr(self, name), otherwise)
            return next((value for value in given if value is not None), None)

        settings = profile.settings | self.said | own.said
        objectives = of("objectives", [name for name in defaults.OBJECTIVES if name != "untrained"])
        return {
            "generator": self.generator,
            "objectives": [str(parse(objective)) for objective in objectives],
            "representations": of("representations", [*REPRESENTATIONS]),
            "regression": of("regression", 400),
            "fitting": of("fitting", None),
            "batches": of("batches", 64),
            **{name: value for name, value in settings.items() if name in Effort.model_fields},
        }

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """Objectives and representations."""
        found: dict[str, Sequence[Any] | None] = dict.fromkeys(ORACLE_COLUMNS)
        found["objective"] = asked["objectives"]
        found["representation"] = [*asked["representations"], OWN_FUSION, *FITTED]
        return found

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes every objective on every oracle."""
        pass

        bare = {tuned.get(o, o): o for o in asked["objectives"]}
        trial: dict[str, Any] = {**asked, "objectives": [*bare], "device": device}
        from pidlab.studies.oracle import tried

        tried(**trial)
        return Ready(partial(_run_oracle, asked, bare, device))


def _run_oracle(
    asked: Mapping[str, Any],
    bare: Mapping[str, str],
    device: str,
    directory: Path,
    progress: "Progress | None",
) -> Outcome:
    pass

    from pidlab.studies.oracle import oracle

    parts: list[pd.DataFrame] = []
    failures: dict[str, str] = {}
    for objective, name in bare.items():
        one: dict[str, Any] = {**asked, "objectives": [objective], "device": device}
        if progress is not None:
            one["say"] = progress.note
        try:
            parts.append(oracle(**one, directory=directory).assign(objective=name))
        except FloatingPointError as error:
            failures[name] = str(error)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=ORACLE_COLUMNS)
    table.to_csv(directory / "oracle.csv", index=False)
    return Outcome(table, [], failures, len(table), {**asked, "objectives": [*bare]})
