"""Objectives by name: `comm`, `"comm(temperature=0.1)"`."""

import importlib
import inspect
from collections.abc import Mapping
from functools import cache, partial

from torch import nn

from pidlab.errors import InvalidRequest
from pidlab.objectives.base import MakeObjective
from pidlab.references import parse
from pidlab.registry import look_up, scan


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
    cls = look_up("objective", asked.name, objectives())
    accepted = {
        key: parameter.default
        for key, parameter in inspect.signature(cls).parameters.items()
        if key != "encoders"
    }
    arguments = asked.bind(list(accepted))
    for key, value in arguments.items():
        if isinstance(accepted[key], float) != isinstance(value, (int, float)):
            kind = "a number" if isinstance(accepted[key], float) else f"a value like {accepted[key]!r}"
            raise InvalidRequest(f"{asked.name}({key}={value!r}): expected {kind}")
    return partial(cls, **arguments)
