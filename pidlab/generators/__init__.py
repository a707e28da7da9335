"""Distributions with exactly known information; each module registers the generators that it defines."""

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
