"""A run made again from its specification, as a store keeps it and a message to a worker carries it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pidlab import defaults
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, load_generator
from pidlab.generators.registry import generators
from pidlab.objectives.load import source_digest
from pidlab.registry import look_up
from pidlab.sweeps.runs import Run, digest


def restore(specification: Mapping[str, Any]) -> Run:
    """The run of that specification; where it stands in a sweep is not part of it.

    Raises:
        InvalidRequest: it is of another result version, or what it names is not here, or is not what it
            was: a user's own code, a file that data come from.
    """
    key = digest(specification)
    if specification["version"] != defaults.RESULT_VERSION:
        raise InvalidRequest(
            f"run {key} is of result version {specification['version']}, this pidlab makes version "
            f"{defaults.RESULT_VERSION}: use the pidlab that made it, or train it again"
        )
    here = source_digest(specification["objective"])
    if here != specification.get("source"):
        raise InvalidRequest(
            f"run {key}: the source of {specification['objective']!r} has digest {here}, the run was asked "
            f"for with {specification.get('source')}: put that file back in its place"
        )
    given: dict[str, Any] = {
        f.name: specification[f.name] for f in dataclasses.fields(Run) if f.name in specification
    }
    given |= {
        "generator": _generator(specification["generator"]),
        "training": Training(**specification["training"]),
        "point": {},
    }
    run = Run(**given)
    if run.key != key:
        name = specification["generator"]["name"]
        raise InvalidRequest(
            f"run {key}: generator {name!r} has other contents here than the run was asked for with: put "
            "its file back in its place"
        )
    return run


def _generator(specification: Mapping[str, Any]) -> Generator:
    name = specification["name"]
    fields = dataclasses.fields(look_up("generator", name, generators()))  # type: ignore[arg-type]
    given = {f.name: specification[f.name] for f in fields if f.init and f.name in specification}
    # JSON knows no tuples.
    return load_generator(name, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
