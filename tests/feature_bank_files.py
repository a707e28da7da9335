"""Files with feature banks whose classes are normal distributions."""

from pathlib import Path

import numpy as np

ROWS, CLASSES, WIDTH = 90, 9, 6


def gaussian_bank(rng, distance=12.0, rows=ROWS, classes=CLASSES, width=WIDTH):
    """Return features N(mean, 1) and class indices; the means are N(0, distance^2)."""
    c = np.repeat(np.arange(classes), rows)
    means = distance * rng.normal(size=(classes, width))
    return means[c] + rng.normal(size=(len(c), width)), c


def write_banks(path: Path, seed=0, distance=12.0, **changes) -> str:
    """Write two banks; `changes` replaces arrays, None removes them."""
    rng = np.random.default_rng(seed)
    (x1, c1), (x2, c2) = (gaussian_bank(rng, distance) for _ in range(2))
    arrays = {"x1": x1, "c1": c1, "x2": x2, "c2": c2} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)
