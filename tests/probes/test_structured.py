"""Structured probes: exact posteriors of ingredients give the exact posterior of the target."""

import numpy as np
import pytest
import torch

from pidlab.probes.structured import experts_posterior, pair_posterior


def noisy_symbols(law, n, seed, sd=0.8):
    """Return exact posteriors of noisy symbols, that of the label, and labels drawn from a law."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.as_tensor(law).flatten()
    cell = torch.multinomial(flat, n, replacement=True, generator=generator)
    a, b, y = np.unravel_index(cell.numpy(), law.shape)
    observed, posteriors, densities = [], [], []
    for m, symbol in enumerate((a, b)):
        z = torch.as_tensor(symbol) + sd * torch.randn(n, generator=generator)
        prior = torch.as_tensor(law.sum((2, 1 - m)))
        log = -((z - torch.arange(len(prior))[:, None]) ** 2) / (2 * sd**2)
        densities.append(log.exp())
        posteriors.append(torch.log_softmax(prior.log()[:, None] + log, 0)[None].float())
        observed.append(z)
    joint = torch.einsum("an,aby,bn->yn", densities[0].double(), torch.as_tensor(law), densities[1].double())
    return posteriors, (joint / joint.sum(0)).log(), torch.as_tensor(y)


@pytest.mark.parametrize("seed", range(3))
def test_exact_experts_give_the_exact_posterior(seed):
    law = np.random.default_rng(seed).dirichlet(np.ones(12)).reshape(2, 3, 2)
    (one, two), exact, _ = noisy_symbols(law, 500, seed)
    posterior = experts_posterior(one, two, torch.as_tensor(law).float()[None])[0]
    torch.testing.assert_close(posterior.double(), exact, atol=1e-4, rtol=1e-4)


def test_a_pair_softmax_of_independent_bits_is_their_xor():
    xor = np.zeros((2, 2, 2))
    for a in (0, 1):
        for b in (0, 1):
            xor[a, b, a ^ b] = 0.25
    (one, two), exact, _ = noisy_symbols(xor, 500, 0)
    pairs = (one[:, :, None] + two[:, None]).flatten(1, 2)
    posterior = pair_posterior(pairs, torch.as_tensor(xor).float()[None])[0]
    torch.testing.assert_close(posterior.double(), exact, atol=1e-4, rtol=1e-4)


def test_impossible_symbols_have_no_weight():
    law = torch.zeros(1, 3, 2, 2)
    law[0, 0, 0, 0] = law[0, 1, 1, 1] = 0.5  # the third symbol of the first modality never occurs
    q = torch.log_softmax(torch.randn(1, 3, 50, generator=torch.Generator().manual_seed(0)), 1)
    p = torch.log_softmax(torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(1)), 1)
    for posterior in (
        experts_posterior(q, p, law),
        pair_posterior((q[:, :, None] + p[:, None]).flatten(1, 2), law),
    ):
        assert posterior.isfinite().all()
    torch.testing.assert_close(experts_posterior(q, p, law).exp().sum(1), torch.ones(1, 50))
