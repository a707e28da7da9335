"""Newton systems of the interior-point method, batched over problems."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import solve_triangular

# Ratio of batch size to matrix size above which the loop over rows, with the batch innermost, beats LAPACK.
LARGE = 8
# Batch size times matrix size cubed below which the elimination of alpha saves no time.
SMALL = 2e7


class NewtonSystem:
    r"""Linear system of one interior-point step, factored once and solved twice.

    With pi(y|i,j) = softmax_y(alpha(i,y) + beta(j,y)), q = w pi and slack t, the steps satisfy

        sum_j dq = p1 - sum_j q,  sum_i dq = p2 - sum_i q,  <pi, dalpha + dbeta> + dt = -t d,
        dw / w + dt / t = c - 1,  dq = pi dw + q (dalpha + dbeta - <pi, dalpha + dbeta>),

    where d is the dual residual over t and c the target value of w t over its present value. Elimination of
    dt and dw leaves a positive semidefinite matrix in (dalpha, dbeta). Its diagonal blocks couple only the y
    of one symbol, so dalpha can be eliminated too, by n1 small Cholesky factorizations. Since alpha + c(y),
    beta - c(y) is the same point for every c, beta is fixed at the last symbol of X2.

    Args:
        pi: Conditional law of y for each pair of symbols, shape (n1, n2, ny, b).
        q: w pi, shape (n1, n2, ny, b).
        t: Slack of each pair, positive, shape (n1, n2, 1, b).
        p: p1 above p2, shape (n1 + n2, ny, b).
        diagonal: q summed over j above q summed over i, with 1 added on cells without mass, shape
            (n1 + n2, ny, b). For each y without mass at the last symbol of X2, one cell of the second part
            has more added, which fixes c(y).
        ridge: Relative increase of the diagonal.
    """

    def __init__(
        self,
        pi: Float[Tensor, "n1 n2 ny b"],
        q: Float[Tensor, "n1 n2 ny b"],
        t: Float[Tensor, "n1 n2 1 b"],
        p: Float[Tensor, "cells ny b"],
        diagonal: Float[Tensor, "cells ny b"],
        ridge: float,
    ):
        n1, n2, ny, b = pi.shape
        self.pi, self.q, self.p, self.fixed = pi, q, p[:-1], p.new_zeros(1, ny, b)
        weighted = (q / t).sub_(q).transpose(1, 2)
        is_small = b < LARGE * ny and b * ((n1 + n2) * ny) ** 3 < SMALL
        factor = _factor_whole if is_small else _factor_reduced
        self.substitute = factor(weighted, pi, q, diagonal[:-1], ridge)

    def solve(
        self, push: Float[Tensor, "n1 n2 1 b"]
    ) -> tuple[Float[Tensor, "cells ny b"], Float[Tensor, "n1 n2 1 b"]]:
        """Compute the step of alpha above beta, and <pi, dalpha + dbeta>.

        Args:
            push: c + d, shape (n1, n2, 1, b).

        Returns:
            The step, shape (n1 + n2, ny, b), and its mean under pi, shape (n1, n2, 1, b). Both are not finite
            if the matrix is not positive definite.
        """
        pushed = self.q * push
        free = self.substitute(self.p - torch.cat((pushed.sum(1), pushed[:, :-1].sum(0))))
        step = torch.cat((free, self.fixed))
        n1 = len(push)
        return step, (self.pi * (step[:n1].unsqueeze(1) + step[n1:])).sum(2, keepdim=True)


def _factor_whole(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Factor the whole matrix; small problems pay per operation, and this takes the fewest."""
    n1 = len(pi)
    cells, ny, b = diagonal.shape
    matrix = pi.new_zeros(cells, ny, cells, ny, b)
    blocks = matrix.diagonal(dim1=0, dim2=2)
    products = weighted.unsqueeze(3) * pi.unsqueeze(1)  # (n1, y, n2, y, b)
    blocks[..., :n1] = products.sum(2).permute(1, 2, 3, 0)
    blocks[..., n1:] = products.sum(0)[:, :-1].permute(0, 2, 3, 1)
    products.diagonal(dim1=1, dim2=3).add_(q.mT)
    matrix[:n1, :, n1:] = products[:, :, :-1]  # Cholesky reads only the upper half
    matrix = matrix.view(cells * ny, cells * ny, b)
    matrix.diagonal().add_(diagonal.flatten(0, 1).T).mul_(1.0 + ridge)
    solve = _solver(matrix.permute(2, 0, 1))
    return lambda r: solve(r.flatten(0, 1)).view_as(r)


def _factor_reduced(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Eliminate alpha and factor the remaining matrix of size (n2 - 1) ny."""
    n1, n2, ny, b = pi.shape
    # Symbol i has rows [block of alpha | coupling to beta | room for the identity], reduced together.
    rows = pi.new_empty(n1, ny, n2 * ny + ny, b)
    alpha, across = rows[:, :, :ny], rows[:, :, ny : n2 * ny].view(n1, ny, n2 - 1, ny, b)
    torch.mul(weighted[:, :, :-1].unsqueeze(3), pi[:, :-1].unsqueeze(1), out=across)
    torch.sum(across, 2, out=alpha).addcmul_(weighted[:, :, -1:], pi[:, -1:])
    alpha.diagonal(dim1=1, dim2=2).add_(diagonal[:n1].mT).mul_(1.0 + ridge)
    beta = across.sum(0)  # (y, n2 - 1, y, b)
    beta.diagonal(dim1=0, dim2=2).add_(diagonal[n1:].mT).mul_(1.0 + ridge)
    across.diagonal(dim1=1, dim2=3).add_(q[:, :-1].mT)
    coupling, inverse = _reduce(rows).split(((n2 - 1) * ny, ny), 2)

    # Schur complement: the block of beta minus coupling^T coupling.
    joined = coupling.flatten(0, 1).permute(2, 0, 1).contiguous()
    schur = torch.baddbmm(pi.new_empty(()), joined.mT, joined, beta=0.0, alpha=-1.0)
    schur.view(b, n2 - 1, ny, n2 - 1, ny).diagonal(dim1=1, dim2=3).add_(beta.permute(3, 0, 2, 1))
    solve = _solver(schur)

    def substitute(r: Tensor) -> Tensor:
        left = (inverse * r[:n1].unsqueeze(1)).sum(2, keepdim=True)
        free = solve(r[n1:].flatten(0, 1) - (coupling * left).sum((0, 1)))
        left -= (coupling * free).sum(2, keepdim=True)
        return torch.cat(((inverse * left).sum(1), free.view(n2 - 1, ny, b)))

    return substitute


def _solver(matrices: Float[Tensor, "b n n"]) -> Callable[[Tensor], Tensor]:
    """Return a solver for right-hand sides of shape (n, b); only the upper halves are read."""
    b, n, _ = matrices.shape
    if b < LARGE * n:
        factor = torch.linalg.cholesky_ex(matrices, upper=True).L
        if b == 1:
            return partial(_substitute, factor[0])
        return lambda right: _substitute(factor, right.T.unsqueeze(2)).squeeze(2).T
    rows = matrices.new_empty(1, n, 2 * n, b)
    rows[0, :, :n] = matrices.permute(1, 2, 0)
    root = _reduce(rows)[0]
    return lambda right: (root * (root * right).sum(1)[:, None]).sum(0)


def _substitute(factor: Float[Tensor, "*b n n"], right: Float[Tensor, "*b n 1"]) -> Float[Tensor, "*b n 1"]:
    """Solve with the upper factor of a matrix; this copies less than `cholesky_solve`."""
    return solve_triangular(factor, solve_triangular(factor.mT, right, upper=False), upper=True)


def _reduce(rows: Float[Tensor, "m n width b"]) -> Float[Tensor, "m n rest b"]:
    """Compute L^-1 [C | 1] from rows [L L^T | C | room for 1], by LAPACK or with the batch innermost."""
    n, width, b = rows.shape[1:]
    rows[:, :, width - n :].zero_().diagonal(dim1=1, dim2=2).fill_(1.0)
    if b < LARGE * n:
        matrices = rows.permute(3, 0, 1, 2)
        factor = torch.linalg.cholesky_ex(matrices[..., :n]).L
        return solve_triangular(factor, matrices[..., n:], upper=False).permute(1, 2, 3, 0)
    for k in range(n):
        end = width - n + k + 1  # columns of L^-1 beyond this one are still 0
        row = rows[:, k, k:end]
        row.mul_(row[:, :1].rsqrt())
        rows[:, k + 1 :, k + 1 : end].addcmul_(row[:, 1 : n - k, None], row[:, None, 1:], value=-1.0)
    return rows[:, :, n:]
