"""What probing costs: seconds and floating-point operations of a level, per representation."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pidlab import defaults
from pidlab.analysis.capture import capture_cohort
from pidlab.analysis.known_answers import as_readouts
from pidlab.clock import Clock
from pidlab.defaults import Training
from pidlab.generators import Atoms
from pidlab.seeds import child

# Members whose operations are counted, which takes longer than doing them; those timed are a cohort.
COUNTED = 3


def probing(level: str, members: int = defaults.RANGE_POINTS * defaults.SEEDS) -> dict[str, Any]:
    """Probes slices of the observations, as wide as a default readout, like one cohort of a sweep.

    Args:
        level: the effort.
        members: representations that are probed together.

    Returns:
        Level, members, ms per representation, its Gflop in matrix products, and Gflop/s.
    """
    clock = Clock()
    _probe(level, COUNTED, Clock())
    _probe(level, members, clock)
    with FlopCounterMode(display=False) as counter:
        _probe(level, COUNTED, Clock())
    gflop = counter.get_total_flops() / COUNTED / 1e9
    seconds = clock.seconds["probing"]
    return {
        "level": level,
        "members": members,
        "ms": seconds / members * 1e3,
        "gflop": gflop,
        "gflops": gflop * members / seconds,
    }


def _probe(level: str, members: int, clock: Clock) -> None:
    points = [i / max(1, members - 1) for i in range(members)]
    worlds = [Atoms(unique1=u, unique2=u, world=child(i, "world")) for i, u in enumerate(points)]
    capture_cohort(_readouts, worlds, range(members), level, clock=clock)


def _readouts(x: Sequence[Tensor]) -> dict[str, Tensor]:
    return as_readouts([xi[..., : Training().dim] for xi in x])
