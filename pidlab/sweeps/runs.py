"""The runs that a request means: each is made when it is asked for, for there may be very many."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from pidlab import defaults
from pidlab.analysis.tracked import checkpoints
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.generators import Generator
from pidlab.objectives.load import source_digest
from pidlab.references import parse
from pidlab.seeds import child
from pidlab.tables.means import evenly

if TYPE_CHECKING:
    from pidlab.sweeps.request import Request


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


class Some(Sequence[Run]):
    """Some of a sequence of runs.

    Args:
        of: the sequence.
        places: where they stand in it.
    """

    def __init__(self, of: Sequence[Run], places: Sequence[int]) -> None:
        self.of, self.places = of, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Some: ...
    def __getitem__(self, place: int | slice) -> Run | Some:
        if isinstance(place, slice):
            return Some(self.of, self.places[place])
        return self.of[int(self.places[place])]


class Runs(Sequence[Run]):
    """Every run of a request: by point, then objective, then seed.

    Args:
        request: the request.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        seeds = range(request.first_seed, request.first_seed + request.seeds)
        own_world = "world" in parse(request.generator).arguments
        self._seeds = [(seed, None if own_world else child(seed, "world")) for seed in seeds]
        self._objectives = [(objective, source_digest(objective)) for objective in request.objectives]
        self._varied = [name for axis in request.varied for name in axis.names]
        self._last: tuple[int, Any] = (-1, None)

    @property
    def each(self) -> int:
        """How many stand at every point."""
        return len(self._objectives) * len(self._seeds)

    def __len__(self) -> int:
        return self._request.size * self.each

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Some: ...
    def __getitem__(self, place: int | slice) -> Run | Some:
        if isinstance(place, slice):
            return Some(self, range(len(self))[place])
        number, rest = divmod(range(len(self))[place], self.each)
        which, seed = divmod(rest, len(self._seeds))
        return next(self._made(number, which, slice(seed, seed + 1)))

    def __iter__(self) -> Iterator[Run]:
        for number in range(self._request.size):
            for which in range(len(self._objectives)):
                yield from self._made(number, which, slice(None))

    def few(self, most: int) -> Sequence[Run]:
        """All of them, or of more than `most` those at some of the points, evenly along every axis."""
        if len(self) <= most:
            return self
        lengths = self._request.lengths
        points = np.ravel_multi_index(np.ix_(*evenly(lengths, most // self.each)), lengths).ravel()
        return Some(self, np.add.outer(points * self.each, np.arange(self.each)).ravel().tolist())

    def point(self, number: int) -> dict[str, Any]:
        """What varies, at a point, by the column of results that it stands in."""
        point, columns = self._request.point(number), self._request.columns
        return {columns[name]: point[name] for name in self._varied}

    def _made(self, number: int, which: int, seeds: slice) -> Iterator[Run]:
        if number != self._last[0]:  # runs of one point follow each other
            self._last = (number, self._at(number))
        law, training, point = self._last[1]
        objective, source = self._objectives[which]
        probes, device, track = self._request.probes, self._request.device, self._request.track
        for seed, world in self._seeds[seeds]:
            generator = law if world is None else law.in_world(world)
            yield Run(generator, objective, seed, training, probes, device, point, source, track)

    def _at(self, number: int) -> tuple[Generator, Training, dict[str, Any]]:
        law, training = self._request.at(self._request.point(number), self._seeds[0][1])
        return law, training, self.point(number)


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
