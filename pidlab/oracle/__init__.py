"""Objective and optimiser told apart: losses on representations that are known to hold what they hold."""

from pidlab.oracle.experiment import oracle, tried
from pidlab.tables.representations import REPRESENTATIONS

__all__ = ["REPRESENTATIONS", "oracle", "tried"]
