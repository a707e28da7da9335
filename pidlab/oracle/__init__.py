"""Objective and optimiser told apart: losses on representations that are known to hold what they hold."""

from pidlab.oracle.experiment import REPRESENTATIONS, oracle

__all__ = ["REPRESENTATIONS", "oracle"]
