"""Exact information of known distributions, in bits."""

from pidlab.info.broja import broja
from pidlab.info.entropies import binary_entropy, entropy, inverse_binary_entropy, mutual_information
from pidlab.info.gaussian import gaussian

__all__ = ["binary_entropy", "broja", "entropy", "gaussian", "inverse_binary_entropy", "mutual_information"]
