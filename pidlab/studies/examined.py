"""The probes' examination as an experiment of a study."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from pidlab.decomposition import TERMS
from pidlab.registry import look_up
from pidlab.studies.experiment import Columns, Experiment, Outcome, Ready
from pidlab.studies.kept import Kept
from pidlab.studies.settings import Profile, Strict
from pidlab.tables.columns import READING

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress

# The level and the quantity of rows that say how often an interval held the truth.
COVERAGE = "coverage"
COLUMNS = (
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
        return {**dict.fromkeys(COLUMNS), "level": [*asked["levels"], COVERAGE]}

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Names the cases."""
        from pidlab.analysis.known_cases import KNOWN

        cases = asked.get("cases", [*KNOWN])
        for case in cases:
            look_up("known case", case, KNOWN)
        columns: Columns = {"case": cases, "term": [*TERMS], "readout": ["z1", "z2", "z12"]}
        return Ready(partial(_answer, asked, cases), columns)


def _answer(
    asked: Mapping[str, Any], cases: Sequence[str], directory: Path, progress: "Progress | None"
) -> Outcome:
    from pidlab.analysis.coverage import FEWEST, coverage
    from pidlab.analysis.known_answers import examine

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
