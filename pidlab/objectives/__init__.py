"""Losses, one per file, each written for one model. A module here that defines an objective registers it."""

from pidlab.objectives.load import LoadedObjective, load_objective, objectives, reference_of
from pidlab.objectives.objective import Batch, Objective, Phase

__all__ = ["Batch", "LoadedObjective", "Objective", "Phase", "load_objective", "objectives", "reference_of"]
