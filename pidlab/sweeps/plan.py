"""How long a sweep will take here, measured on a few steps of its own cohorts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.encoders import rows_at_once
from pidlab.generators import Generator
from pidlab.objectives import load_objective
from pidlab.probes.capture import capture_cohort
from pidlab.probes.data import DRAW_ROWS
from pidlab.probes.levels import LEVELS
from pidlab.probes.trajectory import PROBES, checkpoints
from pidlab.registry import parse
from pidlab.results.means import thin_grid
from pidlab.seeds import child
from pidlab.training import FittedCohort, Member, train
from pidlab.training.cohort import member_bytes

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


class RunSubset(Sequence[Run]):
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
    def __getitem__(self, place: slice) -> RunSubset: ...
    def __getitem__(self, place: int | slice) -> Run | RunSubset:
        if isinstance(place, slice):
            return RunSubset(self.of, self.places[place])
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
        self._objectives = [*request.sources.items()]
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
    def __getitem__(self, place: slice) -> RunSubset: ...
    def __getitem__(self, place: int | slice) -> Run | RunSubset:
        if isinstance(place, slice):
            return RunSubset(self, range(len(self))[place])
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
        points = np.ravel_multi_index(np.ix_(*thin_grid(lengths, most // self.each)), lengths).ravel()
        return RunSubset(self, np.add.outer(points * self.each, np.arange(self.each)).ravel().tolist())

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
    return defaults.training_specification(training)


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


@dataclass(frozen=True)
class Cohort:
    """Runs of one objective, one shape and one set of settings."""

    runs: Sequence[Run]

    @cached_property
    def objective(self) -> str:
        """What all of them are trained on."""
        return self.runs[0].objective

    @cached_property
    def training(self) -> Training:
        """How all of them are trained."""
        return self.runs[0].training


def plan(runs: Sequence[Run], budget: int = defaults.COHORT_BYTES, parts: int = 1) -> list[Cohort]:
    """Groups runs into cohorts, in the order of the runs.

    Args:
        runs: what to train.
        budget: bytes that the tensors of a cohort stay within.
        parts: how many are computed at once; cohorts are small enough to keep them busy.
    """
    # Several for each, or the last one is waited for while the others idle.
    share = math.ceil(len(runs) / (4 * parts)) if parts > 1 else len(runs)
    groups: dict[object, array[int]] = {}
    point = shape_key = None
    for place, run in enumerate(runs):
        if run.point is not point:  # runs of one point differ in their world, which no shape depends on
            point, shape_key = run.point, run.generator.shape_key
        shape = (run.objective, run.training, run.generator.name, shape_key)
        groups.setdefault(shape, array("q")).append(place)
    cohorts = []
    for group in groups.values():
        most = max(1, min(share, budget // _member_bytes(runs[group[0]])))
        count = math.ceil(len(group) / most)
        size = math.ceil(len(group) / count)
        cohorts += [Cohort(RunSubset(runs, group[i : i + size])) for i in range(0, len(group), size)]
    return cohorts


def filter_runs(cohort: Cohort, wanted: Sequence[int]) -> Cohort:
    """Of a planned cohort those runs alone whose place is wanted, `wanted[place]`; maybe none."""
    runs = cohort.runs
    assert isinstance(runs, RunSubset)
    return Cohort(RunSubset(runs.of, array("q", [place for place in runs.places if wanted[place]])))


def _member_bytes(run: Run) -> int:
    # In training, in probing or in drawing what is probed, whichever is most.
    try:
        make = load_objective(run.objective, run.source)
    except Exception:
        trained = 0  # a user's own code that fails; its run will say how
    else:
        trained = member_bytes(make, Member(run.generator, run.seed), run.training, run.track)
    level = LEVELS[run.probes]
    held = level.train + level.validation + level.test
    probed = 4 * held * (3 * 4 * run.training.dim + 160)
    modalities = run.generator.modalities
    drawn = 4 * rows_at_once(modalities, DRAW_ROWS) * sum(math.prod(m.shape) for m in modalities)
    return max(trained, probed, drawn)


FEW, MORE = 3, 13


def estimate_seconds(cohorts: Sequence[Cohort]) -> float:
    """Seconds for training and probing all cohorts.

    The largest cohort of each objective takes a few steps; two of its members are probed.
    """
    total = 0.0
    largest = {c.objective: c for c in sorted(cohorts, key=lambda c: len(c.runs))}
    for objective, cohort in largest.items():
        size = sum(len(c.runs) for c in cohorts if c.objective == objective)
        steps = sum(len(c.runs) * c.training.steps for c in cohorts if c.objective == objective)
        _timed_training(cohort, FEW)  # the first call pays for memory and kernels
        few, fitted = _timed_training(cohort, FEW)
        more, _ = _timed_training(cohort, MORE)
        per_step = max(more - few, 0.0) / (MORE - FEW) / len(cohort.runs)
        run = cohort.runs[0]
        probing = _timed_probing(cohort, fitted, run.probes)
        if run.track:
            probing += run.track * _timed_probing(cohort, fitted, PROBES)
        total += per_step * steps + probing * size
    return total


def _timed_training(cohort: Cohort, steps: int) -> tuple[float, FittedCohort]:
    members = [Member(run.generator, run.seed) for run in cohort.runs]
    training = dataclasses.replace(cohort.training, steps=steps)
    start = time.perf_counter()
    fitted = train(
        load_objective(cohort.objective, cohort.runs[0].source), members, training, cohort.runs[0].device
    )
    return time.perf_counter() - start, fitted


def _timed_probing(cohort: Cohort, fitted: FittedCohort, probes: str) -> float:
    pair = (tuple(cohort.runs) * 2)[:2]

    def represent(x):  # type: ignore[no-untyped-def]
        full = [xi[:1].expand(fitted.members, *xi.shape[1:]) for xi in x]
        return {name: z[[0, 0]] for name, z in fitted.represent(full).items()}

    start = time.perf_counter()
    capture_cohort(represent, [r.generator for r in pair], [r.seed for r in pair], probes, pair[0].device)
    return (time.perf_counter() - start) / 2
