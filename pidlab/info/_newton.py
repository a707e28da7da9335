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
SMALL = 1e7  # batch times the cube of the matrix size up to which eliminating alpha saves nothing


class NewtonSystem:
    r"""The linear system of one interior point step, factored once, solved twice.

    With pi(y|i,j) = softmax_y(alpha(i,y) + beta(j,y)), q = w pi and slack t, the steps obey

        sum_j dq = p1 - sum_j q,  sum_i dq = p2 - sum_i q,  <pi, dalpha + dbeta> + dt = -t d,
        dw / w + dt / t = c - 1,

    dq = pi dw + q (dalpha + dbeta - <pi, dalpha + dbeta>). Elimination of dt and dw leaves a positive
    semidefinite matrix in (dalpha, dbeta) whose diagonal blocks couple nothing but the y of one symbol, so
    that dalpha goes too, by n1 small Cholesky factors. As alpha + c(y), beta - c(y) are one point, beta is
    left alone at the first symbol of X2, and a matrix of size (n2 - 1) ny remains.

    Args:
        pi: conditional law of y for each pair of symbols.
        q: w pi.
        t: slack of each pair, positive.
        p: p1 above p2.
        diagonal: q summed over j above q summed over i, and 1 on cells without mass. In the second, more on
            one cell of each y at which the first symbol of X2 has no mass.
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
        self.pi, self.q = pi, q
        self.p1, self.held, self.p2 = p[:n1], torch.zeros_like(p[:1]), p[n1 + 1 :]
        weighted = (q / t).sub_(q).transpose(1, 2)
        # Each symbol i has rows [block of alpha | coupling to beta | room for 1], reduced together.
        rows = pi.new_empty(n1, ny, n2 * ny + ny, b)
        products = rows[:, :, : n2 * ny].view(n1, ny, n2, ny, b)
        torch.mul(weighted.unsqueeze(3), pi.unsqueeze(1), out=products)
        alpha, across = products[:, :, 0], products[:, :, 1:]
        alpha += across.sum(2)
        alpha.diagonal(dim1=1, dim2=2).add_(diagonal[:n1].mT).mul_(1.0 + ridge)
        beta = across.sum(0)  # (y, n2 - 1, y, b)
        beta.diagonal(dim1=0, dim2=2).add_(diagonal[n1 + 1 :].mT).mul_(1.0 + ridge)
        across.diagonal(dim1=1, dim2=3).add_(q[:, 1:].mT)
        whole = b < LARGE * ny and b * ((n1 + n2) * ny) ** 3 < SMALL
        self.substitute = _factored(alpha, across, beta) if whole else _eliminated(rows, beta)

    def solve(
        self, push: Float[Tensor, "n1 n2 1 b"]
    ) -> tuple[Float[Tensor, "cells ny b"], Float[Tensor, "n1 n2 1 b"]]:
        """The steps of alpha above beta, and <pi, dalpha + dbeta>; not finite where a factor does not exist.

        Args:
            push: c + d.
        """
        pushed = self.q * push
        dalpha, dbeta = self.substitute(self.p1 - pushed.sum(1), self.p2 - pushed[:, 1:].sum(0))
        n1 = len(dalpha)
        climb = torch.cat((dalpha, self.held, dbeta))
        return climb, (self.pi * (climb[:n1].unsqueeze(1) + climb[n1:])).sum(2, keepdim=True)


def _factored(
    alpha: Float[Tensor, "n1 ny ny b"],
    across: Float[Tensor, "n1 ny m2 ny b"],
    beta: Float[Tensor, "ny m2 ny b"],
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Solves the matrix as a whole: the way of the fewest operations, for which a small problem pays most."""
    n1, ny, m2, _, b = across.shape
    cells = n1 + m2
    matrix = alpha.new_zeros(cells, ny, cells, ny, b)
    blocks = matrix.diagonal(dim1=0, dim2=2)
    blocks[..., :n1] = alpha.permute(1, 2, 3, 0)
    blocks[..., n1:] = beta.permute(0, 2, 3, 1)
    matrix[n1:, :, :n1] = across.permute(2, 3, 0, 1, 4)  # Cholesky reads no more than the lower half
    solve = _solver(matrix.view(cells * ny, cells * ny, b).permute(2, 0, 1))

    def substitute(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        climb = solve(torch.cat((left, right)).flatten(0, 1)).view(cells, ny, b)
        return climb[:n1], climb[n1:]

    return substitute


def _eliminated(
    rows: Float[Tensor, "n1 ny width b"], beta: Float[Tensor, "ny m2 ny b"]
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Solves for beta first, with alpha eliminated symbol by symbol."""
    ny, m2, _, b = beta.shape
    coupling, inverse = _reduced(rows).split((m2 * ny, ny), 2)
    joined = coupling.flatten(0, 1).permute(2, 0, 1).contiguous()
    schur = torch.baddbmm(beta.new_empty(()), joined.mT, joined, beta=0.0, alpha=-1.0)
    schur.view(b, m2, ny, m2, ny).diagonal(dim1=1, dim2=3).add_(beta.permute(3, 0, 2, 1))
    solve = _solver(schur)

    def substitute(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        left = (inverse * left.unsqueeze(1)).sum(2, keepdim=True)
        free = solve(right.flatten(0, 1).sub_((coupling * left).sum((0, 1))))
        left -= (coupling * free).sum(2, keepdim=True)
        return (inverse * left).sum(1), free.view(m2, ny, b)

    return substitute


def _solver(matrices: Float[Tensor, "b n n"]) -> Callable[[Tensor], Tensor]:
    """Solves for right-hand sides of shape (n, b), by LAPACK or with the batch innermost."""
    b, n, _ = matrices.shape
    if b < LARGE * n:
        factor = torch.linalg.cholesky_ex(matrices).L
        # Less is copied than by `cholesky_solve`.
        lower, upper = partial(solve_triangular, factor, upper=False), partial(solve_triangular, factor.mT, upper=True)
        return lambda right: upper(lower(right.T.unsqueeze(2))).squeeze(2).T
    rows = matrices.new_empty(1, n, 2 * n, b)
    rows[0, :, :n] = matrices.permute(1, 2, 0)
    root = _reduced(rows)[0]
    return lambda right: (root * (root * right).sum(1)[:, None]).sum(0)


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
