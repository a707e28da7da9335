"""Continuous variables whose information is known: what estimators are examined on (Czyż et al. 2023)."""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import digamma, gammaln, ndtr
from torch import from_numpy

from pidlab.errors import InvalidRequest
from pidlab.seeds import child
from pidlab.validation.estimators import ESTIMATORS, estimates

Array = np.ndarray
LN2 = math.log(2.0)

# Nats below and above the truth that an estimate may be.
TIGHT, LOOSE = (-0.05, 0.05), (-0.15, 0.05)


@dataclass(frozen=True)
class Task:
    """A pair of variables.

    Args:
        name: of the base pair, with transforms in front of it (`half_cube-1v1-normal-0.75`).
        nats: I(X;Y), which transforms leave as it is.
        allowed: error that an estimate may have in nats; None: reported only.
    """

    name: str
    nats: float
    allowed: tuple[float, float] | None

    def sample(self, n: int, seed: int) -> tuple[Float[Array, "n dx"], Float[Array, "n dy"]]:
        """`n` pairs."""
        rng = np.random.default_rng(child(seed, self.name))
        transforms, base = _parsed(self.name)
        x, y = _base(base, n, rng)
        for transform in transforms:
            x, y = TRANSFORMS[transform](x, y)
        return x, y


def tasks() -> Iterator[Task]:
    """Those that estimators must pass, and some that are reported only."""
    one = ["", "normal_cdf-", "wiggly-", "half_cube-", "swissroll_x-normal_cdf-"]
    names = [f"{before}1v1-normal-0.75" for before in one]
    names += ["1v1-bimodal-0.75", "1v1-additive-0.1", "1v1-additive-0.75"]
    names += [f"multinormal-dense-{d}-{d}-0.5" for d in (2, 3, 5, 25, 50)]
    names += [f"{t}multinormal-sparse-5-5-2-2.0" for t in ("", "normal_cdf-", "half_cube-")]
    yield from (Task(name, _nats(name), TIGHT) for name in names)
    for name in ("multinormal-sparse-25-25-2-2.0", "half_cube-multinormal-sparse-25-25-2-2.0"):
        yield Task(name, _nats(name), LOOSE)
    reported = ["spiral-multinormal-sparse-5-5-2-2.0", "student-identity-2-2-1", "student-identity-5-5-2"]
    yield from (Task(name, _nats(name), None) for name in reported)


def examine_estimators(
    names: Sequence[str] = tuple(ESTIMATORS),
    rows: int = 100_000,
    seed: int = 0,
    most: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Estimates of every task by every estimator, on the same samples.

    Returns:
        A row per (task, estimator), in bits: truth, estimate, low, high, error, least and most error
        allowed (the tasks' gates are stated in nats), within (null: reported only), above (a lower bound
        that reads more than .05 nats over the truth), capped; and the seconds of the task.
    """
    found = []
    for task in list(tasks())[:most]:
        say(task.name)
        started = time.perf_counter()
        x, y = (from_numpy(z.astype(np.float32))[None] for z in task.sample(rows, seed))
        results = estimates(x, y, names, seed)
        seconds, truth = time.perf_counter() - started, task.nats / LN2
        least, most_ = (nats / LN2 for nats in task.allowed or (math.nan, math.nan))
        for name, result in results.items():
            estimate, low, high = (float(v[0]) for v in (result.bits, result.low, result.high))
            error = estimate - truth
            found.append(
                {
                    "task": task.name,
                    "estimator": name,
                    "truth": truth,
                    "estimate": estimate,
                    "low": low,
                    "high": high,
                    "error": error,
                    "least": least,
                    "most": most_,
                    "within": None if task.allowed is None else bool(least <= error <= most_),
                    "above": ESTIMATORS[name].kind == "lower" and error > TIGHT[1] / LN2,
                    "capped": bool(result.capped[0]),
                    "seconds": seconds,
                }
            )
    return pd.DataFrame(found)


def _parsed(name: str) -> tuple[list[str], str]:
    transforms = []
    while (head := name.split("-", 1)[0]) in TRANSFORMS:
        transforms.insert(0, head)
        name = name.split("-", 1)[1]
    return transforms, name


def _nats(name: str) -> float:
    """The closed form of the base pair."""
    _, base = _parsed(name)
    numbers = [float(part) for part in re.findall(r"(?<=-)[\d.]+", base)]
    if base.startswith(("1v1-normal", "1v1-bimodal")):
        return -0.5 * math.log(1.0 - numbers[0] ** 2)
    if base.startswith("1v1-additive"):
        eps = numbers[0]
        return 1.0 / (4.0 * eps) if eps > 0.5 else eps - math.log(2.0 * eps)
    if base.startswith("multinormal-dense"):
        d, off = int(numbers[0]), numbers[2]
        one = np.full((d, d), off) + (1.0 - off) * np.eye(d)
        two = np.full((2 * d, 2 * d), off) + (1.0 - off) * np.eye(2 * d)
        return float(np.linalg.slogdet(one)[1] - np.linalg.slogdet(two)[1] / 2.0)
    if base.startswith("multinormal-sparse"):
        pairs, strength = int(numbers[2]), numbers[3]
        rho = strength**2 / (1.0 + strength**2)
        return -0.5 * pairs * math.log(1.0 - rho**2)
    dx, dy, df = (int(v) for v in numbers)

    def entropy(d: int) -> float:  # of a standard Student vector, in nats
        half = (df + d) / 2.0
        constant = gammaln(df / 2.0) - gammaln(half) + d / 2.0 * math.log(df * math.pi)
        return float(constant + half * (digamma(half) - digamma(df / 2.0)))

    return entropy(dx) + entropy(dy) - entropy(dx + dy)


def _base(name: str, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    numbers = [float(part) for part in re.findall(r"(?<=-)[\d.]+", name)]
    if name.startswith("1v1-additive"):
        x = rng.random((n, 1))
        return x, x + rng.uniform(-numbers[0], numbers[0], (n, 1))
    if name.startswith(("1v1-normal", "1v1-bimodal")):
        z = rng.normal(size=(2, n, 1))
        x, y = z[0], numbers[0] * z[0] + math.sqrt(1.0 - numbers[0] ** 2) * z[1]
        return (_bimodal(x, y)) if "bimodal" in name else (x, y)
    if name.startswith("multinormal-dense"):
        d, off = int(numbers[0]), numbers[2]
        z = math.sqrt(off) * rng.normal(size=(n, 1)) + math.sqrt(1.0 - off) * rng.normal(size=(n, 2 * d))
        return z[:, :d], z[:, d:]
    if name.startswith("multinormal-sparse"):
        dx, dy, pairs = (int(v) for v in numbers[:3])
        rho = numbers[3] ** 2 / (1.0 + numbers[3] ** 2)
        x, y = rng.normal(size=(n, dx)), rng.normal(size=(n, dy))
        y[:, :pairs] = rho * x[:, :pairs] + math.sqrt(1.0 - rho**2) * y[:, :pairs]
        return x, y
    if not name.startswith("student"):
        raise InvalidRequest(f"unknown task {name!r}")
    dx, dy, df = (int(v) for v in numbers)
    z = rng.normal(size=(n, dx + dy)) / np.sqrt(rng.chisquare(df, size=(n, 1)) / df)
    return z[:, :dx], z[:, dx:]


def _bimodal(x: Array, y: Array) -> tuple[Array, Array]:
    """Both through the inverse distribution function of a mixture of two normals."""
    grid = np.linspace(-12.0, 12.0, 200_001)
    first = 0.3 * ndtr(grid) + 0.7 * ndtr(grid - 5.0)
    second = 0.5 * ndtr(grid + 1.0) + 0.5 * ndtr(grid - 3.0)
    return np.interp(ndtr(x), first, grid), np.interp(ndtr(y), second, grid)


def _wiggly(x: Array, y: Array) -> tuple[Array, Array]:
    return (
        x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1.0) + 0.03 * np.sin(3.3 * x - 2.5),
        y - 0.4 * np.sin(0.4 * y) + 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5),
    )


def _swissroll(x: Array, y: Array) -> tuple[Array, Array]:
    t = 1.5 * np.pi * (1.0 + 2.0 * x[:, 0])
    return np.column_stack([t * np.cos(t), t * np.sin(t)]) / 21.0, y


def _spiral(x: Array, y: Array) -> tuple[Array, Array]:
    return _rotated(x, 0, 1), _rotated(y, 1, 2)


def _rotated(z: Array, i: int, j: int) -> Array:
    angle = (z**2).sum(1) / z.shape[1]
    turned = z.copy()
    turned[:, i] = z[:, i] * np.cos(angle) - z[:, j] * np.sin(angle)
    turned[:, j] = z[:, i] * np.sin(angle) + z[:, j] * np.cos(angle)
    return turned


TRANSFORMS = {
    "normal_cdf": lambda x, y: (ndtr(x), ndtr(y)),
    "half_cube": lambda x, y: (x * np.sqrt(np.abs(x)), y * np.sqrt(np.abs(y))),
    "asinh": lambda x, y: (np.arcsinh(x), np.arcsinh(y)),
    "wiggly": _wiggly,
    "swissroll_x": _swissroll,
    "spiral": _spiral,
}
