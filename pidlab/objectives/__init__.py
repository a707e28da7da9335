"""Losses, one per file, each written for one model. A module here that defines one registers it."""

from pidlab.objectives.base import Batch, Objective, Phase
from pidlab.objectives.load import load_objective, objectives

__all__ = ["Batch", "Objective", "Phase", "load_objective", "objectives"]
