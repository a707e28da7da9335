"""The Newton system of the BROJA dual, with its block structure put to use."""

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
        pi: Float[Tensor, "b n1 n2 ny"],
        w: Float[Tensor, "b n1 n2"],
        t: Float[Tensor, "b n1 n2"],
        anchor1: Float[Tensor, "b n1 ny"],
        anchor2: Float[Tensor, "b n2 ny"],
        ridge: float,
    ):
        b, n1, n2, ny = pi.shape
        self.pi, self.t, self.ratio = pi, t, w / t
        q = w[..., None] * pi
        self.q1, self.q2 = q.sum(2), q.sum(1)
        weighted = (self.ratio - w)[..., None] * pi
        across = weighted.mT.contiguous()[..., None] * pi[:, :, None]
        across.diagonal(dim1=2, dim2=4).add_(q)  # (b, n1, ny, n2, ny)
        alpha = weighted.mT @ pi
        alpha.diagonal(dim1=-2, dim2=-1).add_(self.q1 + anchor1).mul_(1.0 + ridge)
        beta = weighted.transpose(1, 2).mT @ pi.transpose(1, 2)
        beta.diagonal(dim1=-2, dim2=-1).add_(self.q2 + anchor2).mul_(1.0 + ridge)

        self.alpha_factor = torch.linalg.cholesky_ex(alpha).L
        across = across.view(b, n1, ny, n2 * ny)
        self.coupling = torch.linalg.solve_triangular(self.alpha_factor, across, upper=False).reshape(
            b, n1 * ny, -1
        )
        schur = (self.coupling.mT @ self.coupling).neg_()
        schur.view(b, n2, ny, n2, ny).diagonal(dim1=1, dim2=3).add_(beta.permute(0, 2, 3, 1))
        self.beta_factor = torch.linalg.cholesky_ex(schur).L

    def solve(
        self,
        r1: Float[Tensor, "b n1 ny"],
        r2: Float[Tensor, "b n2 ny"],
        rp: Float[Tensor, "b n1 n2"],
        rc: Float[Tensor, "b n1 n2"],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The steps (dalpha, dbeta, dw, dt); not finite where a factor does not exist."""
        b, n1, ny = r1.shape
        pull = rc / self.t - self.ratio * rp
        pulled = pull[..., None] * self.pi
        left = torch.linalg.solve_triangular(self.alpha_factor, (r1 - pulled.sum(2))[..., None], upper=False)
        left = left.view(b, n1 * ny, 1)
        right = (r2 - pulled.sum(1)).reshape(b, -1, 1) - self.coupling.mT @ left
        dbeta = torch.cholesky_solve(right, self.beta_factor)
        left = (left - self.coupling @ dbeta).view(b, n1, ny, 1)
        dalpha = torch.linalg.solve_triangular(self.alpha_factor.mT, left, upper=True)[..., 0]
        dbeta = dbeta.view(r2.shape)
        rise = (self.pi * (dalpha[:, :, None] + dbeta[:, None])).sum(-1)
        return dalpha, dbeta, self.ratio * rise + pull, rp - rise
