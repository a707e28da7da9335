"""What a sweep is asked for, and the runs that this means."""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest, nearest
from pidlab.generators import Generator, generators, load_generator
from pidlab.generators.base import check_policy, parameters_of
from pidlab.objectives.load import load_objective, source_digest
from pidlab.probes.levels import LEVELS
from pidlab.probes.trajectory import checkpoints
from pidlab.registry import parse
from pidlab.sweeps.axes import settings, values
from pidlab.sweeps.plan import Runs, digest
from pidlab.training import Member
from pidlab.training.cohort import run_trial


def build_request(
    axes: Iterable[tuple[tuple[str, ...], str | int]],
    *,
    generator: str = defaults.GENERATOR,
    objectives: Iterable[str] | None = None,
    zipped: bool = False,
    device: str = "cpu",
    elsewhere: bool = False,
    quick: bool = False,
    **asked: Any,
) -> "Request":
    """The request that these words mean.

    Args:
        axes: of every axis the parameters that it sets and its text (`pidlab.sweeps.request`).
        generator: reference to the generator.
        objectives: references; the default ones if None.
        zipped: axes of several values go along together.
        device: device type, or auto.
        elsewhere: other machines train, so that a device need not be here.
        quick: less of everything that is not asked for.
        asked: settings: `points` of a range that does not say, fields of `Training` and of `Request`; None
            is the default.

    Raises:
        InvalidRequest: anything that does not exist or cannot be.
    """
    pass

    given = settings(asked, quick)
    points = int(given.pop("points"))
    training = {f.name: given.pop(f.name) for f in dataclasses.fields(Training) if f.name in given}
    known = {f.name for f in dataclasses.fields(Request)} - {"axes", "training"}
    for name in given:
        if name not in known:
            raise InvalidRequest(f"no setting {name!r}: {nearest(name, [*known, *training])}")
    return Request(
        generator=generator,
        axes=tuple(Axis(names, values(names, text, points)) for names, text in axes),
        objectives=tuple(defaults.OBJECTIVES if objectives is None else objectives),
        training=Training(**training),
        device=resolve_device(device, elsewhere),
        zipped=zipped,
        **given,
    )


def resolve_device(name: str, elsewhere: bool = False) -> str:
    """The device type that a name means: auto is an accelerator where there is one.

    Raises:
        InvalidRequest: it is none, or not there though it is to be here.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InvalidRequest(f"--device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not elsewhere and not torch.cuda.is_available():
        raise InvalidRequest("--device cuda: this machine offers no CUDA device; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


_SETTINGS = tuple(f.name for f in dataclasses.fields(Training))


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
            generator, training = self.at(point, world=0)
            check_policy(generator, training.views)
            checkpoints(training.steps, self.track)

    def _try(self, objective: str) -> None:
        """Makes the objective once, so that arguments it refuses are refused before anything runs."""
        generator, training = self.at(next(self.points()), world=0)
        try:
            run_trial(load_objective(objective, self.sources[objective]), Member(generator, 0), training)
        except InvalidRequest:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"objective {objective!r}: {error}") from None
        except Exception:
            # A fault in a user's own code is for its runs to report; the other objectives go on.
            if self.sources[objective] is None:
                raise

    @cached_property
    def sources(self) -> dict[str, str | None]:
        """The digest of the user's code of each objective; None for objectives of pidlab."""
        return {objective: source_digest(objective) for objective in map(str, map(parse, self.objectives))}

    @property
    def varied(self) -> list[Axis]:
        """The axes of more than one value."""
        return [axis for axis in self.axes if len(axis.values) > 1]

    @property
    def axis_groups(self) -> list[tuple[str, ...]]:
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
        terms = named.keys() & set(TERMS)
        for point in self.points():
            if not terms:
                break
            law, _ = self.at(point, world=0)
            own = {n for n in terms if not math.isclose(getattr(law.truth, n), point[n], abs_tol=1e-12)}
            named |= {name: f"{law.name}.{name}" for name in own}
            terms -= own
        return named

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many values there are along every direction in which points follow each other."""
        found = tuple(len(axis.values) for axis in self.varied)
        return found[:1] if self.zipped else found

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(self.lengths)

    def point(self, number: int) -> dict[str, Any]:
        """A point: parameter values by name, in the order of the axes, the last of which moves first."""
        places = [0] * len(self.axes)
        for i, axis in reversed([*enumerate(self.axes)]):
            if len(axis.values) > 1 and self.zipped:
                places[i] = number
            else:
                number, places[i] = divmod(number, len(axis.values))
        return {n: axis.values[at] for axis, at in zip(self.axes, places, strict=True) for n in axis.names}

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point."""
        return map(self.point, range(self.size))

    def runs(self) -> Runs:
        """Every run: by point, then objective, then seed."""
        return Runs(self)

    def at(self, point: dict[str, Any], world: int | None) -> tuple[Generator, Training]:
        """The generator and the settings of a point; the generator in its own world where `world` is None."""
        parameters = {k: v for k, v in point.items() if k not in _SETTINGS}
        cls = generators().get(parse(self.generator).name)
        known = parameters_of(cls) if cls else []
        for name in parameters:
            if cls and name not in known:
                hint = nearest(name, [*known, *_SETTINGS])
                raise InvalidRequest(f"cannot vary {name!r}: {hint}")
        if world is not None:
            parameters["world"] = world
        given = {k: v for k, v in point.items() if k in _SETTINGS}
        training = dataclasses.replace(self.training, **given) if given else self.training
        return load_generator(self.generator, **parameters), training

    @property
    def name(self) -> str:
        """A folder name that the same request finds again."""
        asked = dataclasses.asdict(self) | {"version": defaults.RESULT_VERSION}
        asked["training"] = defaults.training_specification(self.training)
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
