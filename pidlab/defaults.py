"""Defaults of all settings. This module does not import torch."""

from dataclasses import dataclass, field, fields
from typing import Any

from pidlab.errors import InvalidRequest, nearest

# Increased by every change of results; stored results of another version are not reused.
RESULT_VERSION = 4
# Versions whose tables can still be read, plotted and exported.
READABLE_VERSIONS = (3, RESULT_VERSION)


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


# The default view policy of a generator is the first of these that it offers. `noise` comes first, because a
# perfect augmentation of each modality on its own can realize it.
POLICIES = ("noise", "task", "generic")

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
# Deeper networks take minutes to build, and without skip connections their gradients vanish.
MOST_LAYERS = 1000
# Settings that are newer than stored runs; at their default they are not part of the key of a run.
ADDED_SETTINGS = ("optimizer", "weight_decay", "schedule", "warmup", "clip")


@dataclass(frozen=True)
class Training:
    """Settings of the training of an objective.

    The meaning and the unit of each field are in its metadata (see `meaning`).

    Raises:
        InvalidRequest: If a value is out of range.

    Example:
        >>> Training(steps=100).batch
        128
    """

    views: str = _setting("noise", "what a view preserves: noise, task, unique, independent or generic")
    steps: int = _setting(600, "optimizer steps")
    batch: int = _setting(128, "rows in a minibatch")
    samples: int | None = _setting(
        None, "rows of a finite training set; by default every step draws new rows"
    )
    dim: int = _setting(8, "width of z1 and of z2; z12 has twice this width")
    hidden: int = _setting(64, "width of a hidden layer of an encoder")
    layers: int = _setting(2, "hidden layers of an encoder")
    rate: float = _setting(2e-3, "learning rate")
    optimizer: str = _setting("adam", "adam, adamw, or sgd with momentum 0.9")
    weight_decay: float = _setting(0.0, "weight decay of the optimizer")
    schedule: str = _setting("constant", "learning rate schedule: constant, or cosine to 0")
    warmup: int = _setting(0, "steps of linear warm-up of the cosine schedule")
    clip: float | None = _setting(None, "largest norm of the gradient of a model; none: no clipping")

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch", 2),
            ("samples", 2),
            ("dim", 1),
            ("hidden", 1),
            ("layers", 0),
            ("warmup", 0),
        ):
            value = getattr(self, name)
            if name == "samples" and value is None:
                continue
            if not isinstance(value, (int, float)) or value != value or value < least or value % 1:
                raise InvalidRequest(f"{name} = {value!r}: expected a whole number, {least} or more")
            if name == "layers" and value > MOST_LAYERS:
                raise InvalidRequest(f"layers = {value!r}: expected at most {MOST_LAYERS}")
            object.__setattr__(self, name, int(value))
        if not isinstance(self.rate, (int, float)) or not 0 < self.rate < float("inf"):
            raise InvalidRequest(f"rate = {self.rate!r}: expected a finite number above 0")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise InvalidRequest(f"{name} = {getattr(self, name)!r}: expected one of {', '.join(known)}")
        for name in ("weight_decay", "clip"):
            value = getattr(self, name)
            least = "0 or more" if name == "weight_decay" else "above 0"
            if value is None and name == "clip":
                continue
            if (
                not isinstance(value, (int, float))
                or not 0 <= value < float("inf")
                or (name == "clip" and not value)
            ):
                raise InvalidRequest(f"{name} = {value!r}: expected a finite number {least}")
            object.__setattr__(self, name, float(value))
        if self.warmup and self.schedule == "constant":
            raise InvalidRequest(f"warmup = {self.warmup}: only with schedule = 'cosine'")
        if self.samples is not None and self.samples < self.batch:
            raise InvalidRequest(
                f"samples = {self.samples}: fewer than a batch of {self.batch}; "
                "use more samples or a smaller batch"
            )


def training_specification(training: Training) -> dict[str, Any]:
    """Return the settings that identify a run: all of them but additions that have their default value."""
    added = {f.name: f.default for f in fields(Training) if f.name in ADDED_SETTINGS}
    settings = {f.name: getattr(training, f.name) for f in fields(Training)}
    return {k: v for k, v in settings.items() if k not in added or v != added[k]}


@dataclass(frozen=True)
class Recipe:
    """Training settings that a paper published for its objective.

    Args:
        settings: Fields of `Training`.
        source: Where the settings were published.
    """

    settings: dict[str, Any]
    source: str


_COMM = {"optimizer": "adamw", "rate": 3e-4, "weight_decay": 1e-4, "batch": 64}
RECIPES = {
    "comm": Recipe(
        _COMM,
        "CoMM on Trifeature (arXiv 2409.07402): AdamW with a constant rate, as in github.com/brightest66/"
        "InfMasking, which extends CoMM's code (configs/train_trifeatures.yaml, pl_modules/base.py)",
    ),
    "infmasking": Recipe(
        _COMM, "InfMasking on Trifeature (arXiv 2509.25270), github.com/brightest66/InfMasking"
    ),
    "factorcl": Recipe(
        {"optimizer": "adam", "rate": 1e-4, "batch": 256, "hidden": 512, "layers": 3, "dim": 128},
        "FactorCL (arXiv 2306.05268), notebooks of the released code",
    ),
}


def recipe_settings(name: str | None) -> dict[str, Any]:
    """Return the training settings of a published recipe.

    Args:
        name: Name of the recipe, or None for no settings.

    Raises:
        InvalidRequest: If there is no such recipe.

    Example:
        >>> recipe_settings("factorcl")["rate"]
        0.0001
    """
    if name is None:
        return {}
    if name not in RECIPES:
        raise InvalidRequest(f"--recipe {name!r}: {nearest(name, RECIPES)}")
    return dict(RECIPES[name].settings)


# Level of the probes: quick, standard or thorough.
PROBES = "standard"
# Standard deviations of the noise added to a readout, relative to a whitened coordinate.
SIGMAS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)

# The default generator: bits of its terms, then its other parameters.
ATOMS = {
    "redundant": 1.0,
    "unique1": 1.0,
    "unique2": 1.0,
    "synergy": 1.0,
    "noise": 0.3,
    "nuisance": 8,
    "shared_nuisance": 0.0,
    "depth": 2,
    "slope": 0.5,
    "width": 32,
}

OBJECTIVES = ("untrained", "supervised", "cross", "cross+self", "factorcl-ssl", "comm")
# The default objectives that training changes.
TRAINED_OBJECTIVES = tuple(name for name in OBJECTIVES if name != "untrained")
GENERATOR = "atoms"
SEEDS = 3
RANGE_POINTS = 11

# Settings of --quick.
QUICK = {"points": 5, "seeds": 1, "steps": 300, "probes": "quick"}

# Largest total size of a cohort's tensors on a CPU, where every core trains one, and on a GPU, in bytes.
COHORT_BYTES, GPU_COHORT_BYTES = 200_000_000, 1_000_000_000


def meaning(setting: str) -> str:
    """Return the one-line meaning of a training setting.

    Example:
        >>> meaning("rate")
        'learning rate'
    """
    return next(f.metadata["meaning"] for f in fields(Training) if f.name == setting)
