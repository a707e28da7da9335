"""What a sweep is asked for, and the runs that this means."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import Any

from pidlab import defaults
from pidlab.analysis.levels import LEVELS
from pidlab.analysis.tracked import checkpoints
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest, nearest
from pidlab.generators import Generator, generators, load_generator
from pidlab.generators.checks import check_policy, parameters_of
from pidlab.memory import uncollected
from pidlab.objectives.load import load_objective, source_digest
from pidlab.references import parse
from pidlab.seeds import child
from pidlab.training import Member
from pidlab.training.cohort import build


@dataclass(frozen=True)
class Axis:
    """Parameters that take the same values together, such as both unique terms.

    Args:
        names: of the generator's parameters or the training's settings.
        values: at least one.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One (generator, objective, seed, settings), with the point of the sweep that it stands at."""

    generator: Generator
    objective: str
    seed: int
    training: Training
    probes: str
    device: str
    point: dict[str, Any]
    source: str | None = None
    track: int = 0

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which quick probes read it."""
        return checkpoints(self.training.steps, self.track)

    @property
    def truth(self) -> dict[str, Any]:
        """The four terms, in bits; None where more than two modalities have no such thing."""
        terms = self.generator.truth.terms
        return {term: terms.get(term) for term in TERMS}

    @property
    def specification(self) -> dict[str, Any]:
        """Everything that the run's rows depend on; `source` is a digest of a user's own code."""
        # What was not asked for leaves no trace, so that keys stay as they are.
        asked = {"source": self.source, "track": self.track or None}
        return {name: value for name, value in asked.items() if value is not None} | {
            "version": defaults.RESULT_VERSION,
            "generator": {"name": self.generator.name, **_parameters(self.generator)},
            "objective": self.objective,
            "seed": self.seed,
            "training": _settings(self.training),
            "probes": self.probes,
            "device": self.device,
        }

    @property
    def text(self) -> str:
        """The specification as canonical JSON, as it is stored."""
        text = _canonical(self.specification)
        self.__dict__.setdefault("key", _hashed(text))  # whoever wants one wants both
        return text

    @cached_property
    def key(self) -> str:
        """A hash of the specification."""
        return _hashed(self.text)


@dataclass(frozen=True)
class Request:
    """A sweep as asked for.

    Args:
        generator: reference to the generator.
        axes: what varies (or is merely set, with one value); the product is run, or with `zipped`
            the axes of several values go along together.
        objectives: references.
        seeds: how many; they are `first_seed`, `first_seed` + 1, ...
        training: settings that no axis sets.
        probes: effort of the probes.
        device: device type.
        zipped: see `axes`.
        first_seed: 0 or more.
        track: how often each run is probed along its training; 0: at its end alone.
    """

    generator: str = defaults.GENERATOR
    axes: tuple[Axis, ...] = ()
    objectives: tuple[str, ...] = defaults.OBJECTIVES
    seeds: int = defaults.SEEDS
    training: Training = field(default_factory=Training)
    probes: str = defaults.PROBES
    device: str = "cpu"
    zipped: bool = False
    first_seed: int = 0
    track: int = 0

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InvalidRequest(f"{self.seeds} seeds: expected 1 or more")
        if self.first_seed < 0:
            raise InvalidRequest(f"first_seed = {self.first_seed}: expected 0 or more")
        if not self.objectives:
            raise InvalidRequest("no objective: name one or more")
        if self.probes not in LEVELS:
            raise InvalidRequest(f"unknown probes {self.probes!r}: expected one of {', '.join(LEVELS)}")
        names = [name for axis in self.axes for name in axis.names]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRequest(f"{name} is set twice: give each axis once")
            if name == "world":
                raise InvalidRequest("world follows from the seed: vary the seeds instead")
        canonical = tuple(str(parse(o)) for o in self.objectives)
        for objective in canonical:
            self._try(objective)
            if canonical.count(objective) > 1:
                raise InvalidRequest(f"objective {objective!r} is asked for twice")
        object.__setattr__(self, "objectives", canonical)
        lengths = {len(axis.values) for axis in self.varied}
        if self.zipped and len(lengths) > 1:
            sizes = ", ".join(f"{axis.names[0]} {len(axis.values)}" for axis in self.varied)
            raise InvalidRequest(f"--zip needs axes of equal length, got {sizes}")
        for point in self.points():
            generator, training = self._at(point, world=0)
            check_policy(generator, training.views)
            checkpoints(training.steps, self.track)

    def _try(self, objective: str) -> None:
        """Makes the objective once, so that arguments it refuses are refused before anything runs."""
        generator, training = self._at(next(self.points()), world=0)
        try:
            build(load_objective(objective), Member(generator, 0), training, "cpu")
        except InvalidRequest:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"objective {objective!r}: {error}") from None
        except Exception:
            # A fault in a user's own code is for its runs to report; the other objectives go on.
            if source_digest(objective) is None:
                raise

    @property
    def varied(self) -> list[Axis]:
        """The axes of more than one value."""
        return [axis for axis in self.axes if len(axis.values) > 1]

    @property
    def directions(self) -> list[tuple[str, ...]]:
        """Columns of the parameters that move together, the direction of most points first."""
        axes = sorted(self.varied, key=lambda axis: -len(axis.values))
        columns = [tuple(self.columns[name] for name in axis.names) for axis in axes]
        return [tuple(itertools.chain(*columns))] if self.zipped and columns else columns

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column of results that every varied parameter stands in: its name.

        One that has a term's name but is not the term's bits, as the numbers of features of `factorcl`,
        is qualified by the generator, for the term's column holds the truth.
        """
        named = {name: name for axis in self.varied for name in axis.names}
        for name in named.keys() & set(TERMS):
            for point in self.points():
                generator, _ = self._at(point, world=0)
                if not math.isclose(getattr(generator.truth, name), point[name], abs_tol=1e-12):
                    named[name] = f"{generator.name}.{name}"
                    break
        return named

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point: parameter values by name, in the order of the axes."""
        fixed = {n: axis.values[0] for axis in self.axes if len(axis.values) == 1 for n in axis.names}
        columns = [axis.values for axis in self.varied]
        rows = zip(*columns, strict=True) if self.zipped and columns else itertools.product(*columns)
        for row in rows:
            moving = {n: v for axis, v in zip(self.varied, row, strict=True) for n in axis.names}
            yield {**fixed, **moving}

    def runs(self) -> list[Run]:
        """Every run: by point, then objective, then seed."""
        with uncollected():
            return self._runs()

    def _runs(self) -> list[Run]:
        own_world = "world" in parse(self.generator).arguments
        runs = []
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        worlds = [child(seed, "world") for seed in seeds]
        varied = [name for axis in self.varied for name in axis.names]
        source = {objective: source_digest(objective) for objective in self.objectives}
        for point in self.points():
            at = {self.columns[name]: point[name] for name in varied}
            generator, training = self._at(point, None if own_world else worlds[0])
            laws = [generator if own_world else generator.in_world(world) for world in worlds]
            for objective in self.objectives:
                runs += [
                    Run(
                        law,
                        objective,
                        seed,
                        training,
                        self.probes,
                        self.device,
                        at,
                        source[objective],
                        self.track,
                    )
                    for seed, law in zip(seeds, laws, strict=True)
                ]
        return runs

    def _at(self, point: dict[str, Any], world: int | None) -> tuple[Generator, Training]:
        settings = _names(Training)
        parameters = {k: v for k, v in point.items() if k not in settings}
        cls = generators().get(parse(self.generator).name)
        known = parameters_of(cls) if cls else []
        for name in parameters:
            if cls and name not in known:
                hint = nearest(name, [*known, *settings])
                raise InvalidRequest(f"cannot vary {name!r}: {hint}")
        if world is not None:
            parameters["world"] = world
        given = {k: v for k, v in point.items() if k in settings}
        training = dataclasses.replace(self.training, **given) if given else self.training
        return load_generator(self.generator, **parameters), training

    @property
    def name(self) -> str:
        """A folder name that the same request finds again."""
        asked = dataclasses.asdict(self) | {"version": defaults.RESULT_VERSION}
        for name in ("first_seed", "track"):
            if not asked[name]:
                del asked[name]  # what never asked for it keeps its name
        words = [
            f"{axis.names[0] if len(axis.names) == 1 else 'unique'}={axis.values[0]:g}..{axis.values[-1]:g}"
            if not isinstance(axis.values[0], str)
            else axis.names[0]
            for axis in self.varied
        ]
        slug = re.sub(r"[^\w.=+-]+", "-", "_".join(words) or parse(self.generator).name)
        return f"{slug}-{digest(asked)[:8]}"


@lru_cache(maxsize=256)
def _settings(training: Training) -> dict[str, Any]:
    return dataclasses.asdict(training)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def _parameters(generator: Generator) -> dict[str, Any]:
    # Plain values all of them, which need no copy.
    values = vars(generator)
    return {name: values[name] for name in _names(type(generator))}


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON."""
    return _hashed(_canonical(value))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
