"""Training steps at which a run is probed."""

import math

from pidlab.errors import InvalidRequest

# Checkpoints are evenly spaced in log(1 + step / EARLY_STEPS), so densest where losses fall fastest.
EARLY_STEPS = 10


def checkpoint_steps(steps: int, count: int) -> tuple[int, ...]:
    """Return distinct steps from 0 to `steps`, evenly spaced in log(1 + step / 10).

    Steps are rounded; each is at least one after its predecessor.

    Args:
        steps: Number of training steps.
        count: Number of checkpoints; 0 for none.

    Raises:
        InvalidRequest: If `count` is negative, 1, or above `steps` + 1.

    Example:
        >>> checkpoint_steps(600, 5)
        (0, 18, 68, 208, 600)
    """
    if count == 0:
        return ()
    if not 2 <= count <= steps + 1:
        raise InvalidRequest(f"--track {count}: must be 0 or 2 to {steps + 1} for training of {steps} steps")
    end, chosen = math.log1p(steps / EARLY_STEPS), [0]
    for i in range(1, count):
        chosen.append(max(round(EARLY_STEPS * math.expm1(end * i / (count - 1))), chosen[-1] + 1))
    return tuple(chosen)
