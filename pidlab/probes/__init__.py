"""Representations in, captured bits out."""

from pidlab.probes.capture import capture

__all__ = ["capture"]
