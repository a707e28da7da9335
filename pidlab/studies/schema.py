"""Schema of a study file (TOML), validated completely before anything runs. Imports no torch.

A setting is taken from the most specific table that gives it: `[sweep.profiles.NAME]`, then the `[[sweep]]`
(what the study is about: views, dim, ...), then `[profiles.NAME]` of the study (effort: seeds, points, steps,
probes), then the defaults of that profile (`pidlab.studies.settings.PROFILES`).
"""

import re
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pidlab.errors import InvalidRequest, nearest
from pidlab.io import refuse_special
from pidlab.studies.claims import FLOOR, Claim, invalid_claim, parse_claim
from pidlab.studies.estimation import Estimation
from pidlab.studies.experiments import (
    Columns,
    Experiment,
    Readability,
    Sweep,
    column_problem,
    selection_problem,
)
from pidlab.studies.known_answers import KnownAnswers
from pidlab.studies.oracle_experiment import OracleExperiment
from pidlab.studies.retention import Retention
from pidlab.studies.settings import PROFILES, Profiles, Strict
from pidlab.studies.tune import Tune

# Kinds of experiment by the name of their table.
KINDS: dict[str, type[Experiment]] = {
    cls.kind: cls for cls in (Sweep, Readability, OracleExperiment, Retention, KnownAnswers, Estimation)
}

# Keys and, within arrays of tables, indices: ("sweep", 0, "axes").
KeyPath = tuple[str | int, ...]


class Figure(Strict, extra="allow"):
    """A figure of the study; further keys are options of its kind."""

    name: str = Field(pattern=r"^[\w.-]+$", description="File stem in figures/STUDY.")
    kind: str = Field(default="capture", description="Kind of figure, as for pidlab plot --kind.")
    sweeps: list[str] = Field(default=[], description="Names of the experiments shown; default: all.")

    @property
    def options(self) -> dict[str, Any]:
        """Options of the kind of figure."""
        return dict(self.__pydantic_extra__ or {})


class StatedClaim(Strict):
    """A claim and its source."""

    name: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of a headline claim, which is a row of docs/claims.md.",
    )
    claim: str = Field(description="captured(objective='comm', term='synergy') >= 0.9 at unique1=1")
    source: str = Field(description="Paper, equation or section that makes the claim.")
    sweep: str | None = Field(
        default=None, description="Name of the experiment; required if there are several."
    )
    finding: str | None = Field(default=None, description="The measured result if the claim is not met.")

    @cached_property
    def parsed(self) -> Claim:
        """Parsed claim."""
        return parse_claim(self.claim)


class Study(Strict):
    """A question, the experiments that answer it, and the claims that they test."""

    title: str = Field(description="The question in one line.")
    about: str = Field(default="", description="The question, the method, and the limits of the study.")
    sources: list[str] = Field(default=[], description="Papers and sections that the study follows.")
    profiles: Profiles = Field(default=Profiles(), description="Effort of all experiments, by profile.")
    sweep: list[Sweep] = Field(default=[], description="Sweeps, with the options of pidlab sweep.")
    readability: list[Readability] = Field(
        default=[], description="Sweeps whose z12 is probed through noise."
    )
    oracle: list[OracleExperiment] = Field(
        default=[], description="Losses on representations made of the true symbols."
    )
    retention: list[Retention] = Field(
        default=[], description="Captured bits along the training from a start that holds every term."
    )
    known_answers: list[KnownAnswers] = Field(default=[], description="Examinations of the probes.")
    estimation: list[Estimation] = Field(
        default=[], description="Estimators of mutual information on normal variables."
    )
    tune: Tune | None = Field(
        default=None, description="Tuning of hyperparameters, with the same budget for every objective."
    )
    figure: list[Figure] = Field(default=[], description="Figures drawn from the results.")
    claim: list[StatedClaim] = Field(default=[], description="Claims tested on the results.")

    @property
    def experiments(self) -> list[Experiment]:
        """All experiments, kind by kind, in the order of the file."""
        return [experiment for kind in KINDS for experiment in getattr(self, kind)]

    def experiment(self, name: str | None) -> Experiment:
        """Return the experiment with a name.

        Args:
            name: The name; None for the only experiment.

        Raises:
            InvalidRequest: If there is no such experiment, or several and no name.
        """
        known = {experiment.name: experiment for experiment in self.experiments}
        if name is None and len(known) == 1:
            return self.experiments[0]
        if name not in known:
            problem = "no sweep is named" if name is None else f"no experiment {name!r}"
            raise InvalidRequest(
                f"{problem}; known: {', '.join(known)}; add sweep = {next(iter(known))!r} or another"
            )
        return known[name]

    def specification(self, profile: str) -> dict[str, dict[str, Any]]:
        """Return everything that the results depend on, by experiment, as JSON data.

        Args:
            profile: quick, laptop or paper.
        """
        settings = self.profiles.of(profile)
        tune = {} if self.tune is None else {"tune": self.tune.specification(settings)}
        return tune | {one.name: one.specification(settings) for one in self.experiments}

    def validate_references(self) -> None:
        """Check that experiments, tuning, figures and claims fit together in every profile.

        Raises:
            MisplacedKeyError: If they do not; it states the place in the file.
        """
        names = [experiment.name for experiment in self.experiments]
        if not names:
            raise MisplacedKeyError((), f"no experiment; add a [[sweep]] or another of {', '.join(KINDS)}")
        for kind in KINDS:
            for i, experiment in enumerate(getattr(self, kind)):
                if names.count(experiment.name) > 1 or experiment.name == "tune":
                    problem = f"name {experiment.name!r} is taken; give each experiment another name"
                    raise MisplacedKeyError((kind, i, "name"), problem)
                for profile in PROFILES:
                    with _at(kind, i):
                        experiment.columns(experiment.specification(self.profiles.of(profile)))
        if self.tune is not None:
            settings = [self.profiles.of(profile) for profile in PROFILES]
            sweeps = [(s, one.specification(s)) for s in settings for one in self.sweep]
            for path, problem in self.tune.problems(sweeps):
                raise MisplacedKeyError(("tune", *path), problem)
        stems = [figure.name for figure in self.figure]
        for i, figure in enumerate(self.figure):
            if stems.count(figure.name) > 1:
                problem = f"name {figure.name!r} is taken; give each figure another name"
                raise MisplacedKeyError(("figure", i, "name"), problem)
            for name in figure.sweeps:
                if name not in names:
                    problem = f"no experiment {name!r}: {nearest(name, names)}"
                    raise MisplacedKeyError(("figure", i, "sweeps"), problem)
        headlines = [stated.name for stated in self.claim]
        for i, stated in enumerate(self.claim):
            if stated.name and headlines.index(stated.name) < i:
                problem = f"name {stated.name!r} is taken; give each claim another name"
                raise MisplacedKeyError(("claim", i, "name"), problem)
            with _at("claim", i, "sweep"):
                self.experiment(stated.sweep)
            for profile in PROFILES:
                with _at("claim", i, "claim"):
                    self.check_claim(stated, profile)

    def check_claim(
        self, stated: StatedClaim, profile: str, columns: Mapping[str, Columns] | None = None
    ) -> None:
        """Check that a claim refers to columns and values that the study computes.

        Args:
            stated: The claim.
            profile: quick, laptop or paper.
            columns: Further columns by experiment, known after `Experiment.prepare`.

        Raises:
            InvalidRequest: If the claim cannot be parsed, or refers to something else.
        """
        claim, text = stated.parsed, stated.claim
        if not claim.calls:
            raise InvalidRequest("reads no results; compare captured(...) or another function")
        experiment = self.experiment(stated.sweep)
        known = experiment.columns(experiment.specification(self.profiles.of(profile)))
        known |= (columns or {}).get(experiment.name, {})
        selected = [(name, value, 0) for name, value in claim.at]
        for call in claim.calls:
            selected += [(name, value, call.place) for name, value in call.rows]
            if call.function == "floor" and call.column is None:
                selected.append(("objective", FLOOR, call.place))
        problems = [(selection_problem(name, value, known), place) for name, value, place in selected]
        problems += [
            (column_problem(call.column, known), call.place)
            for call in claim.calls
            if call.column is not None
        ]
        for problem, place in problems:
            if problem:
                where = f"(experiment {experiment.name!r}, profile {profile})"
                raise invalid_claim(text, place, f"{problem} {where}")


class MisplacedKeyError(Exception):
    """A problem in a study file.

    Args:
        path: Path of the key.
        problem: What is wrong with it.
    """

    def __init__(self, path: KeyPath, problem: str) -> None:
        super().__init__(problem)
        self.path = path


@contextmanager
def _at(*path: str | int) -> Generator[None]:
    """Add the path of a key to an invalid request."""
    try:
        yield
    except InvalidRequest as error:
        raise MisplacedKeyError(path, str(error)) from None


def read_study(path: Path) -> Study:
    """Read and validate a study file.

    Args:
        path: The TOML file.

    Returns:
        The study.

    Raises:
        InvalidRequest: If the file cannot be read or is not a valid study; the message states file, line and
            key.
    """
    try:
        refuse_special(path)
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise InvalidRequest(
            f"{path}: cannot be read ({error.strerror}); give a study's .toml file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path}: not valid TOML: {error}") from None
    try:
        study = Study.model_validate(data)
        study.validate_references()
    except ValidationError as error:
        place, problem = _first_problem(error)
    except MisplacedKeyError as error:
        place, problem = error.path, str(error)
    else:
        return study
    key = ".".join(part for part in place if isinstance(part, str))
    raise InvalidRequest(f"{path}, line {line_of(text, place)}: {key + ': ' if key else ''}{problem}")


def _first_problem(error: ValidationError) -> tuple[KeyPath, str]:
    first = error.errors()[0]
    context = first.get("ctx", {})
    place = (*first["loc"], *([context["key"]] if "key" in context else []))
    problem = str(context["error"]) if "error" in context else first["msg"]
    if first["type"] not in ("missing", "unknown_key", "value_error"):
        problem = f"{problem}, found {first['input']!r}"
    if first["type"] == "missing":
        problem = "is missing"
    return place, problem[0].lower() + problem[1:]


def line_of(text: str, path: KeyPath) -> int:
    """Return the line of a key, from 1, or of the nearest table above it that has a line.

    Args:
        text: TOML text. Its arrays of tables have headers `[[NAME]]`.
        path: Path of the key.
    """
    # Texts of several lines may contain lines that look like keys.
    blanked = re.sub(r'''("""|\'\'\')[\s\S]*?\1''', lambda match: "\n" * match[0].count("\n"), text)
    lines = blanked.splitlines()
    line, start, stop = 0, 0, len(lines)
    for name, part in zip(("", *path), path, strict=False):
        if isinstance(part, int):
            headers = [i for i, row in enumerate(lines) if re.match(rf"\s*\[\[\s*{name}\s*\]\]", row)]
            if part < len(headers):
                line, stop = headers[part], [*headers, len(lines)][part + 1]
                start = line + 1
        else:
            # A key at the start of a line, or a part of a table's header.
            key = re.compile(rf"\s*(\[+[^\]]*)?(?<![\w-])[\"']?{re.escape(part)}[\"']?\s*([.=\]]|$)")
            line = start = next((i for i in range(start, stop) if key.match(lines[i])), line)
    return line + 1
