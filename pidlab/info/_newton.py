"""The Newton system of the BROJA dual, with its block structure put to use.

The batch is the last axis here, in `_interior_point` and in `_certificate`: arrays of a few symbols are then
worked on in long contiguous runs, several times faster than matrix by matrix.
"""

import torch
from jaxtyping import Float

Tensor = torch.Tensor


class NewtonSystem:
    r"""The linear system of one interior point step, factored once, solved twice.

    With pi(y|i,j) = softmax_y(alpha(i,y) + beta(j,y)), q = w pi and slack t, the steps obey

        sum_j dq = r1,  sum_i dq = r2,  <pi, dalpha + dbeta> + dt = rp,  w dt + t dw = rc,

    dq = pi dw + q (dalpha + dbeta - <pi, dalpha + dbeta>). Elimination of dt and dw leaves a positive
    semidefinite matrix in (dalpha, dbeta) whose diagonal blocks couple nothing but the y of one symbol, so
    that dalpha goes too, by n1 small Cholesky factors, and a matrix of size n2 ny remains.

    Args:
        pi: conditional law of y for each pair of symbols.
        w: multiplier of each pair, 0 where the pair cannot occur.
        t: slack of each pair, positive.
        anchor1: added to alpha's diagonal: 1 on cells without mass.
        anchor2: the same for beta, and positive on one cell per y: alpha + c(y), beta - c(y) are one point.
        ridge: relative increase of the diagonal.
    """

    def __init__(
        self,
        pi: Float[Tensor, "n1 n2 ny b"],
        w: Float[Tensor, "n1 n2 b"],
        t: Float[Tensor, "n1 n2 b"],
        anchor1: Float[Tensor, "n1 ny b"],
        anchor2: Float[Tensor, "n2 ny b"],
        ridge: float,
    ):
        n1, n2, ny, b = pi.shape
        self.pi, self.t, self.ratio = pi, t, w / t
        q = w[:, :, None] * pi
        weighted = ((self.ratio - w)[:, :, None] * pi).transpose(1, 2)
        # Each symbol i has rows [block of alpha | coupling to beta | identity], reduced together.
        rows = pi.new_empty(n1, ny, ny + n2 * ny + ny, b)
        alpha, across, identity = rows.split((ny, n2 * ny, ny), 2)
        across = across.view(n1, ny, n2, ny, b)
        torch.mul(weighted[:, :, :, None], pi[:, None], out=across)
        torch.sum(across, 2, out=alpha)
        alpha.diagonal(dim1=1, dim2=2).add_((q.sum(1) + anchor1).mT).mul_(1.0 + ridge)
        beta = across.sum(0)  # (y, n2, y, b)
        beta.diagonal(dim1=0, dim2=2).add_((q.sum(0) + anchor2).mT).mul_(1.0 + ridge)
        across.diagonal(dim1=1, dim2=3).add_(q.mT)
        identity.zero_().diagonal(dim1=1, dim2=2).fill_(1.0)
        self.coupling, self.inverse = _reduced(rows).split((n2 * ny, ny), 2)

        coupling = self.coupling.flatten(0, 1).permute(2, 0, 1).contiguous()
        schur = (coupling.mT @ coupling).neg_()
        schur.view(b, n2, ny, n2, ny).diagonal(dim1=1, dim2=3).add_(beta.permute(3, 0, 2, 1))
        self.factor = torch.linalg.cholesky_ex(schur).L

    def solve(
        self,
        r1: Float[Tensor, "n1 ny b"],
        r2: Float[Tensor, "n2 ny b"],
        rp: Float[Tensor, "n1 n2 b"],
        rc: Float[Tensor, "n1 n2 b"],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The steps (dalpha, dbeta, dw, dt); not finite where a factor does not exist."""
        pull = rc / self.t - self.ratio * rp
        pulled = pull[:, :, None] * self.pi
        left = (self.inverse * (r1 - pulled.sum(1))[:, None]).sum(2)
        right = (r2 - pulled.sum(0)).flatten(0, 1) - (self.coupling * left[:, :, None]).sum((0, 1))
        dbeta = torch.cholesky_solve(right.T[..., None], self.factor)[..., 0].T.contiguous()
        left = left - (self.coupling * dbeta).sum(2)
        dalpha = (self.inverse * left[:, :, None]).sum(1)
        dbeta = dbeta.view(r2.shape)
        rise = (self.pi * (dalpha[:, None] + dbeta)).sum(2)
        return dalpha, dbeta, self.ratio * rise + pull, rp - rise


def _reduced(rows: Float[Tensor, "n1 ny width b"]) -> Float[Tensor, "n1 ny rest b"]:
    """L^-1 C for rows [L L^T | C]: by LAPACK, or for a large batch with the batch innermost."""
    ny, b = rows.shape[1], rows.shape[-1]
    if b < 32:
        matrices = rows.permute(3, 0, 1, 2)
        factor = torch.linalg.cholesky_ex(matrices[..., :ny]).L
        return torch.linalg.solve_triangular(factor, matrices[..., ny:], upper=False).permute(1, 2, 3, 0)
    for k in range(ny):
        row = rows[:, k]
        row[:, k:] /= row[:, k : k + 1].sqrt()
        rows[:, k + 1 :, k + 1 :].addcmul_(row[:, k + 1 : ny, None], row[:, None, k + 1 :], value=-1.0)
    return rows[:, :, ny:]
