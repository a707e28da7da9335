"""Loss curves of runs: whether training changed the loss (the column `trained` of results.csv)."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from pidlab.results.means import base_name

# A shorter curve has too few points to tell a change from noise.
LEAST_POINTS = 20
# Share of the curve that counts as its end, and its least number of points.
END, LEAST_END_POINTS = 0.1, 5
# Probability that a loss that does not change differs from its initial value by more than noise.
FALSE_ALARM = 0.01


def _clip(batch: int) -> float:
    return math.log(batch)


def _nt_xent(batch: int) -> float:
    return math.log(2 * batch - 1)


# Chance, for objectives where it does not depend on their arguments: the loss in nats of embeddings that are
# the same for every sample, by the number of samples in a batch.
CHANCE: dict[str, Callable[[int], float]] = {
    "cross": _clip,
    "gram": _clip,
    "triangle": _clip,
    "simclr": _nt_xent,
    "simclr-cross": _nt_xent,
    "comm": _nt_xent,
    "comm-sup": _nt_xent,
}


def chance_of(objective: str, batch: int) -> float | None:
    """Return the loss of an objective on embeddings that are the same for every sample, in nats.

    Args:
        objective: A reference such as `comm(temperature=0.2)`.
        batch: Number of samples in a batch.

    Returns:
        The loss; None if it is not known.

    Example:
        >>> round(chance_of("cross", 128), 4)
        4.852
    """
    loss = CHANCE.get(base_name(objective))
    return loss and loss(batch)


def is_trained(losses: np.ndarray, chance: float | None = None) -> bool | None:
    """Return whether a loss ends away from its initial value and from chance by more than noise.

    The mean of the last tenth of the curve is compared with the first value, and with chance. Noise is the
    99 % t-interval of the difference, from the standard deviation of the last tenth.

    Args:
        losses: Loss of every step, or means over blocks of equally many steps, shape (steps,).
        chance: The loss of embeddings that are the same for every sample, if it is known.

    Returns:
        False for a loss that is not finite at some step; None for a curve of fewer than 20 points.

    Example:
        >>> is_trained(np.linspace(3.0, 1.0, 50)), is_trained(np.full(50, 3.0)), is_trained(np.array([3.0]))
        (True, False, None)
    """
    if not np.isfinite(losses).all():
        return False
    if len(losses) < LEAST_POINTS:
        return None
    end = losses[-max(LEAST_END_POINTS, round(END * len(losses))) :].astype(float)
    mean, n, first = end.mean(), len(end), float(losses[0])
    noise = stdtrit(n - 1, 1 - FALSE_ALARM / 2) * end.std(ddof=1)
    # The last term allows for rounding of a loss that does not change.
    rounding = 1e-6 * (1 + abs(first))
    if abs(mean - first) <= noise * math.sqrt(1 + 1 / n) + rounding:
        return False
    return chance is None or bool(abs(mean - chance) > noise / math.sqrt(n) + rounding)
