"""Loss curves of runs: whether training changed the loss."""

import numpy as np
import pandas as pd


def has_moved(losses: np.ndarray) -> bool:
    """Return whether a loss ends away from its initial value by more than noise.

    The last tenth of the curve is compared with its first value. Noise is the standard deviation of the last
    tenth.

    Args:
        losses: Loss of every step, or means over blocks of steps, shape (steps,).

    Example:
        >>> has_moved(np.array([3.0, 2.0, 1.0])), has_moved(np.array([3.0, 3.0, 3.0]))
        (True, False)
    """
    last = losses[-max(1, len(losses) // 10) :].astype(float)
    # The constant allows for rounding of a loss that does not change.
    return bool(abs(last.mean() - losses[0]) > 3.0 * last.std() + 1e-6)


def moved_runs(table: pd.DataFrame) -> dict[str, bool]:
    """Return by run key whether its loss has left its initial value.

    Args:
        table: One row per (run, step) with the columns `run` and `loss`, in the order of the steps.
    """
    curves = table.groupby("run", sort=False)["loss"]
    return {str(run): has_moved(curve.to_numpy()) for run, curve in curves}
