"""The one table of defaults. Nothing here imports torch."""

from dataclasses import dataclass, field
from typing import Any

# Raised by every change that moves numbers; stored results of another version are not reused.
RESULT_VERSION = 1


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Training:
    """How an objective is fitted."""

    views: str = _setting("task", "what a view preserves: task, noise or generic")
    steps: int = _setting(600, "optimiser steps")
    batch: int = _setting(128, "samples in a minibatch")
    samples: int | None = _setting(None, "size of a finite training set; none: fresh data each step")
    dim: int = _setting(8, "width of z1 and z2; z12 has twice that")
    hidden: int = _setting(64, "width of a hidden layer of an encoder")
    layers: int = _setting(2, "hidden layers of an encoder")
    rate: float = _setting(2e-3, "learning rate of Adam")


@dataclass(frozen=True)
class Probing:
    """How a frozen representation is examined."""

    probes: str = _setting("standard", "effort of the probes: quick or standard")


# Bits per term where a sweep says nothing.
TERMS = {"redundant": 1.0, "unique1": 1.0, "unique2": 1.0, "synergy": 1.0}

OBJECTIVES = ("untrained", "supervised", "cross", "simclr", "cross+self", "comm")
GENERATOR = "atoms"
SEEDS = 3
RANGE_POINTS = 11

# What --quick changes.
QUICK = {"points": 5, "seeds": 1, "steps": 300, "probes": "quick"}

# A cohort's tensors stay within this.
COHORT_BYTES = 1_000_000_000
