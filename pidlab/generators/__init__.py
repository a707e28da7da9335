"""Distributions with exactly known information; each module registers the generators that it defines."""

from pidlab.generators.arrays import dataset
from pidlab.generators.atoms import Atoms
from pidlab.generators.catalog import (
    accepted_parameters,
    as_generator,
    generators,
    load_generator,
    parameter_hint,
)
from pidlab.generators.gate import Gate
from pidlab.generators.generator import (
    Generator,
    Sample,
    Stack,
    Target,
    ViewInformation,
)

__all__ = [
    "Atoms",
    "Gate",
    "Generator",
    "Sample",
    "Stack",
    "Target",
    "ViewInformation",
    "accepted_parameters",
    "as_generator",
    "dataset",
    "generators",
    "load_generator",
    "parameter_hint",
]
