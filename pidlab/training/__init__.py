"""Training of objectives: many models as one tensor program."""

from pidlab.training.cohort import FittedCohort, Member, train
from pidlab.training.fit import Fitted, fit

__all__ = ["Fitted", "FittedCohort", "Member", "fit", "train"]
