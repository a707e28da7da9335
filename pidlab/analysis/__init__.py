"""Representations in, captured bits out."""

from pidlab.analysis.capture import capture

__all__ = ["capture"]
