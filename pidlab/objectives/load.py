"""Objectives by name: `comm`, `"comm(temperature=0.1)"`."""

import importlib
import inspect
from collections.abc import Mapping
from functools import cache, partial

from torch import nn

from pidlab.errors import InvalidRequest, nearest
from pidlab.objectives.base import MakeObjective
from pidlab.references import parse
from pidlab.registry import scan


@cache
def objectives() -> Mapping[str, type[nn.Module]]:
    """Every registered objective by name."""
    return scan(importlib.import_module("pidlab.objectives"), nn.Module)


def load_objective(reference: str) -> MakeObjective:
    """What makes the objective that `reference` names from encoders.

    Raises:
        InvalidRequest: no such objective, or one that takes no such argument.
    """
    asked = parse(reference)
    known = objectives()
    if asked.name not in known:
        raise InvalidRequest(f"unknown objective {asked.name!r}: {nearest(asked.name, known)}")
    cls = known[asked.name]
    accepted = list(inspect.signature(cls).parameters)[1:]
    for key in asked.arguments:
        if key not in accepted:
            hint = nearest(key, accepted) if accepted else "it takes none"
            raise InvalidRequest(f"{asked.name} has no argument {key!r}: {hint}")
    return partial(cls, **asked.arguments)
