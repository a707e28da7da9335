"""Distributions that know their own information. A module here that defines one registers it."""

from pidlab.generators.atoms import Atoms
from pidlab.generators.base import Generator, Sample, Stack, Target, ViewInformation
from pidlab.generators.export import dataset
from pidlab.generators.gate import Gate
from pidlab.generators.registry import generators, load_generator

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
