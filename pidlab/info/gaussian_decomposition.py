"""Decompositions of jointly Gaussian variables and of a quantized Gaussian target, in bits."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import entr, ndtr, ndtri
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest

TOLERANCE = 1e-7  # bits
SINGULAR = 1e-12  # smallest eigenvalue of a correlation matrix that counts as positive
ACCURACY = 1e-9  # bits, of the quadrature
FAR = 10.0  # standard deviations; the mass beyond is below 1e-22
EPSILON = torch.finfo(torch.float64).eps
ROUNDING = 64 * EPSILON


def gaussian(
    covariance: Float[np.ndarray, "d d"] | Float[Tensor, "d d"],
    dims: Sequence[int],
    tolerance: float = TOLERANCE,
) -> Decomposition:
    r"""Compute the BROJA decomposition of zero-mean jointly Gaussian (Y, X1, X2), over Gaussian couplings.

    After whitening, X_i = H_i Y + N_i with Y and each N_i standard normal. The pairs (X_i, Y) leave only the
    coupling C = E[N1 N2^T] free, whose spectral norm is at most 1:

        Union = min_C 1/2 log2 det(I + H2^T H2 + B^T (I - C C^T)^-1 B),   B = H1 - C H2.

    The program is convex. For a scalar Y the minimum is max(I1, I2), so redundant = min(I1, I2), and no
    non-Gaussian coupling is better. For a vector Y a barrier method finds C to within ``tolerance``. By
    convexity, with G the gradient at C, no coupling lies below the value at C by more than
    <G, C> + |G|_nuclear; this is the ``gap``. It bounds the distance from the best *Gaussian* coupling. Other
    couplings may lie lower, so for a vector Y the union is an upper bound on BROJA's.

    Args:
        covariance: Covariance of (Y, X1, X2), in this order, positive definite, shape (d, d).
        dims: Dimensions (dy, d1, d2) of Y, X1 and X2, with d = dy + d1 + d2.
        tolerance: Gap to reach for a vector Y, in bits.

    Returns:
        The terms in bits, with ``how`` ``"closed form"`` for a scalar Y and ``"solver"`` otherwise.

    Raises:
        InvalidRequest: If the shapes do not fit, or the covariance is not symmetric, finite and positive
            definite.

    Example:
        >>> covariance = np.array([[1.0, 0.6, 0.8], [0.6, 1.0, 0.48], [0.8, 0.48, 1.0]])
        >>> found = gaussian(covariance, (1, 1, 1))
        >>> round(found.redundant, 4), round(found.unique2, 4)
        (0.3219, 0.415)

    Source:
        Barrett, Exploration of synergistic and redundant information sharing in static and dynamical
        Gaussian systems, Physical Review E 91 (2015), for a scalar Y. Venkatesh et al., Gaussian partial
        information decomposition: bias correction and application to high-dimensional data, NeurIPS 2023,
        for the program over couplings.
    """
    correlation, least = _checked(covariance, dims)
    channel1, channel2, coupling = _whitened(correlation, *dims)
    single1, single2 = _information(channel1), _information(channel2)
    joint = _union(channel1, channel2)(coupling).item() / math.log(2.0)
    if dims[0] == 1:
        union, how, gap = max(single1, single2), "closed form", 0.0
    else:
        union, gap = _least_union(channel1, channel2, tolerance)
        ceiling = min(joint, single1 + single2)
        lower = max(union - gap, single1, single2)
        union = max(min(union, ceiling), single1, single2)
        how, gap = "solver", max(union - lower, 0.0) + ROUNDING * (1.0 + union)
    # The smallest eigenvalue has an error of one rounding, and its logarithm that error divided by it.
    gap += sum(dims) * EPSILON / (least * math.log(2.0))
    return Decomposition(
        single1 + single2 - union, union - single2, union - single1, joint - union, how=how, gap=gap
    )


def _checked(covariance: np.ndarray | Tensor, dims: Sequence[int]) -> tuple[Float[Tensor, "d d"], float]:
    """Return the correlation matrix and its smallest eigenvalue."""
    s = covariance.detach() if isinstance(covariance, Tensor) else torch.as_tensor(np.asarray(covariance))
    s = s.to(device="cpu", dtype=torch.float64)
    if len(dims) != 3 or min(dims) < 1:
        raise InvalidRequest(f"dims {tuple(dims)}: expected three positive dimensions (dy, d1, d2)")
    if s.shape != (sum(dims), sum(dims)):
        raise InvalidRequest(
            f"covariance of shape {tuple(s.shape)}: dims {tuple(dims)} need shape {(sum(dims), sum(dims))}"
        )
    if not torch.isfinite(s).all():
        raise InvalidRequest("covariance: holds NaN or infinity; expected finite numbers")
    scale = s.diagonal().clamp_min(0.0).sqrt()
    if (scale == 0).any():
        raise InvalidRequest(
            f"covariance: the smallest variance is {s.diagonal().min().item():g}; variances must be positive"
        )
    correlation = s / scale / scale[:, None]
    if (correlation - correlation.mT).abs().max() > 1e-9:
        raise InvalidRequest("covariance: not symmetric; entries above and below the diagonal differ")
    least = torch.linalg.eigvalsh(correlation)[0].item()
    if least < SINGULAR:
        raise InvalidRequest(
            f"covariance: not positive definite; the smallest eigenvalue of the correlations is {least:.3g}"
        )
    return (correlation + correlation.mT) / 2.0, least  # information is invariant to scale


def _whitened(s: Float[Tensor, "d d"], dy: int, d1: int, d2: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return H1, H2 and the coupling C of the covariance itself."""
    root = torch.linalg.cholesky(s[:dy, :dy])
    across = torch.linalg.solve_triangular(root, s[:dy, dy:], upper=False)  # E[Y X^T], Y white
    noise = s[dy:, dy:] - across.mT @ across
    roots = torch.block_diag(torch.linalg.cholesky(noise[:d1, :d1]), torch.linalg.cholesky(noise[d1:, d1:]))
    channel = torch.linalg.solve_triangular(roots, across.mT, upper=False)
    half = torch.linalg.solve_triangular(roots, noise, upper=False)
    coupling = torch.linalg.solve_triangular(roots, half.mT, upper=False)[:d1, d1:]
    return channel[:d1], channel[d1:], coupling


def _information(channel: Float[Tensor, "d dy"]) -> float:
    """Compute I(X;Y) = 1/2 log2 det(I + H^T H), in bits."""
    return torch.linalg.svdvals(channel).square().log1p().sum().item() / (2.0 * math.log(2.0))


def _union(channel1: Float[Tensor, "d1 dy"], channel2: Float[Tensor, "d2 dy"]) -> Callable[[Tensor], Tensor]:
    """Return I(X1,X2;Y) in nats as a function of the coupling C of shape (d1, d2)."""
    one = torch.eye(channel1.shape[1], dtype=channel1.dtype)
    base = one + channel2.mT @ channel2

    def information(coupling: Float[Tensor, "d1 d2"]) -> Float[Tensor, ""]:
        fresh = torch.linalg.cholesky_ex(_remainder(coupling)).L
        extra = torch.linalg.solve_triangular(fresh, channel1 - coupling @ channel2, upper=False)
        return torch.linalg.cholesky_ex(base + extra.mT @ extra).L.diagonal().log().sum()

    return information


def _remainder(coupling: Float[Tensor, "d1 d2"]) -> Float[Tensor, "d1 d1"]:
    """Compute I - C C^T."""
    return torch.eye(len(coupling), dtype=coupling.dtype) - coupling @ coupling.mT


def _least_union(channel1: Tensor, channel2: Tensor, tolerance: float) -> tuple[float, float]:
    """Minimize the union over couplings with a log-det barrier; return it and its certified gap, in bits."""
    information = _union(channel1, channel2)
    coupling = channel1.new_zeros(len(channel1), len(channel2))
    best, gap = math.inf, math.inf
    target = tolerance * math.log(2.0)
    mu = 1.0
    # At the minimum of the barrier problem the gap is at most mu min(d1, d2).
    while gap > target and mu * min(coupling.shape) > 0.1 * target:
        coupling = _barrier_minimum(information, coupling, mu)
        value, slope = torch.func.grad_and_value(information)(coupling)[::-1]
        width = (slope * coupling).sum() + torch.linalg.svdvals(slope).sum()
        if width.item() < gap:
            best, gap = value.item(), width.item()
        mu *= 0.2
    return best / math.log(2.0), gap / math.log(2.0)


def _barrier_minimum(
    information: Callable[[Tensor], Tensor], start: Tensor, mu: float
) -> Float[Tensor, "d1 d2"]:
    """Minimize information - mu log det(I - C C^T) by damped Newton steps."""

    def objective(flat: Float[Tensor, "n"]) -> Float[Tensor, ""]:
        c = flat.view(start.shape)
        return information(c) - 2.0 * mu * torch.linalg.cholesky_ex(_remainder(c)).L.diagonal().log().sum()

    def inside(flat: Float[Tensor, "n"]) -> bool:
        return torch.linalg.matrix_norm(flat.view(start.shape), 2).item() < 1.0

    slope_at = torch.func.grad(objective)
    # Reverse mode twice: forward mode would need deprecated parts of torch for batching.
    curvature_at = torch.func.jacrev(slope_at)
    x, before = start.flatten(), math.inf
    for _ in range(50):
        slope, value = slope_at(x), objective(x)
        step = torch.linalg.solve(curvature_at(x), -slope)
        decrement = -(slope @ step).item()
        # The gap is of first order in the slope and the decrement of second order, hence mu squared.
        if not decrement > 0.01 * mu * mu:
            break
        size = 1.0
        if decrement > 1e-11:
            while size > 1e-10 and not (
                inside(x + size * step) and objective(x + size * step) <= value - 0.1 * size * decrement
            ):
                size *= 0.5
        elif decrement >= before or not inside(x + step):
            break  # the rounding of the objective hides any further progress
        x, before = x + size * step, decrement
    return x.view(start.shape)


def equal_edges(classes: int) -> Float[np.ndarray, " edges"]:
    """Return the inner edges that cut a standard normal into bins of equal mass.

    Args:
        classes: Number of bins.

    Returns:
        The edges in ascending order, shape (classes - 1,).

    Example:
        >>> equal_edges(2).tolist()
        [0.0]
    """
    return ndtri(np.arange(1, classes) / classes)


def bin_probabilities(
    mean: Float[np.ndarray, "*n"], sd: float, edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, "*n bins"]:
    """Compute the probability of each bin between ``edges`` under N(mean, sd^2).

    Args:
        mean: Means, any shape.
        sd: Standard deviation.
        edges: Inner edges in ascending order, shape (bins - 1,).

    Returns:
        Probabilities, shape (*mean.shape, bins).
    """
    below = ndtr((edges - np.asarray(mean)[..., None]) / sd)
    ends = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([ends, below, ends + 1.0], axis=-1), axis=-1)


@lru_cache(maxsize=4096)
def quantized_information(r2: float, classes: int) -> float:
    """Compute I(T;Y), Y the equal-mass bin of Z and (T, Z) standard normal with squared correlation ``r2``.

    I = log2 k - E_T H(bin of N(r T, 1 - r^2)), by quadrature to 1e-9 bits. For two bins this is
    1 - E h(Phi(T r / sqrt(1 - r^2))).

    Args:
        r2: Squared correlation of T and Z; for a vector T the explained share of Z's variance.
        classes: Number of bins k.

    Returns:
        The information in bits.

    Example:
        >>> round(quantized_information(0.5, 2), 4)
        0.2787
    """
    if r2 <= 0.0 or classes == 1:
        return 0.0
    if r2 >= 1.0:
        return float(np.log2(classes))
    edges, r, sd = equal_edges(classes), np.sqrt(r2), np.sqrt(1.0 - r2)

    def uncertainty(t: float) -> float:
        bins = bin_probabilities(np.asarray(r * t), sd, edges)
        return float(entr(bins).sum() * np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi))

    # The integrand peaks where r T meets an edge, in a spike of width sd / r: each peak gets break points.
    turns = {float(np.clip(edge / r + k * sd / r, -FAR, FAR)) for edge in edges for k in (-8, 0, 8)}
    points = sorted({-FAR, FAR, 0.0} | turns)
    pieces = [
        quad(uncertainty, a, b, epsabs=ACCURACY / len(points), limit=200)[0] for a, b in pairwise(points)
    ]
    return float(np.log2(classes) - sum(pieces) / np.log(2.0))


def quantized_decomposition(r2_1: float, r2_2: float, r2_12: float, classes: int) -> Decomposition:
    """Compute the BROJA decomposition of Y, the equal-mass bin of Z, for Gaussian sources.

    Each source informs about Z like a single normal variable, and the source that explains less has the law
    of a degraded copy of the other. BROJA depends on the pairs (X_i, Y) alone, so the weaker source's
    unique information is 0 (Blackwell order; Bertschinger et al. 2014): redundant = min(I1, I2) and
    synergy = I12 - max(I1, I2) for every dependence between the sources.

    Args:
        r2_1: Share of Z's variance that X1 explains.
        r2_2: Share of Z's variance that X2 explains.
        r2_12: Share of Z's variance that both explain together.
        classes: Number of bins.

    Returns:
        The terms in bits.

    Example:
        >>> quantized_decomposition(1.0, 0.0, 1.0, 2).unique1
        1.0
    """
    one, two, both = (quantized_information(r2, classes) for r2 in (r2_1, r2_2, r2_12))
    weak, strong = min(one, two), max(one, two)
    exact = all(r2 in (0.0, 1.0) for r2 in (r2_1, r2_2, r2_12))
    gap = 0.0 if exact else 2.0 * ACCURACY
    return Decomposition(weak, one - weak, two - weak, max(both - strong, 0.0), how="quadrature", gap=gap)
