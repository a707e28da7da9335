"""Parts of an experiment that are kept as they are made, so that one that was stopped goes on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pidlab import defaults
from pidlab.defaults import QUICK, meaning
from pidlab.errors import nearest
from pidlab.sweeps.axes import PLAIN

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress


# What each profile is where neither the study nor the experiment says.
PROFILES: dict[str, dict[str, Any]] = {
    "quick": dict(QUICK),
    "laptop": dict(PLAIN),
    "paper": PLAIN | {"seeds": 10, "probes": "thorough"},
}


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
    return Field(default=None, description=f"{words[0].upper()}{words[1:]}.")


class Effort(Strict):
    """What every experiment that trains can be told, all optional."""

    seeds: int | None = Field(default=None, ge=1, description="Seeds per point and objective.")
    probes: Literal["quick", "standard", "thorough"] | None = Field(
        default=None, description="Effort of the probes."
    )
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
        return {k: v for k in Settings.model_fields if (v := getattr(self, k, None)) is not None}


class Settings(Effort):
    """Settings of a sweep, all optional."""

    first_seed: int | None = Field(default=None, ge=0, description="The first of the seeds; 0 by default.")
    points: int | None = Field(default=None, ge=2, description="Points of a range that does not say.")
    track: int | None = Field(default=None, ge=0, description="Probe this many checkpoints during training.")


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
class Kept:
    """Finished parts in a folder, each with what was asked of it.

    Args:
        directory: where they stand.
        progress: who is told which part is made.
    """

    directory: Path
    progress: "Progress | None"

    def part(self, name: str, asked: Mapping[str, Any], run: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The rows of a part; those that are kept if the same was asked."""
        rows, record = self.directory / f"{name}.csv", self.directory / f"{name}.json"
        wanted = {**asked, "version": defaults.RESULT_VERSION}
        if not (rows.exists() and record.exists() and json.loads(record.read_text("utf-8")) == wanted):
            if self.progress is not None:
                self.progress.note(f"making {name}")
            found = run()
            self.directory.mkdir(parents=True, exist_ok=True)
            record.unlink(missing_ok=True)
            found.to_csv(rows, index=False)
            record.write_text(json.dumps(wanted), encoding="utf-8")
        return pd.read_csv(rows, dtype={"run": str})  # what was kept, so that a rerun gives the same bytes
