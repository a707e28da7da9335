"""Exact information of known distributions and of samples, in bits."""

from pidlab.info.broja import broja
from pidlab.info.gates import gate, gates
from pidlab.info.gaussian_decomposition import gaussian
from pidlab.info.measures import MEASURES, Measure, decompose, pointwise
from pidlab.info.pmf import (
    binary_entropy,
    co_information,
    conditional_mutual_information,
    entropy,
    inverse_binary_entropy,
    joint_information,
    mutual_information,
    source_informations,
)

__all__ = [
    "MEASURES",
    "Measure",
    "binary_entropy",
    "broja",
    "co_information",
    "conditional_mutual_information",
    "decompose",
    "entropy",
    "gate",
    "gates",
    "gaussian",
    "inverse_binary_entropy",
    "joint_information",
    "mutual_information",
    "pointwise",
    "source_informations",
]
