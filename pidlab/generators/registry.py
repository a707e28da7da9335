"""Generators by name: `atoms`, `"atoms(noise=0.1)"`."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from pidlab.errors import InvalidRequest, nearest
from pidlab.generators.base import Generator
from pidlab.generators.checks import parameters_of, required_of
from pidlab.references import parse
from pidlab.registry import look_up, scan


@cache
def generators() -> Mapping[str, type[Generator]]:
    """Every registered generator by name."""
    return scan(importlib.import_module("pidlab.generators"), Generator)


def load_generator(reference: str, **parameters: Any) -> Generator:
    """The generator that `reference` names, with `parameters` over those it gives itself.

    Raises:
        InvalidRequest: no such generator, or one that has no such parameter.
    """
    asked = parse(reference)
    cls = look_up("generator", asked.name, generators())
    fields = parameters_of(cls)
    for key in parameters:
        if key not in fields:
            raise InvalidRequest(f"{asked.name} has no parameter {key!r}: {nearest(key, fields)}")
    given = {**asked.bind(fields), **parameters}
    for name in required_of(cls):
        if name not in given:
            raise InvalidRequest(f"{asked} lacks {name!r}: write {asked.name}({name}=...)")
    return cls(**given)
