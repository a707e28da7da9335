"""A study as it is written: a TOML file, checked whole before anything runs. Nothing here imports torch.

Which setting holds, the most specific first: `[sweep.profiles.NAME]`, a key of the `[[sweep]]` itself (what
the study is about: views, dim, ...), `[profiles.NAME]` of the study (effort: seeds, points, steps, probes),
that profile as it is where nobody says anything (`pidlab.studies.settings.PROFILES`).
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pidlab.errors import InvalidRequest, nearest
from pidlab.studies.claims import (
    FLOOR,
    Claim,
    parse_claim,
    wrong,
)
from pidlab.studies.experiment_kinds import KnownAnswers, Oracles, Readability
from pidlab.studies.experiments import Columns, Experiment, Sweep, misses, no_numbers
from pidlab.studies.settings import PROFILES, Profiles, Strict
from pidlab.studies.tune import Tune

_TABLE = re.compile(r"\s*\[(?P<array>\[)?\s*(?P<name>[^\]]+?)\s*\]")
_KEY = re.compile(r"\s*(?P<name>(?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_MULTILINE = re.compile(r'"""|\'\'\'')

KeyPath = tuple[str | int, ...]


def line_of(text: str, path: KeyPath) -> int:
    """The line, from 1, of the key at `path`, or of what it stands in; keys of inline tables have its line.

    Args:
        text: valid TOML.
        path: keys and, for arrays of tables, numbers: `("sweep", 0, "axes")`.
    """
    lines = _lines(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _lines(text: str) -> dict[KeyPath, int]:
    found: dict[KeyPath, int] = {}
    counts: Counter[KeyPath] = Counter()
    table: KeyPath = ()
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        if not quoted:
            if header := _TABLE.match(line):
                table = _header(header, counts)
                for depth in range(1, len(table) + 1):
                    found.setdefault(table[:depth], number)
            elif key := _KEY.match(line):
                found.setdefault(table + _parts(key["name"]), number)
        quoted ^= len(_MULTILINE.findall(line)) % 2 == 1
    return found


def _header(header: re.Match[str], counts: Counter[KeyPath]) -> KeyPath:
    path: KeyPath = ()
    *above, last = _parts(header["name"])
    for part in above:
        path += (part,)
        if counts[path]:  # of the tables of an array so far, the last one
            path += (counts[path] - 1,)
    path += (last,)
    if header["array"]:
        counts[path] += 1
        path += (counts[path] - 1,)
    return path


def _parts(name: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


# Every kind of experiment by the name of its table in the file.
KINDS: dict[str, type[Experiment]] = {cls.kind: cls for cls in (Sweep, Readability, Oracles, KnownAnswers)}

Place = tuple[str | int, ...]


class Figure(Strict, extra="allow"):
    """A figure of the study.

    Options of its kind stand beside these keys.
    """

    name: str = Field(pattern=r"^[\w.-]+$", description="File stem in figures/STUDY.")
    kind: str = Field(default="capture", description="Kind of figure, as for pidlab plot --kind.")
    sweeps: list[str] = Field(
        default=[], description="Names of the experiments that it shows; all by default."
    )

    @property
    def options(self) -> dict[str, Any]:
        """What is said beside name, kind and sweeps."""
        return dict(self.__pydantic_extra__ or {})


class Asserted(Strict):
    """A claim with where it was made."""

    claim: str = Field(description="captured(objective='comm', term='synergy') >= 0.9 at unique1=1")
    source: str = Field(description="Who claims it: paper, equation or section.")
    sweep: str | None = Field(
        default=None, description="The experiment it is about; may be left out if there is one."
    )
    finding: str | None = Field(default=None, description="What was found instead, where it is not met.")

    @cached_property
    def parsed(self) -> Claim:
        """The claim, read."""
        return parse_claim(self.claim)


class Study(Strict):
    """A question, the experiments that answer it, and what is claimed."""

    title: str = Field(description="The question, in a line.")
    about: str = Field(default="", description="The question, how the study answers it, what it cannot tell.")
    sources: list[str] = Field(default=[], description="Papers and sections that the study follows.")
    profiles: Profiles = Field(
        default=Profiles(), description="Effort: settings of every experiment, by profile."
    )
    sweep: list[Sweep] = Field(default=[], description="Sweeps, as pidlab sweep is asked.")
    readability: list[Readability] = Field(default=[], description="Sweeps whose z12 is read through noise.")
    oracle: list[Oracles] = Field(default=[], description="Losses on representations that are known.")
    known_answers: list[KnownAnswers] = Field(default=[], description="The probes' own examination.")
    tune: Tune | None = Field(
        default=None, description="Hyperparameters, chosen beforehand, the same budget each."
    )
    figure: list[Figure] = Field(default=[], description="Figures drawn from the results.")
    claim: list[Asserted] = Field(default=[], description="What is claimed, checked against the results.")

    @property
    def experiments(self) -> list[Experiment]:
        """Every experiment, kind by kind, in the order of the file."""
        return [experiment for kind in KINDS for experiment in getattr(self, kind)]

    def experiment(self, name: str | None) -> Experiment:
        """The experiment of that name; the only one if None."""
        known = {experiment.name: experiment for experiment in self.experiments}
        if name is None and len(known) == 1:
            return self.experiments[0]
        if name not in known:
            said = "no sweep is named, there are" if name is None else f"no experiment {name!r}, there are"
            raise InvalidRequest(f"{said} {', '.join(known)}: say sweep = {next(iter(known))!r} or another")
        return known[name]

    def asked(self, profile: str) -> dict[str, dict[str, Any]]:
        """Everything that the results of a profile depend on, by experiment; JSON."""
        found = {one.name: one.asked(self.profiles.of(profile)) for one in self.experiments}
        return found if self.tune is None else {"tune": self.tune.asked(self.profiles.of(profile)), **found}

    def wrongs(self) -> Iterator[tuple[Place, str]]:
        """What does not fit together, each with its place."""
        names = [experiment.name for experiment in self.experiments]
        if not names:
            yield (), f"no experiment: expected a [[sweep]] or another of {', '.join(KINDS)}"
            return
        for kind in KINDS:
            for i, experiment in enumerate(getattr(self, kind)):
                if names.count(experiment.name) > 1 or experiment.name == "tune":
                    yield (kind, i, "name"), f"name {experiment.name!r} is taken: give every one its own name"
                for profile in PROFILES:
                    yield from (
                        ((kind, i, *place), said) for place, said in self._refused(experiment, profile)
                    )
        if self.tune is not None:
            asked = {
                o
                for one in self.sweep
                for p in PROFILES
                for o in one.asked(self.profiles.of(p))["objectives"]
            }
            for place, said in self.tune.wrongs(asked):
                yield ("tune", *place), said
        stems = [figure.name for figure in self.figure]
        for i, figure in enumerate(self.figure):
            if stems.count(figure.name) > 1:
                yield ("figure", i, "name"), f"name {figure.name!r} is taken: give every figure its own name"
            for name in figure.sweeps:
                if name not in names:
                    yield ("figure", i, "sweeps"), f"no experiment {name!r}: {nearest(name, names)}"
        for i, asserted in enumerate(self.claim):
            said = self._unclear(asserted)
            missed = (
                (self.missed(asserted, profile) for profile in PROFILES) if said is None else iter([said])
            )
            yield from ((("claim", i, *place), words) for place, words in filter(None, missed))

    def _refused(self, experiment: Experiment, profile: str) -> Iterator[tuple[Place, str]]:
        try:
            experiment.columns(experiment.asked(self.profiles.of(profile)))
        except InvalidRequest as error:
            yield (), str(error)

    def _unclear(self, asserted: Asserted) -> tuple[Place, str] | None:
        for key, read in (
            ("claim", lambda: asserted.parsed),
            ("sweep", lambda: self.experiment(asserted.sweep)),
        ):
            try:
                read()
            except InvalidRequest as error:
                return (key,), str(error)
        if not asserted.parsed.calls:
            return ("claim",), "speaks of no results: compare captured(...) or the like"
        return None

    def missed(
        self, asserted: Asserted, profile: str, beyond: Mapping[str, Columns] | None = None
    ) -> tuple[Place, str] | None:
        """What a claim speaks of that the study does not compute in a profile, with its place.

        Args:
            asserted: a claim that can be read.
            profile: one of `PROFILES`.
            beyond: columns by experiment, where more is known of them than the file says.
        """
        experiment, claim = self.experiment(asserted.sweep), asserted.parsed
        columns = experiment.columns(experiment.asked(self.profiles.of(profile)))
        columns |= (beyond or {}).get(experiment.name, {})
        chosen = [(name, value, 0) for name, value in claim.at]
        for call in claim.calls:
            chosen += [(name, value, call.place) for name, value in call.rows]
            if call.function == "floor":
                chosen.append(("objective", FLOOR, call.place))
        found = [(misses(name, value, columns), place) for name, value, place in chosen]
        found += [
            (no_numbers(call.column, columns), call.place) for call in claim.calls if call.column is not None
        ]
        for said, place in found:
            if said:
                at = f"{said} (experiment {experiment.name!r}, profile {profile})"
                return ("claim",), str(wrong(asserted.claim, place, at))
        return None


def read_study(path: Path) -> Study:
    """Reads a study.

    Raises:
        InvalidRequest: a file that cannot be read, or is no study; the message names file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise InvalidRequest(
            f"cannot read {path} ({error.strerror}): expected a study's .toml file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path} is no TOML: {error}") from None

    def refuse(place: Place, said: str) -> InvalidRequest:
        key = ".".join(str(part) for part in place if isinstance(part, str))
        return InvalidRequest(f"{path}, line {line_of(text, place)}: {key + ': ' if key else ''}{said}")

    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise refuse(*_first(error)) from None
    for place, said in study.wrongs():
        raise refuse(place, said)
    return study


def _first(error: ValidationError) -> tuple[Place, str]:
    """Place and words of the first thing that is wrong."""
    found = error.errors()[0]
    context = found.get("ctx", {})
    place = (*found["loc"], *([context["key"]] if "key" in context else []))
    said = str(context["error"]) if "error" in context else found["msg"]
    if found["type"] not in ("missing", "unknown_key", "value_error"):
        said = f"{said}, found {found['input']!r}"
    if found["type"] == "missing":
        said = "is missing"
    return place, said[0].lower() + said[1:]
