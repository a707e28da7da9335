"""The probes' examination as an experiment of a study."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.studies.experiment import Columns, Experiment, Outcome, Ready
from pidlab.studies.settings import Profile, Strict

if TYPE_CHECKING:
    from pidlab.sweeps.run import Progress


class ExamSettings(Strict):
    """How much of the probes' examination is taken."""

    levels: list[Literal["quick", "standard", "thorough", "exam"]] | None = Field(
        default=None, min_length=1, description="Levels to examine; that of the profile's probes by default."
    )
    replicates: int | None = Field(
        default=None, ge=1, description="Replicates of the coverage; 400 by default."
    )


class ExamProfiles(Strict):
    """What the examination asks in one profile only."""

    quick: ExamSettings = ExamSettings()
    laptop: ExamSettings = ExamSettings()
    paper: ExamSettings = ExamSettings()


class KnownAnswers(ExamSettings, Experiment):
    """The probes examined where the answer is known: `pidlab known-answers`.

    Its table has `level` and `case` beside `readout`, `term` and `probe`, with `tolerance` and `excess`; rows
    of quantity and level `coverage` have in `captured` how often the 95 % interval held the truth.
    """

    kind = "known_answers"

    name: str = Field(default="known-answers", pattern=r"^[\w-]+$", description="Claims and figures use it.")
    seed: int = Field(default=0, ge=0, description="Seeds the rows and the probes.")
    profiles: ExamProfiles = Field(default=ExamProfiles(), description="What holds in one profile only.")

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Levels, replicates, seed."""
        own: ExamSettings = getattr(self.profiles, profile.name)
        return {
            "levels": own.levels or self.levels or [profile.settings["probes"]],
            "replicates": own.replicates or self.replicates or 400,
            "seed": self.seed,
        }

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """Levels; the cases are known where the probes are."""
        names = (
            "case",
            "readout",
            "term",
            "quantity",
            "truth",
            "captured",
            "low",
            "high",
            "probe",
            "headline",
        )
        names += ("converged", "tolerance", "within", "excess", "replicates", "seed")
        return {"level": [*asked["levels"], "coverage"], **dict.fromkeys(names)}

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Names the cases."""
        from pidlab.analysis.known_cases import KNOWN

        return Ready(partial(_examine, asked), {"case": list(KNOWN), "term": list(TERMS)})


def _examine(asked: Mapping[str, Any], directory: Path, progress: "Progress | None") -> Outcome:
    from pidlab.analysis.coverage import coverage
    from pidlab.analysis.known_answers import examine

    kept, wanted = directory / "table.csv", {**asked, "version": defaults.RESULT_VERSION}
    record = directory / "asked.json"
    if not (kept.exists() and record.exists() and json.loads(record.read_text("utf-8")) == wanted):
        parts = [examine(level, asked["seed"]).assign(quantity="mi") for level in asked["levels"]]
        rates = coverage(asked["replicates"], seed=asked["seed"])
        parts.append(
            rates.rename(columns={"coverage": "captured"}).assign(
                quantity="coverage", level="coverage", headline=True
            )
        )
        directory.mkdir(parents=True, exist_ok=True)
        pd.concat(parts, ignore_index=True).assign(seed=asked["seed"]).to_csv(kept, index=False)
        record.write_text(json.dumps(wanted), encoding="utf-8")
    table = pd.read_csv(kept)
    return Outcome(table, [["case"], ["level"]], {}, 0, asked)
