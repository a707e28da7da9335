"""A sweep's request: its axes, objectives and settings, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.encoders import Modality
from pidlab.errors import InvalidRequest, nearest
from pidlab.generators import (
    Generator,
    accepted_parameters,
    generators,
    load_generator,
    parameter_hint,
)
from pidlab.generators.parameters import check_policy, default_policy
from pidlab.io import check_memory
from pidlab.objectives.load import load_objective, parameters_of, source_digest
from pidlab.objectives.objective import MakeObjective
from pidlab.probes.levels import LEVELS
from pidlab.registry import Reference, parse
from pidlab.sweeps.axes import AxisValues, axis_values, resolve_settings
from pidlab.training import Member
from pidlab.training.checkpoints import checkpoint_steps
from pidlab.training.cohort import run_trial

_TRAINING_FIELDS = tuple(f.name for f in dataclasses.fields(Training))

# Batches whose memory is measured before a larger one is allocated.
TRIAL_BATCHES = (256, 512, 1024)

# Largest number of runs of a sweep; planning more would take hours.
MOST_RUNS = 10_000_000


def build_request(
    axes: Iterable[tuple[tuple[str, ...], AxisValues]],
    *,
    generator: str = defaults.GENERATOR,
    objectives: Iterable[str] | None = None,
    zipped: bool = False,
    device: str = "cpu",
    remote: bool = False,
    quick: bool = False,
    recipe: str | None = None,
    **settings: Any,
) -> Request:
    """Build a request from a user's words and check that all of it can be run.

    Args:
        axes: Names of the parameters that an axis sets, and its values as text (`parse_axis`), a number or
            a sequence; for every axis.
        generator: Reference to the generator.
        objectives: References to the objectives; the default objectives if None.
        zipped: Pair the values of the axes instead of combining them.
        device: Device type, or `auto`.
        remote: Train on other machines, so that the device need not exist here.
        quick: Use the settings of `--quick` for everything that is not set.
        recipe: Name of published training settings (`pidlab.defaults.RECIPES`), used where `settings` sets
            nothing.
        settings: `points` of a range without a count, fields of `Training` and of `Request`; None means
            the default.

    Returns:
        The checked request.

    Raises:
        InvalidRequest: If a name does not exist or a value is not possible.
    """
    chosen = {name: value for name, value in settings.items() if value is not None}
    given = resolve_settings(defaults.recipe_settings(recipe) | chosen, quick)
    points = int(given.pop("points"))
    training = {name: given.pop(name) for name in _TRAINING_FIELDS if name in given}
    known = {f.name for f in dataclasses.fields(Request)} - {"axes", "training"}
    for name in given:
        if name not in known:
            raise InvalidRequest(f"unknown setting {name!r}: {nearest(name, [*known, *training])}")
    training.setdefault("views", _default_views(generator))
    request = Request(
        generator=generator,
        axes=tuple(Axis(names, axis_values(names, given, points)) for names, given in axes),
        objectives=tuple(defaults.OBJECTIVES if objectives is None else objectives),
        training=Training(**training),
        device=resolve_device(device, remote),
        zipped=zipped,
        **given,
    )
    request.validate()
    return request


def _default_views(reference: str) -> str:
    """Return the default view policy of the generator that a reference names."""
    policies: Any = getattr(generators().get(parse(reference).name), "policies", None)
    if isinstance(policies, property):  # depends on the arguments of the generator
        policies = load_generator(reference).policies
    return default_policy(policies) if policies else Training().views


def resolve_device(name: str, remote: bool = False) -> str:
    """Return the device type of a name; `auto` is `cuda` where a CUDA device is available.

    Args:
        name: auto, cpu or cuda.
        remote: Accept a device that this machine does not have.

    Raises:
        InvalidRequest: If the name is unknown or the device is not available.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InvalidRequest(f"--device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not remote and not torch.cuda.is_available():
        raise InvalidRequest("--device cuda: this machine has no CUDA device; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


@dataclass(frozen=True)
class Axis:
    """Parameters that take the same values together, such as both unique terms.

    Args:
        names: Parameters of the generator or fields of `Training`.
        values: Values of the parameters, one or more.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Request:
    """A sweep: every combination of axis values, objectives and seeds.

    Args:
        generator: Reference to the generator.
        axes: Axes of the sweep. An axis of one value sets its parameters and does not vary.
        objectives: References to the objectives.
        seeds: Number of seeds: `first_seed`, `first_seed` + 1, ...
        training: Training settings that no axis sets.
        probes: Effort of the probes: quick, standard or thorough.
        device: Device type.
        zipped: Pair the values of the axes that vary instead of combining them.
        first_seed: First seed, 0 or more.
        track: Number of checkpoints during training at which each run is probed; 0 for none.

    Raises:
        InvalidRequest: If a value is not possible; `validate` makes the checks that need the generator and
            the objectives.
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
    baselines: bool = False

    def __post_init__(self) -> None:
        for name in ("seeds", "first_seed", "track"):
            if not isinstance(getattr(self, name), Integral):
                raise InvalidRequest(f"{name} {getattr(self, name)!r}: expected a whole number")
        if self.seeds < 1:
            raise InvalidRequest(f"--seeds {self.seeds}: must be at least 1")
        if self.seeds > MOST_RUNS:
            raise InvalidRequest(f"--seeds {self.seeds}: must be at most {MOST_RUNS:,}")
        if self.first_seed < 0:
            raise InvalidRequest(f"first_seed {self.first_seed}: must be at least 0")
        if not self.objectives:
            raise InvalidRequest("no objective: name at least one")
        if self.probes not in LEVELS:
            raise InvalidRequest(f"unknown probes {self.probes!r}: expected one of {', '.join(LEVELS)}")
        names = [name for axis in self.axes for name in axis.names]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRequest(f"{name} is set twice: give each axis once")
            if name == "world":
                raise InvalidRequest("world: follows from the seed; vary --seeds instead")
        canonical = tuple(str(parse(objective)) for objective in self.objectives)
        for objective in canonical:
            if canonical.count(objective) > 1:
                raise InvalidRequest(f"--objective {objective!r}: given twice; give each objective once")
        object.__setattr__(self, "objectives", canonical)
        lengths = {len(axis.values) for axis in self.varied}
        if self.zipped and len(lengths) > 1:
            sizes = ", ".join(f"{axis.names[0]} {len(axis.values)}" for axis in self.varied)
            raise InvalidRequest(f"--zip: needs axes of equal length, got {sizes}")
        runs = self.size * len(self.objectives) * self.seeds
        if runs > MOST_RUNS:
            raise InvalidRequest(
                f"{runs:,} runs; a sweep has at most {MOST_RUNS:,}: use fewer points or seeds"
            )

    def validate(self) -> None:
        """Check that the generator exists at every point and that every objective can be built.

        The check is made once per request.

        Raises:
            InvalidRequest: If a parameter, a view policy, an objective or one of its arguments does not
                exist or is not possible.
        """
        if self.__dict__.get("_is_valid"):
            return
        _ = self._survey  # checks every point
        for objective in self.objectives:
            for reference in {
                self.objective_at(objective, point)[0]: None for point in self._objective_points()
            }:
                self._check_objective(reference, self.sources[objective])
        object.__setattr__(self, "_is_valid", True)

    def _objective_points(self) -> Iterator[dict[str, Any]]:
        """Yield the first point, or every point if an axis sets a parameter of an objective."""
        return self.points() if self.objective_axes else itertools.islice(self.points(), 1)

    def _check_objective(self, objective: str, source: str | None) -> None:
        """Build an objective once, so that invalid arguments are refused before any run starts."""
        generator, training = self.at(next(self.points()), world=0)
        try:
            make, member = load_objective(objective, source), Member(generator, 0)
            _check_batch_memory(make, member, training)
            run_trial(make, member, training)
        except InvalidRequest:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"objective {objective!r}: {error}") from None
        except Exception:
            # An exception in a user's own code fails only its own runs; the other objectives are trained.
            if source is None:
                raise

    @cached_property
    def objective_axes(self) -> dict[str, dict[str, str]]:
        """Parameter of each objective that an axis sets, by name of the axis and objective.

        An axis `comm.temperature` sets the parameter of one objective, an axis `temperature` that of every
        objective that has it.

        Raises:
            InvalidRequest: If an objective sets the parameter in its reference, too.
        """
        own = {*_TRAINING_FIELDS, *self._generator_parameters}
        axes: dict[str, dict[str, str]] = {}
        for name in (name for axis in self.axes for name in axis.names if name not in own):
            prefix, dot, parameter = name.rpartition(".")
            for objective, parameters in self._objective_parameters.items():
                word = parse(objective).name
                if parameter not in parameters or (dot and prefix not in (word, word.rpartition(":")[2])):
                    continue
                if parameter in parse(objective).arguments:
                    raise InvalidRequest(
                        f"--vary {name}: the objective {objective!r} sets {parameter}, too; name it without"
                    )
                axes.setdefault(name, {})[objective] = parameter
        return axes

    @cached_property
    def _objective_parameters(self) -> dict[str, list[str]]:
        """Parameters of every objective; none of code that cannot be imported."""
        found: dict[str, list[str]] = {}
        for objective in self.objectives:
            try:
                found[objective] = parameters_of(objective)
            except InvalidRequest:
                raise
            except Exception:  # an exception in a user's own code fails only its own runs
                found[objective] = []
        return found

    @cached_property
    def _generator_parameters(self) -> list[str]:
        cls = generators().get(parse(self.generator).name)
        return [*accepted_parameters(cls)] if cls else []

    def objective_at(self, objective: str, point: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the reference to an objective at a point, and the values that do not concern it.

        Args:
            objective: One of `objectives`.
            point: Parameter values by name.
        """
        if not self.objective_axes:
            return objective, {}
        parsed, arguments, constant = parse(objective), parse(objective).arguments, dict[str, Any]()
        for name, parameters in self.objective_axes.items():
            if objective in parameters:
                arguments[parameters[objective]] = point[name]
            else:
                constant[name] = point[name]
        return str(Reference(parsed.name, arguments, parsed.positional)), constant

    @cached_property
    def sources(self) -> dict[str, str | None]:
        """Digest of the user's code of each objective; None for objectives of pidlab."""
        return {objective: source_digest(objective) for objective in map(str, map(parse, self.objectives))}

    @property
    def varied(self) -> list[Axis]:
        """Axes of more than one value."""
        return [axis for axis in self.axes if len(axis.values) > 1]

    @property
    def axis_groups(self) -> list[tuple[str, ...]]:
        """Groups of columns whose parameters change together, the group of most points first."""
        axes = sorted(self.varied, key=lambda axis: -len(axis.values))
        columns = [tuple(self.columns[name] for name in axis.names) for axis in axes]
        return [tuple(itertools.chain(*columns))] if self.zipped and columns else columns

    @cached_property
    def _survey(self) -> _Survey:
        """Everything that is needed of all points, so that the generator of each is built once for it.

        Raises:
            InvalidRequest: If a point is not possible.
        """
        terms = {name for axis in self.varied for name in axis.names} & set(TERMS)
        prefixed: dict[str, str] = {}
        shapes, numbers = array("l"), dict[Any, int]()
        checked, steps = set[Any](), set[int]()
        for point in self.points():
            generator, training = self.at(point, world=0)
            check_policy(generator, training.views)
            if training.steps not in steps:
                checkpoint_steps(training.steps, self.track)
                steps.add(training.steps)
            # Equal for most points, so that the check is made for few.
            sizes = (generator.modalities, training)
            if sizes not in checked:
                _check_memory(*sizes)
                checked.add(sizes)
            shape = (generator.name, generator.shape_key, training)
            shapes.append(numbers.setdefault(shape, len(numbers)))
            if terms:
                truth = generator.truth
                different = {n for n in terms if not math.isclose(getattr(truth, n), point[n], abs_tol=1e-12)}
                prefixed |= {name: f"{generator.name}.{name}" for name in different}
                terms -= different
        return _Survey(prefixed, shapes)

    @property
    def shapes(self) -> Sequence[int]:
        """A number for every point; runs of one objective at points of equal numbers share a cohort.

        Their generators have equal names and shape keys, and their training settings are equal.
        """
        return self._survey.shapes

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column of results.csv of every parameter that varies, by parameter.

        It is the parameter's name. A parameter that has the name of a term but does not set the term's bits,
        such as the numbers of features of `factorcl`, gets the generator's name in front, because the
        term's column holds the ground truth.
        """
        return {name: name for axis in self.varied for name in axis.names} | self._survey.prefixed

    @property
    def lengths(self) -> tuple[int, ...]:
        """Numbers of points along each independent axis."""
        lengths = tuple(len(axis.values) for axis in self.varied)
        return lengths[:1] if self.zipped else lengths

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.lengths)

    def point(self, number: int) -> dict[str, Any]:
        """Return the parameter values of a point, by name.

        Args:
            number: Index of the point, 0 to `size` - 1; the last axis changes fastest.
        """
        places = [0] * len(self.axes)
        for i, axis in reversed([*enumerate(self.axes)]):
            if len(axis.values) > 1 and self.zipped:
                places[i] = number
            else:
                number, places[i] = divmod(number, len(axis.values))
        return {n: axis.values[at] for axis, at in zip(self.axes, places, strict=True) for n in axis.names}

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the parameter values of every point."""
        names = [axis.names for axis in self.axes]
        for values in self._value_tuples():
            yield {n: value for ns, value in zip(names, values, strict=True) for n in ns}

    def _value_tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield the value of every axis at every point."""
        if not self.zipped:
            return itertools.product(*(axis.values for axis in self.axes))
        fixed = [itertools.repeat(axis.values[0], self.size) for axis in self.axes]
        values = zip(self.axes, fixed, strict=True)
        return zip(*(axis.values if len(axis.values) > 1 else one for axis, one in values), strict=True)

    def at(self, point: dict[str, Any], world: int | None) -> tuple[Generator, Training]:
        """Return the generator and the training settings of a point.

        Args:
            point: Parameter values by name.
            world: Seed of the generator's fixed parts; None for the world that its reference names.

        Raises:
            InvalidRequest: If the generator has no such parameter or refuses its value.
        """
        others = self.objective_axes
        parameters = {k: v for k, v in point.items() if k not in _TRAINING_FIELDS and k not in others}
        known = self._generator_parameters
        for name in parameters:
            if known and name not in known:
                raise InvalidRequest(f"cannot vary {name!r}: {self._hint(name)}")
        if world is not None:
            parameters["world"] = world
        given = {k: v for k, v in point.items() if k in _TRAINING_FIELDS}
        training = dataclasses.replace(self.training, **given) if given else self.training
        return load_generator(self.generator, **parameters), training

    def _hint(self, name: str) -> str:
        """Return a hint for an unknown name of an axis."""
        own = [f"{parse(o).name}.{p}" for o, names in self._objective_parameters.items() for p in names]
        others = [*_TRAINING_FIELDS, *(own if "." in name else [])]
        cls = generators().get(parse(self.generator).name)
        hint = parameter_hint(name, cls, others) if cls else nearest(name, others)
        if hint.startswith("did you mean"):
            return hint
        return f"neither the generator, nor the training, nor {', '.join(self.objectives)} has it; {hint}"

    @property
    def name(self) -> str:
        """A folder name that is the same for equal requests."""
        fields = dataclasses.asdict(self) | {"version": defaults.RESULT_VERSION}
        fields["training"] = defaults.training_specification(self.training)
        del fields["baselines"]  # they are added to the results of the same sweep without them
        for name in ("first_seed", "track"):
            if not fields[name]:
                del fields[name]  # requests made before these fields existed keep their folder
        words = [
            f"{axis.names[0] if len(axis.names) == 1 else 'unique'}={axis.values[0]:g}..{axis.values[-1]:g}"
            if not isinstance(axis.values[0], str)
            else axis.names[0]
            for axis in self.varied
        ]
        slug = re.sub(r"[^\w.=+-]+", "-", "_".join(words) or parse(self.generator).name)
        return f"{slug}-{digest(fields)[:8]}"


@dataclass(frozen=True)
class _Survey:
    """What a request needs of all of its points.

    Args:
        prefixed: Column of every parameter that has the name of a term but does not set the term's bits.
        shapes: A number for every point; equal for points whose runs can share a cohort.
    """

    prefixed: dict[str, str]
    shapes: Sequence[int]


def _check_memory(modalities: Sequence[Modality], training: Training) -> None:
    """Refuse settings that need more memory than this machine has.

    The estimate is a lower bound, in float32: the minibatch with two views, a finite training set, the loss
    of every step in the history and its copy, and the weights of the encoders with their gradients and two
    moments of Adam.

    Raises:
        InvalidRequest: If the estimate exceeds the physical memory.
    """
    widths = [math.prod(modality.shape) for modality in modalities]
    sizes = [training.hidden] * training.layers + [training.dim]
    vectors = [[math.prod(m.shape), *sizes] for m in modalities if len(m.shape) == 1]
    weights = sum(n * m for widths_ in vectors for n, m in itertools.pairwise(widths_))
    needs = {
        f"batch {training.batch} of {sum(widths)} values": 4 * 3 * training.batch * sum(widths),
        f"samples {training.samples} of {sum(widths)} values": 4 * (training.samples or 0) * sum(widths),
        # A model that is trained alone is trained twice, because other kernels round differently.
        f"steps {training.steps} with their losses": 4 * 2 * 2 * training.steps,
        f"encoders with hidden {training.hidden}, layers {training.layers}, dim {training.dim}": 4
        * 4
        * weights,
    }
    check_memory(max(needs, key=lambda name: needs[name]), sum(needs.values()))


def _check_batch_memory(make: MakeObjective, member: Member, training: Training) -> None:
    """Refuse a batch whose training step needs more memory than this machine has.

    Losses that compare all pairs of rows need memory that grows with the square of the batch. The bytes of
    three small batches determine a parabola, whose value at the batch is the estimate.

    Raises:
        InvalidRequest: If the estimate exceeds the physical memory.
    """
    if training.batch <= max(TRIAL_BATCHES):
        return
    measured = [
        run_trial(make, member, dataclasses.replace(training, batch=batch)).step_bytes
        for batch in TRIAL_BATCHES
    ]
    if 0 in measured:  # the loss raises an exception, which the run reports
        return
    growth = np.polynomial.Polynomial.fit(TRIAL_BATCHES, measured, 2)
    check_memory(f"batch {training.batch} of a training step", float(growth(training.batch)))


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return digest_text(canonical_json(value))


def digest_text(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
