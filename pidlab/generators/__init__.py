"""Distributions that know their own information. A module here that defines one registers it."""

from pidlab.generators.arrays import dataset
from pidlab.generators.atoms import Atoms
from pidlab.generators.base import (
    Generator,
    Sample,
    Stack,
    Target,
    ViewInformation,
    generators,
    load_generator,
)
from pidlab.generators.gate import Gate

__all__ = [
    "Atoms",
    "Gate",
    "Generator",
    "Sample",
    "Stack",
    "Target",
    "ViewInformation",
    "dataset",
    "generators",
    "load_generator",
]
