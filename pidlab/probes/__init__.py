"""Captured bits: the information that probes read from frozen representations."""

from pidlab.probes.capture import capture
from pidlab.probes.cross_fit import estimate

__all__ = ["capture", "estimate"]
