"""Entropies and mutual informations of finite distributions, in bits."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import entr


def entropy(pmf: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "..."]:
    """Shannon entropy -sum p log2 p over the last axis, in bits; zero cells count nothing."""
    return np.asarray(entr(np.asarray(pmf, dtype=np.float64)).sum(-1) / np.log(2.0))


def mutual_information(pmf: Float[np.ndarray, "... a b"]) -> Float[np.ndarray, "..."]:
    """I(A;B) = H(A) + H(B) - H(A,B) of joint pmfs over the last two axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, a, b = pmf.shape
    joint = entropy(pmf.reshape(*batch, a * b))
    return np.asarray(entropy(pmf.sum(-1)) + entropy(pmf.sum(-2)) - joint)


def conditional_mutual_information(pmf: Float[np.ndarray, "... a b c"]) -> Float[np.ndarray, "..."]:
    """I(A;C|B) = I(A,B;C) - I(B;C) of joint pmfs over the last three axes, in bits.

    Of a pmf (..., n1, n2, ny) this is I(X1;Y|X2), unique1 + synergy of every decomposition.
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    return np.asarray(joint_information(pmf) - mutual_information(pmf.sum(-3)))


def joint_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """I(X1,X2;Y) of pmfs over the last three axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    *batch, n1, n2, ny = pmf.shape
    return mutual_information(pmf.reshape(*batch, n1 * n2, ny))


def source_informations(
    pmf: Float[np.ndarray, "... n1 n2 ny"],
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """I(X1;Y) and I(X2;Y) of pmfs over the last three axes, in bits."""
    pmf = np.asarray(pmf, dtype=np.float64)
    return mutual_information(pmf.sum(-2)), mutual_information(pmf.sum(-3))


def co_information(pmf: Float[np.ndarray, "... n1 n2 ny"]) -> Float[np.ndarray, "..."]:
    """I(X1;Y) + I(X2;Y) - I(X1,X2;Y) over the last three axes, in bits; redundant - synergy.

    Symmetric in the three variables; -1 for an XOR (McGill 1954).
    """
    first, second = source_informations(pmf)
    return np.asarray(first + second - joint_information(pmf))


def binary_entropy(p: float) -> float:
    """h(p) = -p log2 p - (1-p) log2(1-p), in bits."""
    return float(entropy(np.array([p, 1.0 - p])))


@lru_cache(maxsize=65536)  # the points of a sweep share theirs
def inverse_binary_entropy(bits: float) -> float:
    """The p in [0, 1/2] with h(p) = `bits`.

    Raises:
        ValueError: `bits` is not in [0, 1].
    """
    if not 0.0 <= bits <= 1.0:
        raise ValueError(f"a binary entropy lies in [0, 1] bits, got {bits}")
    if bits in (0.0, 1.0):
        return bits / 2.0
    return float(brentq(lambda p: binary_entropy(p) - bits, 0.0, 0.5, xtol=1e-300, rtol=1e-15, maxiter=5000))
