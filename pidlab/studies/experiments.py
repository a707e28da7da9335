"""Experiments of a study: the interface of every kind, the sweep, and readability."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pandas as pd
from pydantic import Field

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import parse
from pidlab.results.means import BASELINES, READING, RUN, STEP, TRAINED
from pidlab.studies.resumable import Parts
from pidlab.studies.settings import AxisText, ByProfile, Profile, Settings, Strict, name_field
from pidlab.sweeps.axes import axis_values, spread

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress
    from pidlab.sweeps.request import Request

# Columns of a table by name, with their values; None where the study file does not determine them.
Columns = dict[str, Sequence[Any] | None]
# Columns that hold words in the table of any experiment.
WORDS = (
    *("objective", "readout", "term", "quantity", "probe", "representation", "views", "case", "level"),
    *("estimator", "critic"),
)


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment.

    Args:
        table: Tidy rows, as claims and figures read them.
        axis_groups: Columns of the parameters that vary together.
        failures: Why runs failed, by objective.
        runs: Number of runs.
        request: The request, for provenance.
        details: Further keys of the provenance record (`sweeps.provenance.outcome_record`).
    """

    table: pd.DataFrame
    axis_groups: Sequence[Sequence[str]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedExperiment:
    """A validated experiment.

    Args:
        run: Runs it in a folder, from which it resumes.
        columns: Values of columns that are known only after validation.
    """

    run: Callable[[Path, "Progress | None"], ExperimentResult]
    columns: Columns = field(default_factory=dict)


class Experiment(Strict):
    """Base of all kinds of experiment."""

    kind: ClassVar[str]
    # Whether the rows have several seeds; without them, claims are decided by their values.
    replicated: ClassVar[bool] = True

    name: str = name_field("main")
    profiles: ByProfile[Any] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return everything that the results depend on, as JSON data.

        Args:
            profile: The study's profile.

        Raises:
            InvalidRequest: If keys exclude each other.
        """
        raise NotImplementedError

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns of the table.

        Args:
            specification: Result of `specification`.
        """
        raise NotImplementedError

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Validate the experiment before anything is trained.

        Args:
            specification: Result of `specification`.
            tuned: Tuned objectives by the objectives that they replace.
            device: Device type.

        Raises:
            InvalidRequest: If something that it names does not exist or cannot be run.
        """
        raise NotImplementedError

    def merged(self, profile: Profile) -> dict[str, Any]:
        """Return the given values, those for one profile last.

        Args:
            profile: The study's profile.
        """
        override: Strict | None = getattr(self.profiles, profile.name)
        return self.given | (override.given if override else {})


def selection_problem(name: str, value: float | str, columns: Columns) -> str | None:
    """Return why no row has a value, or None if one may have it.

    Args:
        name: Column.
        value: Value that a claim selects.
        columns: Columns of the experiment.
    """
    if name not in columns:
        # The column of a generator's own parameter is known from the results only.
        return None if "." in name else f"no column {name!r} in the results: {nearest(name, columns)}"
    known = columns[name]
    if known is None:
        return None
    if name == "objective" and isinstance(value, str):
        value = str(parse(value))
    if any(v == value or (not isinstance(v, str) and _is_close(v, value)) for v in known):
        return None
    return f"{name} = {value!r} is not computed, only {', '.join(map(str, known[:20]))}"


def column_problem(column: str, columns: Columns) -> str | None:
    """Return why a column has no numbers, or None if it may have some.

    Args:
        column: Column that a claim reads.
        columns: Columns of the experiment.
    """
    if "." in column:
        return None
    numeric = {
        name: values
        for name, values in columns.items()
        if name not in WORDS and not any(isinstance(value, str) for value in values or ())
    }
    if column in numeric:
        return None
    if column in BASELINES:
        return f"the {column} of an objective is not measured; add baselines = true to the sweep"
    return f"value has no numeric column={column!r}: {nearest(column, numeric)}"


def _is_close(one: Any, other: Any) -> bool:
    return not isinstance(other, str) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


# Columns of the table of every sweep.
SWEEP_COLUMNS = (*RUN[1:], *READING, STEP, *TERMS, TRAINED)


class SweepSettings(Settings):
    """Settings, axes and objectives of a sweep."""

    axes: dict[str, AxisText] = Field(
        default={}, description="Parameters that vary, with values as for --vary."
    )
    objectives: list[str] | None = Field(
        default=None, min_length=1, description="References to objectives, as for --objective."
    )


class Sweep(SweepSettings, Experiment):
    """A sweep with the options of `pidlab sweep`."""

    kind = "sweep"

    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator.")
    zip: bool = Field(default=False, description="Vary the axes together instead of in all combinations.")
    baselines: bool = Field(
        default=False, description="Measure the floor and the ceiling of every objective, as --baselines."
    )
    profiles: ByProfile[SweepSettings] = ByProfile()

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return generator, axes as texts, objectives, zip and settings."""
        merged = self.merged(profile)
        override = getattr(self.profiles, profile.name)
        axes = spread((self.axes | (override.axes if override else {})).items())
        return {
            "generator": self.generator,
            "axes": [[list(names), text] for names, text in axes],
            "objectives": [str(parse(o)) for o in merged.get("objectives", defaults.OBJECTIVES)],
            "zip": self.zip,
            "settings": profile.settings
            | {k: v for k, v in merged.items() if k in Settings.model_fields}
            | ({"baselines": True} if self.baselines else {}),
        }

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns, with objectives and the values of every axis."""
        points = specification["settings"]["points"]
        columns: Columns = dict.fromkeys(SWEEP_COLUMNS)
        columns["objective"] = specification["objectives"]
        columns |= dict.fromkeys(BASELINES if specification["settings"].get("baselines") else ())
        for names, text in specification["axes"]:
            varied = axis_values(tuple(names), text, points)
            # Parameters with one value have no column, except terms.
            columns |= {name: varied for name in names if len(varied) > 1 or name in TERMS}
        return columns

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Build the request."""
        request, names = tuned_request(specification, tuned, device)
        return PreparedExperiment(partial(_run_sweep, request, names), {"term": _terms(request)})


def build_request(specification: Mapping[str, Any], objectives: Sequence[str], device: str) -> "Request":
    """Build the request of a sweep's specification.

    Args:
        specification: Result of `Sweep.specification`.
        objectives: References to objectives.
        device: Device type.
    """
    from pidlab.sweeps import request

    return request.build_request(
        [(tuple(names), text) for names, text in specification["axes"]],
        generator=specification["generator"],
        objectives=objectives,
        zipped=specification["zip"],
        device=device,
        **specification["settings"],
    )


def tuned_request(
    specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
) -> tuple["Request", dict[str, str]]:
    """Build a request with tuned objectives.

    Args:
        specification: Result of `Sweep.specification`.
        tuned: Tuned objectives by the objectives that they replace.
        device: Device type.

    Returns:
        The request, and the objectives as the study names them by the tuned ones.
    """
    objectives = specification["objectives"]
    request = build_request(specification, [tuned.get(o, o) for o in objectives], device)
    return request, {tuned.get(o, o): o for o in objectives}


def _terms(request: "Request") -> list[str] | None:
    """Return the terms that a sweep measures; None where probes add further targets."""
    if request.probes != "quick":
        return None
    from pidlab.sweeps.plan import Runs

    return list(dict.fromkeys(term for run in Runs(request) for term in run.generator.target_specs))


def _run_sweep(
    request: "Request", names: Mapping[str, str], directory: Path, progress: "Progress | None"
) -> ExperimentResult:
    from pidlab.api import write_sweep_files
    from pidlab.results.baseline_columns import has_baselines, with_best_baselines
    from pidlab.sweeps import run_sweep
    from pidlab.sweeps.plan import Runs
    from pidlab.sweeps.provenance import outcome_record

    result = run_sweep(request, directory, progress=progress)
    write_sweep_files(result, figure=False)
    runs = Runs(request)
    objectives = {run.key: run.objective for run in runs} if result.failures else {}
    failures = {names[objectives[key]]: reason.splitlines()[0] for key, reason in result.failures.items()}
    table = result.table
    if has_baselines(table):
        # The table in figures/ lacks the rows of most probes: headlines get the best floor and ceiling here.
        best = table["headline"].astype(bool) & (table["quantity"] == "mi")
        table.loc[best, [*BASELINES]] = with_best_baselines(table[best], table)[[*BASELINES]]
    table = table.assign(objective=table["objective"].map(names))
    details = outcome_record(runs, result.failures)
    details = {name: value for name, value in details.items() if name not in ("runs", "failed")}
    request_record = dataclasses.asdict(request)
    return ExperimentResult(table, request.axis_groups, failures, result.runs, request_record, details)


class ReadabilitySettings(SweepSettings):
    """Settings of a sweep, and the noise added to its readout."""

    sigmas: list[Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        min_length=1,
        description="Standard deviations of the noise, in units of a whitened coordinate; 0 to 1.6.",
    )


class Readability(ReadabilitySettings, Sweep):
    """A sweep whose z12 is whitened and probed through noise, as `pidlab readability` does at one point.

    Its table has `sigma` in addition to the columns of a sweep.
    """

    kind = "readability"

    name: str = name_field("readability")
    profiles: ByProfile[ReadabilitySettings] = ByProfile()  # type: ignore[assignment]

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return the specification of the sweep, and the standard deviations."""
        specification = super().specification(profile)
        if specification["settings"].pop("track", None):
            raise InvalidRequest("track: noise is added after training only; remove it")
        if self.baselines:
            raise InvalidRequest("baselines: are measured without noise only; remove it")
        return specification | {"sigmas": self.merged(profile).get("sigmas", [*defaults.SIGMAS])}

    def columns(self, specification: Mapping[str, Any]) -> Columns:
        """Return the columns of the sweep, and sigma."""
        return {**super().columns(specification), "sigma": specification["sigmas"], "rows": None}

    def prepare(
        self, specification: Mapping[str, Any], tuned: Mapping[str, str], device: str
    ) -> PreparedExperiment:
        """Build the request."""
        request, names = tuned_request(specification, tuned, device)
        return PreparedExperiment(partial(_run_readability, request, specification["sigmas"], names))


def _run_readability(
    request: "Request",
    sigmas: Sequence[float],
    names: Mapping[str, str],
    directory: Path,
    progress: "Progress | None",
) -> ExperimentResult:
    from pidlab.sweeps.engines import Processes
    from pidlab.sweeps.plan import Cohort, Runs, plan
    from pidlab.sweeps.run_readability import train_and_probe

    runs = Runs(request)
    cohorts = plan(runs)
    parts = [
        (
            f"{number}-{cohort.runs[0].key}",
            {"runs": [run.key for run in cohort.runs], "sigmas": [*sigmas]},
            partial(train_and_probe, Cohort(tuple(cohort.runs)), sigmas, (1.0,)),
        )
        for number, cohort in enumerate(cohorts)
    ]
    # Every standard deviation of the noise is probed like a sweep.
    seconds = len(sigmas) * sum(cohort.seconds for cohort in cohorts)
    found = Parts(directory, progress).compute_all(parts, Processes().parts(seconds))
    failures: dict[str, str] = {}
    tables: list[pd.DataFrame] = []
    for cohort, result in zip(cohorts, found, strict=True):
        if isinstance(result, pd.DataFrame):
            tables.append(result)
        elif isinstance(result, FloatingPointError):
            failures[names[cohort.objective]] = str(result)
        else:
            raise result
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if len(table):
        table["objective"] = table["objective"].map(names)
    axis_groups = [*request.axis_groups, *([["sigma"]] if len(sigmas) > 1 else [])]
    request_record = dataclasses.asdict(request) | {"sigmas": [*sigmas]}
    return ExperimentResult(table, axis_groups, failures, len(runs), request_record)
