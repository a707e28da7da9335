"""What a study can ask for. A new kind is one class here: its keys, its columns, and what runs it.

A kind derives from `Experiment`, has a `kind` (the name of its table in the file) and stands in `KINDS`; `Study`
(`pidlab.studies.file`) gets a field of that name. Nothing here imports torch before `prepare`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import QUICK, meaning
from pidlab.errors import nearest
from pidlab.references import parse
from pidlab.sweeps.ask import PLAIN, ask, spread, values

if TYPE_CHECKING:
    from pidlab.sweeps.request import Request
    from pidlab.sweeps.run import Progress

# Names of columns, each with its values where they are known.
Columns = dict[str, Sequence[Any] | None]

# What each profile is where neither the study nor the experiment says.
PROFILES: dict[str, dict[str, Any]] = {
    "quick": dict(QUICK),
    "laptop": dict(PLAIN),
    "paper": PLAIN | {"seeds": 10, "probes": "thorough"},
}

# Columns that every table of a sweep has.
COLUMNS = (
    *("objective", "seed", "readout", "term", "quantity", "truth", "captured", "low", "high", "probe"),
    *("headline", "converged", "step", *TERMS),
)


class Strict(BaseModel):
    """A table of the file: no key that it does not know, no type but the one that is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, dict) and cls.model_config.get("extra") == "forbid":
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_key", "unknown key '{key}': {hint}", {"key": key, "hint": hint}
                    )
        return data


def _axis(value: Any) -> str:
    """An axis as a text of `pidlab sweep`."""
    if isinstance(value, list) and value and not any(isinstance(part, list | dict) for part in value):
        return ",".join(str(part) for part in value)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return str(value)
    raise ValueError("expected a number, a range '0..1' or '0..1:5', or a list [0, 0.25, 1]")


_SINGLE = [{"type": "number"}, {"type": "string"}]
AxisText = Annotated[
    str,
    BeforeValidator(_axis),
    WithJsonSchema({"anyOf": [*_SINGLE, {"type": "array", "items": {"anyOf": _SINGLE}, "minItems": 1}]}),
]


def _training(name: str) -> Any:
    words = meaning(name)
    return Field(None, description=f"{words[0].upper()}{words[1:]}.")


class Settings(Strict):
    """Settings of a sweep, all optional."""

    seeds: int | None = Field(None, ge=1, description="Seeds per point and objective.")
    first_seed: int | None = Field(None, ge=0, description="The first of them; 0 by default.")
    points: int | None = Field(None, ge=2, description="Points of a range that does not say.")
    probes: Literal["quick", "standard", "thorough"] | None = Field(None, description="Effort of the probes.")
    track: int | None = Field(None, ge=2, description="Probe this many checkpoints during training.")
    views: str | None = _training("views")
    steps: int | None = _training("steps")
    batch: int | None = _training("batch")
    samples: int | None = _training("samples")
    dim: int | None = _training("dim")
    hidden: int | None = _training("hidden")
    layers: int | None = _training("layers")
    rate: float | None = _training("rate")

    @property
    def said(self) -> dict[str, Any]:
        """The settings that are given."""
        return {k: v for k in Settings.model_fields if (v := getattr(self, k)) is not None}


class Profiles(Strict):
    """Settings by profile."""

    quick: Settings = Settings()
    laptop: Settings = Settings()
    paper: Settings = Settings()

    def of(self, name: str) -> "Profile":
        """A profile, complete."""
        return Profile(name, PROFILES[name] | getattr(self, name).said)


@dataclass(frozen=True)
class Profile:
    """A profile's name and settings."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What an experiment gave.

    Args:
        table: tidy, as claims and figures read it.
        directions: columns of the parameters that move together.
        failures: why runs failed, by objective.
        runs: how many there are.
        request: what was asked, for provenance.
    """

    table: pd.DataFrame
    directions: Sequence[Sequence[str]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """An experiment that can be run: nothing about it is wrong.

    Args:
        run: runs it in a folder in which it goes on where it stopped.
        columns: values that columns of its table will have, beyond what the file says.
    """

    run: Callable[[Path, "Progress | None"], Outcome]
    columns: Columns = field(default_factory=dict)


class Experiment(Strict):
    """A kind of experiment."""

    kind: ClassVar[str]

    name: str = Field(
        "main", pattern=r"^[\w-]+$", description="Of the experiment; claims and figures use it."
    )

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Everything that its results depend on in a profile; JSON.

        Raises:
            InvalidRequest: keys that do not go together.
        """
        raise NotImplementedError

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """The columns of its table, with their values where the file says them, else None."""
        raise NotImplementedError

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes sure that it can run, and how.

        Args:
            asked: what `asked` gave.
            tuned: objectives in place of others.
            device: device type.

        Raises:
            InvalidRequest: anything in it does not exist or cannot be.
        """
        raise NotImplementedError


def misses(name: str, value: float | str, columns: Columns) -> str | None:
    """What is wrong with a claim that chooses rows by this column and value; None: nothing known."""
    if name not in columns:
        # Of a generator's own parameter that has a term's name, only the results say the column.
        return None if "." in name else f"no column {name!r} in the results: {nearest(name, columns)}"
    known = columns[name]
    if known is None:
        return None
    if name == "objective" and isinstance(value, str):
        value = str(parse(value))
    near = [v for v in known if v == value or (not isinstance(v, str) and _close(v, value))]
    if near:
        return None
    return f"{name} = {value!r} is not computed, only {', '.join(map(str, known[:20]))}"


def _close(one: Any, other: Any) -> bool:
    return not isinstance(other, str) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


class SweepSettings(Settings):
    """Settings of a sweep, and what it compares, where a profile asks for less or more of it."""

    axes: dict[str, AxisText] = Field({}, description="What varies: any parameter, as after --vary.")
    objectives: list[str] | None = Field(None, min_length=1, description="References, as after --objective.")


class SweepProfiles(Strict):
    """What a sweep asks in one profile only."""

    quick: SweepSettings = SweepSettings()
    laptop: SweepSettings = SweepSettings()
    paper: SweepSettings = SweepSettings()


class Sweep(SweepSettings, Experiment):
    """A sweep: `pidlab sweep` in the same words."""

    kind = "sweep"

    generator: str = Field(defaults.GENERATOR, description="Reference to the generator.")
    zip: bool = Field(False, description="Axes go along together instead of in all combinations.")
    profiles: SweepProfiles = Field(SweepProfiles(), description="What holds in one profile only.")

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

    found = run_sweep(request, directory, progress=progress)
    by_key = {run.key: run.objective for run in request.runs()} if found.failures else {}
    failures = {bare[by_key[key]]: why.splitlines()[0] for key, why in found.failures.items()}
    table = found.table.assign(objective=found.table["objective"].map(bare))
    return Outcome(table, request.directions, failures, found.runs, dataclasses.asdict(request))


class ExamSettings(Strict):
    """How much of the probes' examination is taken."""

    levels: list[Literal["quick", "standard", "thorough", "exam"]] | None = Field(
        None, min_length=1, description="Levels to examine; that of the profile's probes by default."
    )
    replicates: int | None = Field(None, ge=1, description="Replicates of the coverage; 400 by default.")


class ExamProfiles(Strict):
    """What the examination asks in one profile only."""

    quick: ExamSettings = ExamSettings()
    laptop: ExamSettings = ExamSettings()
    paper: ExamSettings = ExamSettings()


class KnownAnswers(ExamSettings, Experiment):
    """The probes examined where the answer is known: `pidlab known-answers`.

    Its table has `level` and `case` beside `readout`, `term` and `probe`, with `tolerance` and `excess`; rows of
    quantity `coverage` have in `captured` how often the 95 % interval held the truth.
    """

    kind = "known_answers"

    name: str = Field("known-answers", pattern=r"^[\w-]+$", description="Claims and figures use it.")
    seed: int = Field(0, ge=0, description="Seeds the rows and the probes.")
    profiles: ExamProfiles = Field(ExamProfiles(), description="What holds in one profile only.")

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
        return {"level": asked["levels"], **dict.fromkeys(names)}

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Names the cases."""
        from pidlab.analysis.known_cases import KNOWN

        return Ready(partial(_examine, asked), {"case": list(KNOWN), "term": list(TERMS)})


def _examine(asked: Mapping[str, Any], directory: Path, progress: "Progress | None") -> Outcome:
    from pidlab.analysis.known_answers import coverage, examine

    kept, wanted = directory / "table.csv", {**asked, "version": defaults.RESULT_VERSION}
    record = directory / "asked.json"
    if not (kept.exists() and record.exists() and json.loads(record.read_text("utf-8")) == wanted):
        parts = [examine(level, asked["seed"]).assign(quantity="mi") for level in asked["levels"]]
        rates = coverage(asked["replicates"], seed=asked["seed"])
        parts.append(
            rates.rename(columns={"coverage": "captured"}).assign(quantity="coverage", headline=True)
        )
        directory.mkdir(parents=True, exist_ok=True)
        pd.concat(parts, ignore_index=True).assign(seed=asked["seed"]).to_csv(kept, index=False)
        record.write_text(json.dumps(wanted), encoding="utf-8")
    table = pd.read_csv(kept, float_precision="round_trip")
    return Outcome(table, [["case"], ["level"]], {}, 0, asked)


# Every kind by the name of its table in the file.
KINDS: dict[str, type[Experiment]] = {cls.kind: cls for cls in (Sweep, KnownAnswers)}
