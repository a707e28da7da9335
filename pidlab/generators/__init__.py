"""Distributions with exactly known information; each module registers the generators that it defines."""

from pidlab.generators.arrays import dataset
from pidlab.generators.atoms import Atoms
from pidlab.generators.base import (
    Generator,
    Sample,
    Stack,
    Target,
    ViewInformation,
)
from pidlab.generators.gate import Gate
from pidlab.generators.load import accepted_parameters, generators, load_generator, parameter_hint

__all__ = [
    "Atoms",
    "Gate",
    "Generator",
    "Sample",
    "Stack",
    "Target",
    "ViewInformation",
    "accepted_parameters",
    "dataset",
    "generators",
    "load_generator",
    "parameter_hint",
]
