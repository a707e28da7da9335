"""Losses, one per file, each written for one model. A module here that defines an objective registers it."""

from pidlab.objectives.base import Batch, Objective, Phase
from pidlab.objectives.load import LoadedObjective, load_objective, objectives, reference_of

__all__ = ["Batch", "LoadedObjective", "Objective", "Phase", "load_objective", "objectives", "reference_of"]
