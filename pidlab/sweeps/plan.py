"""Runs of a request, their grouping into cohorts, and an estimate of the time they take."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, overload

import numpy as np

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.encoders import rows_at_once
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.objectives import load_objective
from pidlab.probes.capture import capture_cohort
from pidlab.probes.levels import LEVELS
from pidlab.probes.splits import DRAW_ROWS
from pidlab.probes.trajectory import PROBES
from pidlab.registry import parse
from pidlab.results.means import thin_grid
from pidlab.seeds import child
from pidlab.sweeps.forecast import Cost, estimate_cost
from pidlab.sweeps.request import Request, canonical_json, digest_text
from pidlab.training import FittedCohort, Member, train
from pidlab.training.checkpoints import checkpoint_steps
from pidlab.training.cohort import Trial, run_trial


@dataclass(frozen=True)
class Run:
    """One model to train and probe.

    Args:
        generator: Generator of its data.
        objective: Reference to its objective.
        seed: Seed of all of its randomness.
        training: Training settings.
        probes: Effort of the probes: quick, standard or thorough.
        device: Device type.
        point: Values of the parameters that vary in the sweep, by column of results.csv.
        source: Digest of the code of a user-defined objective.
        track: Number of checkpoints during training at which the run is probed.
        label: Reference to the objective in results, without the arguments that the sweep varies; that of
            `objective` by default.
        constant: Values of the parameters of other objectives at the point of the run.
    """

    generator: Generator
    objective: str
    seed: int
    training: Training
    probes: str
    device: str
    point: dict[str, Any]
    source: str | None = None
    track: int = 0
    label: str | None = None
    constant: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Training steps after which quick probes are fitted."""
        return checkpoint_steps(self.training.steps, self.track)

    @property
    def truth(self) -> dict[str, Any]:
        """Four terms in bits; None where more than two modalities have no such term."""
        terms = self.generator.truth.terms
        return {term: terms.get(term) for term in TERMS}

    @property
    def specification(self) -> dict[str, Any]:
        """Everything that the run's rows depend on, as JSON values."""
        # Fields that are not set are left out, so that keys of runs made before they existed stay valid.
        optional = {
            "source": self.source,
            "track": self.track or None,
            "constant": self.constant or None,
        }
        return {name: value for name, value in optional.items() if value is not None} | {
            "version": defaults.RESULT_VERSION,
            "generator": {"name": self.generator.name, **self.generator.parameters},
            "objective": self.objective,
            "seed": self.seed,
            "training": _settings(self.training),
            "probes": self.probes,
            "device": self.device,
        }

    @property
    def text(self) -> str:
        """Specification as canonical JSON, as the store keeps it."""
        text = canonical_json(self.specification)
        # The store needs text and key together; hashing here saves encoding the specification twice.
        self.__dict__.setdefault("key", digest_text(text))
        return text

    @cached_property
    def key(self) -> str:
        """Digest of the specification."""
        return digest_text(self.text)


class RunSubset(Sequence[Run]):
    """A selection from a sequence of runs.

    Args:
        of: The sequence.
        places: Indices into it.
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
    """Every run of a request, ordered by point, then objective, then seed.

    Runs are made when they are accessed, so that memory does not grow with their number.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        seeds = range(request.first_seed, request.first_seed + request.seeds)
        has_world = "world" in parse(request.generator).arguments
        self._seeds = [(seed, None if has_world else child(seed, "world")) for seed in seeds]
        self._objectives = [*request.sources.items()]
        self._varied = [name for axis in request.varied for name in axis.names]
        # The runs of a point follow each other, so the last point is kept.
        self._last: tuple[int, Any] = (-1, None)

    @property
    def each(self) -> int:
        """Number of runs at every point."""
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
        objective, seed = divmod(rest, len(self._seeds))
        return next(self._runs_at(number, objective, slice(seed, seed + 1)))

    def __iter__(self) -> Iterator[Run]:
        for number in range(self._request.size):
            for objective in range(len(self._objectives)):
                yield from self._runs_at(number, objective, slice(None))

    def few(self, most: int) -> Runs | RunSubset:
        """Return all runs, or those at an even sample of the points if there are more than `most`."""
        if len(self) <= most:
            return self
        lengths = self._request.lengths
        points = np.ravel_multi_index(np.ix_(*thin_grid(lengths, most // self.each)), lengths).ravel()
        return RunSubset(self, np.add.outer(points * self.each, np.arange(self.each)).ravel().tolist())

    def groups(self) -> list[array[int]]:
        """Return the places of the runs that can be trained as one program, without making the runs."""
        groups: dict[tuple[str, int], array[int]] = {}
        seeds = len(self._seeds)
        place = 0
        for shape, point in zip(self._request.shapes, self._request.points(), strict=True):
            for label, _ in self._objectives:
                reference, _ = self._request.objective_at(label, point)
                groups.setdefault((reference, shape), array("q")).extend(range(place, place + seeds))
                place += seeds
        return [*groups.values()]

    def point(self, number: int) -> dict[str, Any]:
        """Return the values of the parameters that vary at a point, by column of results.csv."""
        point, columns = self._request.point(number), self._request.columns
        return {columns[name]: point[name] for name in self._varied}

    def _runs_at(self, number: int, objective: int, seeds: slice) -> Iterator[Run]:
        if number != self._last[0]:
            generator, training = self._request.at(self._request.point(number), self._seeds[0][1])
            self._last = (number, (generator, training, self.point(number)))
        generator, training, point = self._last[1]
        label, source = self._objectives[objective]
        name, constant = self._request.objective_at(label, self._request.point(number))
        probes, device, track = self._request.probes, self._request.device, self._request.track
        for seed, world in self._seeds[seeds]:
            own = generator if world is None else generator.in_world(world)
            yield Run(own, name, seed, training, probes, device, point, source, track, label, constant)


@lru_cache(maxsize=256)
def _settings(training: Training) -> dict[str, Any]:
    return defaults.training_specification(training)


@dataclass(frozen=True)
class Cohort:
    """Runs of one objective, one shape and one set of training settings.

    Args:
        runs: The runs, one or more.
        cost: Estimated cost of each run.
    """

    runs: Sequence[Run]
    cost: Cost = field(default=Cost(), compare=False)

    @cached_property
    def objective(self) -> str:
        """Reference to the objective of all runs."""
        return self.runs[0].objective

    @cached_property
    def training(self) -> Training:
        """Training settings of all runs."""
        return self.runs[0].training

    @property
    def seconds(self) -> float:
        """Estimated seconds of one core."""
        return len(self.runs) * self.cost.seconds(self.training.steps)

    @property
    def memory(self) -> int:
        """Bytes of its tensors while it is trained."""
        return len(self.runs) * self.cost.memory


# Estimated seconds that a cohort takes at most, if it has more than one run: a kill costs this time.
LONGEST = 60.0


# Fraction of a worker's share of the remaining time that a cohort takes, and the smallest cohort: a smaller
# one trains its runs much more slowly.
SHARE, SMALLEST = 0.75, 2


def plan(
    runs: Sequence[Run], budget: int | None = None, parts: Callable[[float], int] = lambda _: 1
) -> list[Cohort]:
    """Group runs into cohorts.

    The numbers of a run do not depend on its cohort, so cohorts may be as large as memory and time permit.

    Args:
        runs: Runs to train.
        budget: Limit for the tensors of a cohort while it is trained, in bytes; the default of the device if
            None.
        parts: Returns the number of cohorts that are trained at once, given the estimated seconds of all.

    Returns:
        The cohorts; their runs are `RunSubset` of `runs`. If one is trained at once, they are in the order of
        the runs. Otherwise they become shorter from the first to the last, so that all workers end together.
    """
    groups = runs.groups() if isinstance(runs, Runs) else _groups(runs)
    needs = [*zip(groups, _needs_of_groups(runs, groups), strict=True)]
    remaining = sum(len(group) * need.seconds for group, need in needs)
    at_once = parts(remaining)
    if at_once > 1:
        needs.sort(key=lambda pair: pair[1].seconds, reverse=True)
    cohorts: list[Cohort] = []
    for group, need in needs:
        most = min((budget or need.budget) // need.cost.memory, int(LONGEST / need.seconds))
        start = 0
        while start < len(group):
            # Part of a worker's share of what remains, so that few workers idle during the last cohorts.
            fair = int(SHARE * remaining / at_once / need.seconds) if at_once > 1 else most
            size = _cohort_size(len(group) - start, max(1, min(most, max(fair, SMALLEST))))
            cohorts.append(Cohort(RunSubset(runs, group[start : start + size]), need.cost))
            remaining -= size * need.seconds
            start += size
    return cohorts


def _groups(runs: Sequence[Run]) -> list[array[int]]:
    """Return the places of the runs that can be trained as one program."""
    groups: dict[object, array[int]] = {}
    point = shape_key = None
    for place, run in enumerate(runs):
        if run.point is not point:  # runs of one point differ in their world, which does not change shapes
            point, shape_key = run.point, run.generator.shape_key
        shape = (run.objective, run.training, run.generator.name, shape_key)
        groups.setdefault(shape, array("q")).append(place)
    return [*groups.values()]


def _needs_of_groups(runs: Sequence[Run], groups: Sequence[Sequence[int]]) -> Iterator[Needs]:
    """Yield the needs of a run of every group; those of runs of equal sizes are measured once."""
    measured: dict[Any, Needs] = {}
    for group in groups:
        run = runs[group[0]]
        classes = tuple(target.classes for target in run.generator.target_specs.values())
        # Not the shape key, which has the values of parameters that change no size, such as noise.
        sizes = (run.objective, run.training, run.generator.name, run.generator.modalities, classes)
        if sizes not in measured:
            measured[sizes] = needs_of_run(run)
        yield measured[sizes]


def _cohort_size(left: int, most: int) -> int:
    """Return the size of the next of about equal cohorts, without leaving a single run for the last one."""
    size = math.ceil(left / math.ceil(left / most))
    # A single run takes as long as two (`pidlab.doubling`).
    return left if left - size == 1 and most > 1 else size


def filter_runs(cohort: Cohort, wanted: Sequence[int]) -> Cohort:
    """Return the cohort of those runs whose place is wanted; it may be empty.

    Args:
        cohort: A cohort that `plan` made.
        wanted: Nonzero at the places of the runs to keep.
    """
    runs = cohort.runs
    assert isinstance(runs, RunSubset)
    kept = array("q", [place for place in runs.places if wanted[place]])
    return Cohort(RunSubset(runs.of, kept), cohort.cost)


@dataclass(frozen=True)
class Needs:
    """Memory and time of one run, and the memory for all runs of a cohort.

    Args:
        probing_bytes: Bytes while it is probed.
        budget: Bytes that a cohort may take.
        cost: Its cost.
        seconds: Estimated seconds of one core.
    """

    probing_bytes: int
    budget: int
    cost: Cost
    seconds: float

    @property
    def probed_together(self) -> int:
        """Number of runs that are probed together."""
        return max(2, self.budget // self.probing_bytes)


def needs_of_run(run: Run) -> Needs:
    """Measure the memory of a run, and estimate its time.

    Args:
        run: The run. An objective that cannot be loaded takes no memory; its run reports the reason.
    """
    step = Trial(0, 0)
    with contextlib.suppress(Exception):
        step = run_trial(
            load_objective(run.objective, run.source), Member(run.generator, run.seed), run.training
        )
    level = LEVELS[run.probes]
    rows = level.train + level.validation + level.test
    # Targets are padded to the same number of classes.
    classes = [target.classes for target in run.generator.target_specs.values()]
    scores = len(classes) * max(classes)
    # Float32: z1, z2 and z12 with their standardized copies, 112 numbers of labels and other scores, and six
    # copies of the scores of all classes (measured with 1,000 classes).
    probed = 4 * rows * (3 * 4 * run.training.dim + 112 + 6 * scores)
    modalities = run.generator.modalities
    drawn = 4 * rows_at_once(modalities, DRAW_ROWS) * sum(math.prod(m.shape) for m in modalities)
    trained = max(step.step_bytes + run.track * step.parameter_bytes, drawn)
    budget = defaults.COHORT_BYTES if run.device == "cpu" else defaults.GPU_COHORT_BYTES
    cost = estimate_cost(step.traffic_bytes, trained, run.probes, run.track)
    return Needs(max(probed, drawn), budget, cost, cost.seconds(run.training.steps))


# Numbers of steps that are timed; their difference cancels the cost of setting up.
_FEW, _MORE = 3, 13
# Largest number of runs that are timed together; building the models of hundreds would take seconds.
_TIMED = 32


def estimate_seconds(cohorts: Sequence[Cohort]) -> float:
    """Estimate the seconds for training and probing cohorts on this machine.

    Up to 32 runs of the largest cohort of each objective are trained for a few steps, and two of them are
    probed.

    Args:
        cohorts: The cohorts of a sweep.
    """
    total = 0.0
    largest = {c.objective: c for c in sorted(cohorts, key=lambda c: len(c.runs))}
    for objective, whole in largest.items():
        cohort = Cohort(whole.runs[:_TIMED])
        runs = sum(len(c.runs) for c in cohorts if c.objective == objective)
        steps = sum(len(c.runs) * c.training.steps for c in cohorts if c.objective == objective)
        try:
            _timed_training(cohort, _FEW)  # warm-up: the first call allocates memory and selects kernels
        except InvalidRequest:
            raise
        except Exception:  # runs that fail take no time
            continue
        few, fitted = _timed_training(cohort, _FEW)
        more, _ = _timed_training(cohort, _MORE)
        per_step = max(more - few, 0.0) / (_MORE - _FEW) / len(cohort.runs)
        run = cohort.runs[0]
        probing = _timed_probing(cohort, fitted, run.probes)
        if run.track:
            probing += run.track * _timed_probing(cohort, fitted, PROBES)
        total += per_step * steps + probing * runs
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
