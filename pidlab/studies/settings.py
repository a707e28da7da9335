"""Settings of experiments in a study file, and the three profiles that set their effort."""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pidlab.defaults import QUICK, meaning
from pidlab.errors import nearest
from pidlab.sweeps.axes import PLAIN

# The settings of each profile, before the study and the experiment override them.
PROFILES: dict[str, dict[str, Any]] = {
    "quick": dict(QUICK),
    "laptop": PLAIN | {"seeds": 10},
    "paper": PLAIN | {"seeds": 10, "probes": "thorough"},
}


class Strict(BaseModel):
    """Base of the tables of a study file: unknown keys and implicit type conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and cls.model_config.get("extra") == "forbid":
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_key", "unknown key '{key}': {hint}", {"key": key, "hint": hint}
                    )
        return data

    @property
    def given(self) -> dict[str, Any]:
        """Values that the file gives, by key."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


def _axis_text(value: Any) -> str:
    """Return an axis as the text that `pidlab sweep` accepts."""
    if isinstance(value, list) and value and not any(isinstance(part, list | dict) for part in value):
        return ",".join(str(part) for part in value)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return str(value)
    raise ValueError("expected a number, a range '0..1' or '0..1:5', or a list [0, 0.25, 1]")


_SINGLE = [{"type": "number"}, {"type": "string"}]
AxisText = Annotated[
    str,
    BeforeValidator(_axis_text),
    WithJsonSchema({"anyOf": [*_SINGLE, {"type": "array", "items": {"anyOf": _SINGLE}, "minItems": 1}]}),
]


def _training(name: str) -> Any:
    text = meaning(name)
    return Field(default=None, description=f"{text[0].upper()}{text[1:]}.")


def name_field(default: str) -> Any:
    """Return the field of an experiment's name.

    Args:
        default: The name if the file gives none.
    """
    return Field(default=default, pattern=r"^[\w-]+$", description="Name that claims and figures refer to.")


class Effort(Strict):
    """Settings of every experiment that trains, all optional."""

    seeds: int | None = Field(default=None, ge=1, description="Number of seeds per point and objective.")
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
    optimizer: str | None = _training("optimizer")
    weight_decay: float | None = _training("weight_decay")
    schedule: str | None = _training("schedule")
    warmup: int | None = _training("warmup")
    clip: float | None = _training("clip")

    @property
    def effort(self) -> dict[str, Any]:
        """Settings among the given values."""
        return {name: value for name, value in self.given.items() if name in Settings.model_fields}


class Settings(Effort):
    """Settings of a sweep, all optional."""

    first_seed: int | None = Field(default=None, ge=0, description="First seed; default: 0.")
    points: int | None = Field(
        default=None, ge=2, description="Number of points of a range that does not state one."
    )
    track: int | None = Field(default=None, ge=0, description="Number of checkpoints probed during training.")


S = TypeVar("S", bound=Strict)


class ByProfile(Strict, Generic[S]):
    """Values that apply in one profile only."""

    quick: S | None = Field(default=None, description="Values for the profile quick.")
    laptop: S | None = Field(default=None, description="Values for the profile laptop.")
    paper: S | None = Field(default=None, description="Values for the profile paper.")


@dataclass(frozen=True)
class Profile:
    """A profile of a study.

    Args:
        name: quick, laptop or paper.
        settings: Its settings, complete.
    """

    name: str
    settings: dict[str, Any]


class Profiles(ByProfile[Settings]):
    """Settings of a study that apply in one profile only."""

    def of(self, name: str) -> Profile:
        """Return a profile with the study's own settings.

        Args:
            name: quick, laptop or paper.
        """
        own: Settings | None = getattr(self, name)
        return Profile(name, PROFILES[name] | (own.effort if own else {}))
