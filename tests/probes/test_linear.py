"""The linear probe and its optimizer."""

import torch

from pidlab.probes.linear import fit_linear, lbfgs
from pidlab.probes.posteriors import log_posterior
from pidlab.probes.splits import Labels


def make_labels(y, prior):
    y = torch.as_tensor(y)[None, None]
    return Labels(("y",), torch.tensor(prior).log()[None, None], y, y, y)


def test_lbfgs_minimizes_many_badly_scaled_quadratics():
    generator = torch.Generator().manual_seed(0)
    scales = 10 ** (2 * torch.rand(3, 2, 6, generator=generator, dtype=torch.float64))
    goal = torch.randn(3, 2, 6, generator=generator, dtype=torch.float64)

    def objective(w):
        return (scales * (w - goal).square()).sum(-1) / 2, scales * (w - goal)

    solution = lbfgs(objective, torch.zeros_like(goal), 60, 6)
    torch.testing.assert_close(solution, goal, atol=1e-3, rtol=0)


def test_linear_probe_finds_the_optimum_of_its_loss():
    # Logistic regression: the gradient vanishes at the optimum.
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(1, 4000, 3, generator=generator)
    p = torch.sigmoid(2 * z[..., 0] - z[..., 1])
    y = (torch.rand(1, 4000, generator=generator) < p).long()
    labels = make_labels(y[0].tolist(), [0.5, 0.5])
    q = log_posterior(fit_linear(z, labels)(z), labels).exp()[0, 0, 1]
    gradient = ((q - y[0]) @ torch.cat([z[0], torch.ones(4000, 1)], dim=-1)) / 4000
    assert float(gradient.abs().max()) < 1e-3
