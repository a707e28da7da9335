"""Sweeps: what is asked, which runs that means, and their results."""

from pidlab.sweeps.request import Axis, Request
from pidlab.sweeps.run import SweepResult, run_sweep

__all__ = ["Axis", "Request", "SweepResult", "run_sweep"]
