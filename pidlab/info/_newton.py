"""The Newton system of the BROJA dual, with its block structure put to use.

The batch is the last axis here, in `_interior_point` and in `_certificate`: arrays of a few symbols are then
worked on in long contiguous runs, several times faster than matrix by matrix.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch.linalg import solve_triangular

Tensor = torch.Tensor

LARGE = 8  # batch over matrix size from which on LAPACK, matrix by matrix, is the slower way
SMALL = 2e7  # batch times the cube of the matrix size up to which the elimination of alpha saves nothing


class NewtonSystem:
    r"""The linear system of one interior point step, factored once, solved twice.

    With pi(y|i,j) = softmax_y(alpha(i,y) + beta(j,y)), q = w pi and slack t, the steps obey

        sum_j dq = p1 - sum_j q,  sum_i dq = p2 - sum_i q,  <pi, dalpha + dbeta> + dt = -t d,
        dw / w + dt / t = c - 1  (d: the dual residual over t; c: w t as it should be over w t as it is),

    dq = pi dw + q (dalpha + dbeta - <pi, dalpha + dbeta>). Elimination of dt and dw leaves a positive
    semidefinite matrix in (dalpha, dbeta) whose diagonal blocks couple nothing but the y of one symbol, so
    that dalpha can go too, by n1 small Cholesky factors. As alpha + c(y), beta - c(y) are one point, beta is
    left alone at the last symbol of X2.

    Args:
        pi: conditional law of y for each pair of symbols.
        q: w pi.
        t: slack of each pair, positive.
        p: p1 above p2.
        diagonal: q summed over j above q summed over i, and 1 on cells without mass. In the second, more on
            one cell of each y at which the last symbol of X2 has no mass.
        ridge: relative increase of the diagonal.
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
        self.pi, self.q, self.p, self.alone = pi, q, p[:-1], p.new_zeros(1, ny, b)
        weighted = (q / t).sub_(q).transpose(1, 2)
        whole = b < LARGE * ny and b * ((n1 + n2) * ny) ** 3 < SMALL
        self.substitute = (_whole if whole else _eliminated)(weighted, pi, q, diagonal[:-1], ridge)

    def solve(
        self, push: Float[Tensor, "n1 n2 1 b"]
    ) -> tuple[Float[Tensor, "cells ny b"], Float[Tensor, "n1 n2 1 b"]]:
        """The steps of alpha above beta, and <pi, dalpha + dbeta>; not finite where a factor does not exist.

        Args:
            push: c + d.
        """
        pushed = self.q * push
        free = self.substitute(self.p - torch.cat((pushed.sum(1), pushed[:, :-1].sum(0))))
        climb = torch.cat((free, self.alone))
        n1 = len(push)
        return climb, (self.pi * (climb[:n1].unsqueeze(1) + climb[n1:])).sum(2, keepdim=True)


def _whole(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Solves with the matrix as it is: the fewest operations, which is what a small problem pays for."""
    n1 = len(pi)
    cells, ny, b = diagonal.shape
    matrix = pi.new_zeros(cells, ny, cells, ny, b)
    blocks = matrix.diagonal(dim1=0, dim2=2)
    products = weighted.unsqueeze(3) * pi.unsqueeze(1)  # (n1, y, n2, y, b)
    blocks[..., :n1] = products.sum(2).permute(1, 2, 3, 0)
    blocks[..., n1:] = products.sum(0)[:, :-1].permute(0, 2, 3, 1)
    products.diagonal(dim1=1, dim2=3).add_(q.mT)
    matrix[:n1, :, n1:] = products[:, :, :-1]  # Cholesky reads no more than the upper half
    matrix = matrix.view(cells * ny, cells * ny, b)
    matrix.diagonal().add_(diagonal.flatten(0, 1).T).mul_(1.0 + ridge)
    solve = _solver(matrix.permute(2, 0, 1))
    return lambda r: solve(r.flatten(0, 1)).view_as(r)


def _eliminated(
    weighted: Float[Tensor, "n1 ny n2 b"],
    pi: Float[Tensor, "n1 n2 ny b"],
    q: Float[Tensor, "n1 n2 ny b"],
    diagonal: Float[Tensor, "cells ny b"],
    ridge: float,
) -> Callable[[Tensor], Tensor]:
    """Eliminates alpha: a matrix of size (n2 - 1) ny remains."""
    n1, n2, ny, b = pi.shape
    # Each symbol i has rows [block of alpha | coupling to beta | room for 1], reduced together.
    rows = pi.new_empty(n1, ny, n2 * ny + ny, b)
    alpha, across = rows[:, :, :ny], rows[:, :, ny : n2 * ny].view(n1, ny, n2 - 1, ny, b)
    torch.mul(weighted[:, :, :-1].unsqueeze(3), pi[:, :-1].unsqueeze(1), out=across)
    torch.sum(across, 2, out=alpha).addcmul_(weighted[:, :, -1:], pi[:, -1:])
    alpha.diagonal(dim1=1, dim2=2).add_(diagonal[:n1].mT).mul_(1.0 + ridge)
    beta = across.sum(0)  # (y, n2 - 1, y, b)
    beta.diagonal(dim1=0, dim2=2).add_(diagonal[n1:].mT).mul_(1.0 + ridge)
    across.diagonal(dim1=1, dim2=3).add_(q[:, :-1].mT)
    coupling, inverse = _reduced(rows).split(((n2 - 1) * ny, ny), 2)

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
    """Solves for right-hand sides of shape (n, b), by LAPACK or batch innermost; reads the upper halves."""
    b, n, _ = matrices.shape
    if b < LARGE * n:
        factor = torch.linalg.cholesky_ex(matrices, upper=True).L
        if b == 1:
            return partial(_substituted, factor[0])
        return lambda right: _substituted(factor, right.T.unsqueeze(2)).squeeze(2).T
    rows = matrices.new_empty(1, n, 2 * n, b)
    rows[0, :, :n] = matrices.permute(1, 2, 0)
    root = _reduced(rows)[0]
    return lambda right: (root * (root * right).sum(1)[:, None]).sum(0)


def _substituted(factor: Float[Tensor, "*b n n"], right: Float[Tensor, "*b n 1"]) -> Float[Tensor, "*b n 1"]:
    """Solves with the upper factor of a matrix; less is copied than by `cholesky_solve`."""
    return solve_triangular(factor, solve_triangular(factor.mT, right, upper=False), upper=True)


def _reduced(rows: Float[Tensor, "m n width b"]) -> Float[Tensor, "m n rest b"]:
    """L^-1 [C | 1] for rows [L L^T | C | room for 1], by LAPACK or with the batch innermost."""
    n, width, b = rows.shape[1:]
    rows[:, :, width - n :].zero_().diagonal(dim1=1, dim2=2).fill_(1.0)
    if b < LARGE * n:
        matrices = rows.permute(3, 0, 1, 2)
        factor = torch.linalg.cholesky_ex(matrices[..., :n]).L
        return solve_triangular(factor, matrices[..., n:], upper=False).permute(1, 2, 3, 0)
    for k in range(n):
        end = width - n + k + 1  # the rest of L^-1 is 0 yet
        row = rows[:, k, k:end]
        row.mul_(row[:, :1].rsqrt())
        rows[:, k + 1 :, k + 1 : end].addcmul_(row[:, 1 : n - k, None], row[:, None, 1:], value=-1.0)
    return rows[:, :, n:]
