"""Record of a sweep in provenance.json, as far as figures, tables and pages read it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError


class _Part(BaseModel):
    """Part of a record, which may have further keys."""

    model_config = ConfigDict(extra="allow")


class _Axis(_Part):
    names: list[str] = Field(min_length=1)
    values: list[Any] = Field(min_length=1)


class _Request(_Part):
    generator: str | None = None
    axes: list[_Axis] = []
    objectives: list[str] = []
    training: dict[str, Any] = {}


class _Failure(_Part):
    objective: str
    reason: str
    runs: int
    run: str


class _Truth(_Part):
    measure: list[str]
    how: list[str]
    gap: float | None


class _Record(_Part):
    result_version: StrictInt
    command: list[str] = []
    request: _Request = _Request()
    axis_groups: list[list[str]] = []
    directions: list[list[str]] = []
    failed: dict[str, Any] = {}
    failures: list[_Failure] = []
    truth: _Truth | None = None
    versions: dict[str, str | None] = {}
    environments: dict[str, int] = {}
    seconds: dict[str, float] = {}
    probe_rows: dict[str, int] = {}
    cohorts: list[dict[str, Any]] = []
    git: dict[str, Any] | None = None
    runs: int = 0
    rows: int | None = None


def check_record(record: Any) -> None:
    """Check the types of a record, which a user may have edited.

    Args:
        record: JSON data of provenance.json.

    Raises:
        ValueError: If a part is missing or has another type; the message names the first one.

    Example:
        >>> check_record({"result_version": 3, "request": None})
        Traceback (most recent call last):
        ValueError: request: Input should be a valid dictionary or instance of _Request
    """
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
