"""The decomposition of jointly Gaussian variables, in bits."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest

TOLERANCE = 1e-7  # bits
SINGULAR = 1e-12  # least eigenvalue of a correlation matrix that counts as positive
EPSILON = torch.finfo(torch.float64).eps
ROUNDING = 64 * EPSILON


def gaussian(
    covariance: Float[np.ndarray, "d d"] | Float[Tensor, "d d"],
    dims: Sequence[int],
    tolerance: float = TOLERANCE,
) -> Decomposition:
    r"""The BROJA decomposition of zero-mean jointly Gaussian (Y, X1, X2), over Gaussian couplings.

    Whitened, X_i = H_i Y + N_i with Y and each N_i standard normal, and the pairs (X_i, Y) leave nothing
    free but the coupling C = E[N1 N2^T], whose spectral norm is at most 1:

        Union = min_C 1/2 log2 det(I + H2^T H2 + B^T (I - C C^T)^-1 B),   B = H1 - C H2,

    which is convex. For a scalar Y the least is max(I1, I2), so that redundant = min(I1, I2); no other
    coupling does better. For a vector Y a barrier method follows C to within `tolerance`. By convexity,
    with G the gradient at C, no coupling lies lower than the value at C by more than <G, C> + |G|_nuclear,
    and this is the `gap`. It bounds the distance from the best *Gaussian* coupling; other couplings may
    lie lower, so for a vector Y the union is an upper bound on BROJA's.

    Args:
        covariance: covariance of (Y, X1, X2), in this order, positive definite.
        dims: dimensions (dy, d1, d2) of Y, X1, X2.
        tolerance: gap to reach for a vector Y, in bits.

    Returns:
        Terms in bits, with `how` `"closed form"` for a scalar Y and `"solver"` otherwise.

    Raises:
        InvalidRequest: shapes that do not fit, or a covariance that is not symmetric, finite and positive
            definite.

    Source: A. B. Barrett, Exploration of synergistic and redundant information sharing in static and
    dynamical Gaussian systems, Physical Review E 91 (2015), for scalar Y; P. Venkatesh et al., Gaussian
    partial information decomposition: bias correction and application to high-dimensional data, NeurIPS
    2023, for the program over couplings.
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
    # An eigenvalue is known to about one rounding of the largest entry, which its logarithm feels in full.
    gap += sum(dims) * EPSILON / (least * math.log(2.0))
    return Decomposition(
        single1 + single2 - union, union - single2, union - single1, joint - union, how=how, gap=gap
    )


def _checked(covariance: np.ndarray | Tensor, dims: Sequence[int]) -> tuple[Float[Tensor, "d d"], float]:
    """The correlations, and their least eigenvalue."""
    s = covariance.detach() if isinstance(covariance, Tensor) else torch.as_tensor(np.asarray(covariance))
    s = s.to(device="cpu", dtype=torch.float64)
    if len(dims) != 3 or min(dims) < 1:
        raise InvalidRequest(f"dims are three positive dimensions (dy, d1, d2): got {tuple(dims)}")
    if s.shape != (sum(dims), sum(dims)):
        raise InvalidRequest(
            f"a covariance of dims {tuple(dims)} has shape {(sum(dims), sum(dims))}: got {tuple(s.shape)}"
        )
    if not torch.isfinite(s).all():
        raise InvalidRequest("a covariance holds finite numbers: got NaN or infinity")
    scale = s.diagonal().clamp_min(0.0).sqrt()
    if (scale == 0).any():
        raise InvalidRequest(f"variances are positive: the least is {s.diagonal().min().item():g}")
    correlation = s / scale / scale[:, None]
    if (correlation - correlation.mT).abs().max() > 1e-9:
        raise InvalidRequest("a covariance is symmetric: entries above and below the diagonal differ")
    least = torch.linalg.eigvalsh(correlation)[0].item()
    if least < SINGULAR:
        raise InvalidRequest(
            f"a covariance is positive definite: the correlations' least eigenvalue is {least:.3g}"
        )
    return (correlation + correlation.mT) / 2.0, least  # information knows no scale


def _whitened(s: Float[Tensor, "d d"], dy: int, d1: int, d2: int) -> tuple[Tensor, Tensor, Tensor]:
    """H1, H2 and the coupling of the noises that the covariance itself has."""
    root = torch.linalg.cholesky(s[:dy, :dy])
    across = torch.linalg.solve_triangular(root, s[:dy, dy:], upper=False)  # E[Y X^T], Y white
    noise = s[dy:, dy:] - across.mT @ across
    roots = torch.block_diag(torch.linalg.cholesky(noise[:d1, :d1]), torch.linalg.cholesky(noise[d1:, d1:]))
    channel = torch.linalg.solve_triangular(roots, across.mT, upper=False)
    half = torch.linalg.solve_triangular(roots, noise, upper=False)
    coupling = torch.linalg.solve_triangular(roots, half.mT, upper=False)[:d1, d1:]
    return channel[:d1], channel[d1:], coupling


def _information(channel: Float[Tensor, "d dy"]) -> float:
    """I(X;Y) = 1/2 log2 det(I + H^T H), in bits."""
    return torch.linalg.svdvals(channel).square().log1p().sum().item() / (2.0 * math.log(2.0))


def _union(channel1: Float[Tensor, "d1 dy"], channel2: Float[Tensor, "d2 dy"]) -> Callable[[Tensor], Tensor]:
    """I(X1,X2;Y) in nats as a function of the coupling (d1, d2) of the noises."""
    one = torch.eye(channel1.shape[1], dtype=channel1.dtype)
    base = one + channel2.mT @ channel2

    def information(coupling: Float[Tensor, "d1 d2"]) -> Float[Tensor, ""]:
        fresh = torch.linalg.cholesky_ex(_remainder(coupling)).L
        extra = torch.linalg.solve_triangular(fresh, channel1 - coupling @ channel2, upper=False)
        return torch.linalg.cholesky_ex(base + extra.mT @ extra).L.diagonal().log().sum()

    return information


def _remainder(coupling: Float[Tensor, "d1 d2"]) -> Float[Tensor, "d1 d1"]:
    """I - C C^T."""
    return torch.eye(len(coupling), dtype=coupling.dtype) - coupling @ coupling.mT


def _least_union(channel1: Tensor, channel2: Tensor, tolerance: float) -> tuple[float, float]:
    """The least union over couplings and the gap certified, in bits, by a barrier -mu log det(I - C C^T)."""
    information = _union(channel1, channel2)
    coupling = channel1.new_zeros(len(channel1), len(channel2))
    best, gap = math.inf, math.inf
    target = tolerance * math.log(2.0)
    mu = 1.0
    # At the minimum of the barrier problem the gap is at most mu min(d1, d2).
    while gap > target and mu * min(coupling.shape) > 0.1 * target:
        coupling = _centred(information, coupling, mu)
        value, slope = torch.func.grad_and_value(information)(coupling)[::-1]
        width = (slope * coupling).sum() + torch.linalg.svdvals(slope).sum()
        if width.item() < gap:
            best, gap = value.item(), width.item()
        mu *= 0.2
    return best / math.log(2.0), gap / math.log(2.0)


def _centred(information: Callable[[Tensor], Tensor], start: Tensor, mu: float) -> Float[Tensor, "d1 d2"]:
    """Damped Newton on information - mu log det(I - C C^T)."""

    def objective(flat: Float[Tensor, "n"]) -> Float[Tensor, ""]:
        c = flat.view(start.shape)
        return information(c) - 2.0 * mu * torch.linalg.cholesky_ex(_remainder(c)).L.diagonal().log().sum()

    def inside(flat: Float[Tensor, "n"]) -> bool:
        return torch.linalg.matrix_norm(flat.view(start.shape), 2).item() < 1.0

    slope_at = torch.func.grad(objective)
    # Backwards twice: forward mode has no batching here without deprecated parts of torch.
    curvature_at = torch.func.jacrev(slope_at)
    x, before = start.flatten(), math.inf
    for _ in range(50):
        slope, value = slope_at(x), objective(x)
        step = torch.linalg.solve(curvature_at(x), -slope)
        decrement = -(slope @ step).item()
        # The gap is first order in the slope, the decrement second.
        if not decrement > 0.01 * mu * mu:
            break
        size = 1.0
        if decrement > 1e-11:
            while size > 1e-10 and not (
                inside(x + size * step) and objective(x + size * step) <= value - 0.1 * size * decrement
            ):
                size *= 0.5
        elif decrement >= before or not inside(x + step):
            break  # progress no longer shows above the objective's rounding
        x, before = x + size * step, decrement
    return x.view(start.shape)
