"""How readable bits are, as an experiment of a study."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.errors import nearest
from pidlab.registry import parse
from pidlab.results.means import READING, RUN, STEP
from pidlab.studies.settings import (
    AxisText,
    Profile,
    Settings,
    Strict,
)
from pidlab.sweeps.axes import axis_values, spread

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress
    from pidlab.sweeps.request import Request


# Names of columns, each with its values where they are known.
Columns = dict[str, Sequence[Any] | None]
# Columns of any table that hold words.
WORDS = ("objective", "readout", "term", "quantity", "probe", "representation", "views", "case", "level")


@dataclass(frozen=True)
class Outcome:
    """What an experiment gave.

    Args:
        table: tidy, as claims and figures read it.
        axis_groups: columns of the parameters that move together.
        failures: why runs failed, by objective.
        runs: how many there are.
        request: what was asked, for provenance.
        stated: what else its record says, such as how the truth is known (`sweeps.provenance.outcome_record`).
    """

    table: pd.DataFrame
    axis_groups: Sequence[Sequence[str]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)


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


def no_numbers(column: str, columns: Columns) -> str | None:
    """What is wrong with a claim that reads numbers from this column; None: nothing known."""
    if "." in column:  # as for rows
        return None
    known = {
        name: values
        for name, values in columns.items()
        if name not in WORDS and not any(isinstance(value, str) for value in values or ())
    }
    return None if column in known else f"value has no column={column!r} of numbers: {nearest(column, known)}"


def _close(one: Any, other: Any) -> bool:
    return not isinstance(other, str) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


# Columns that every table of a sweep has.
SWEEP_COLUMNS = (*RUN[1:], *READING, STEP, *TERMS)


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
        found: dict[str, Sequence[Any] | None] = dict.fromkeys(SWEEP_COLUMNS)
        found["objective"] = asked["objectives"]
        for names, text in asked["axes"]:
            varied = axis_values(tuple(names), text, points)
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
    from pidlab.sweeps.request import build_request

    return build_request(
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
    from pidlab.sweeps.plan import Runs

    return list(dict.fromkeys(term for run in Runs(request) for term in run.generator.target_specs))


def _sweep(
    request: "Request", bare: Mapping[str, str], directory: Path, progress: "Progress | None"
) -> Outcome:
    from pidlab.api import write_sweep_files
    from pidlab.sweeps import run_sweep
    from pidlab.sweeps.plan import Runs
    from pidlab.sweeps.provenance import outcome_record

    found = run_sweep(request, directory, progress=progress)
    write_sweep_files(found, figure=False)
    runs = Runs(request)
    by_key = {run.key: run.objective for run in runs} if found.failures else {}
    failures = {bare[by_key[key]]: why.splitlines()[0] for key, why in found.failures.items()}
    table = found.table.assign(objective=found.table["objective"].map(bare))
    stated = {
        name: said
        for name, said in outcome_record(runs, found.failures).items()
        if name not in ("runs", "failed")
    }
    return Outcome(table, request.axis_groups, failures, found.runs, dataclasses.asdict(request), stated)


# The level and the quantity of rows that say how often an interval held the truth.
