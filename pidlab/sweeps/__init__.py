"""Sweeps: what is asked, which runs that means, and their results."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pidlab.sweeps.checkpoint_files import load_run
    from pidlab.sweeps.request import Axis, Request
    from pidlab.sweeps.run import SweepResult, run_sweep

# Loaded on first use, so that results are read without torch.
_HOMES = {
    "Axis": "pidlab.sweeps.request",
    "Request": "pidlab.sweeps.request",
    "SweepResult": "pidlab.sweeps.run",
    "load_run": "pidlab.sweeps.checkpoint_files",
    "run_sweep": "pidlab.sweeps.run",
}

__all__ = ["Axis", "Request", "SweepResult", "load_run", "run_sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pidlab.sweeps' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
