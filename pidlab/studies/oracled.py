"""Objective and optimiser told apart, as an experiment of a study."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.references import parse
from pidlab.studies.experiment import Columns, Experiment, Outcome, Ready
from pidlab.studies.settings import Effort, Profile, Strict
from pidlab.tables.representations import FITTED, OWN_FUSION, REPRESENTATIONS

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress

COLUMNS = (
    *("objective", "seed", "representation", "views", "loss", "low", "high"),
    *(f"captured_{term}" for term in TERMS),
)


class OracleSettings(Effort):
    """Settings of the oracle experiment (`pidlab.oracle.oracle`), all optional."""

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
        found: dict[str, Sequence[Any] | None] = dict.fromkeys(COLUMNS)
        found["objective"] = asked["objectives"]
        found["representation"] = [*asked["representations"], OWN_FUSION, *FITTED]
        return found

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes every objective on every oracle."""
        from pidlab.oracle import tried

        bare = {tuned.get(o, o): o for o in asked["objectives"]}
        trial: dict[str, Any] = {**asked, "objectives": [*bare], "device": device}
        tried(**trial)
        return Ready(partial(_answer, asked, bare, device))


def _answer(
    asked: Mapping[str, Any],
    bare: Mapping[str, str],
    device: str,
    directory: Path,
    progress: "Progress | None",
) -> Outcome:
    from pidlab.oracle import oracle

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
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    table.to_csv(directory / "oracle.csv", index=False)
    return Outcome(table, [], failures, len(table), {**asked, "objectives": [*bare]})
