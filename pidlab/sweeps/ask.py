"""From words to a request: what `pidlab sweep` and a study's `[[sweep]]` both mean by theirs."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import QUICK, Training
from pidlab.errors import InvalidRequest, nearest
from pidlab.sweeps.axes import parse_axis, parse_values

if TYPE_CHECKING:
    from pidlab.sweeps.request import Request

T = TypeVar("T")

# What everything is set to where nothing is asked.
PLAIN: dict[str, Any] = {"points": defaults.RANGE_POINTS, "seeds": defaults.SEEDS, "probes": defaults.PROBES}


def spread(axes: Iterable[tuple[str, T]]) -> list[tuple[tuple[str, ...], T]]:
    """Axes by the parameters that they set together: `unique` sets those of both terms without their own.

    Raises:
        InvalidRequest: `unique` beside both `unique1` and `unique2`.
    """
    listed = list(axes)
    named = {name for name, _ in listed}
    both = tuple(name for name in ("unique1", "unique2") if name not in named)
    if "unique" in named and not both:
        raise InvalidRequest("unique, unique1 and unique2 together: two of them say it all")
    return [(both if name == "unique" else (name,), text) for name, text in listed]


def values(names: tuple[str, ...], text: str | int, points: int) -> tuple[Any, ...]:
    """The values of an axis; only a parameter that is no term can take words, and a number is itself."""
    if isinstance(text, int):
        return (text,)
    parse = parse_axis if set(names) <= set(TERMS) else parse_values
    return parse(" and ".join(names), text, points)


def settings(asked: Mapping[str, Any], quick: bool = False) -> dict[str, Any]:
    """Every setting that is asked for, over those of `quick`, over the plain ones; None asks for nothing."""
    return (
        PLAIN | (QUICK if quick else {}) | {name: value for name, value in asked.items() if value is not None}
    )


def ask(
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
        axes: of every axis the parameters that it sets and its text (`pidlab.sweeps.axes`).
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
    from pidlab.sweeps.request import Axis, Request

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
        device=device_of(device, elsewhere),
        zipped=zipped,
        **given,
    )


def device_of(name: str, elsewhere: bool = False) -> str:
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
