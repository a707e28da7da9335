"""Estimators of the information of normal variables: closed forms, exact critics and trained ones."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from pidlab.seeds import temporary_seed, torch_generator
from pidlab.validation.estimators import CRITICS, Channel, NormalDensity, PairCritic, estimate

NCE, NCE_CLUB = CRITICS[PairCritic][1].values()


def mean_value(channel, value, batches=400, n=64):
    generator = torch_generator(0)
    values = [value(channel.log_ratio(*channel.draw(n, generator))) for _ in range(batches)]
    stacked = torch.stack(values).double()
    return float(stacked.mean()), float(stacked.std() / batches**0.5)


@pytest.mark.parametrize("channel", [Channel(3, 1.0), Channel(3, 1.0, conditional=True)])
def test_the_log_ratio_is_that_of_the_densities(channel):
    a, b = (part.double() for part in channel.draw(5, torch_generator(0)))
    pairs, rho = channel.pairs, channel.rho
    x, y = a[:, :pairs], b - a[:, [pairs]] if channel.conditional else b
    identity = torch.eye(pairs).double()
    covariance = torch.cat(
        [torch.cat([identity, rho * identity], 1), torch.cat([rho * identity, identity], 1)]
    )
    joint = MultivariateNormal(torch.zeros(2 * pairs).double(), covariance)
    normal = MultivariateNormal(torch.zeros(pairs).double(), identity)
    rows = torch.cat([x[:, None].expand(-1, 5, -1), y[None].expand(5, -1, -1)], -1)
    expected = joint.log_prob(rows) - normal.log_prob(x)[:, None] - normal.log_prob(y)[None, :]
    torch.testing.assert_close(channel.log_ratio(a, b), expected)


@pytest.mark.parametrize("channel", [Channel(20, 2.0), Channel(4, 0.5), Channel(3, 0.5, conditional=True)])
def test_nce_club_of_the_exact_critic_is_the_jeffreys_divergence(channel):
    mean, error = mean_value(channel, NCE_CLUB)
    # A share 1 / 64 of the pairs of the second mean are true pairs.
    assert mean == pytest.approx(63 / 64 * channel.jeffreys, abs=5 * error)
    assert 5 * error < 0.1 * channel.jeffreys
    assert channel.jeffreys >= 2 * channel.nats


def test_the_jeffreys_divergence_has_its_closed_form():
    rho = 0.6
    channel = Channel(2, -math.log(1 - rho**2))
    assert channel.rho == pytest.approx(rho)
    # The sum over coordinates of rho^2 / (1 - rho^2).
    assert channel.jeffreys == pytest.approx(2 * rho**2 / (1 - rho**2))


def test_nce_of_the_exact_critic_is_below_the_information_and_the_log_of_the_batch():
    for nats, low, high in ((1.0, 0.9, 1.0), (10.0, 4.0, math.log(64))):
        mean, error = mean_value(Channel(20, nats), NCE)
        assert low < mean <= high + 5 * error


def test_rows_have_the_stated_correlation_and_one_z_per_batch():
    channel = Channel(4, 0.3, conditional=True)
    a, b = channel.draw(50_000, torch_generator(0))
    assert a.shape == (50_000, 5)
    assert len(a[:, 1:].unique(dim=0)) == 1
    assert float((a[:, 0] * (b[:, 0] - a[:, 1])).mean()) == pytest.approx(channel.rho, abs=0.03)


def test_the_density_is_that_of_a_normal_variable():
    with temporary_seed(0):
        density, a, b = NormalDensity(3, 2, hidden=8), torch.randn(5, 3), torch.randn(5, 2)
    normal = Normal(density.mean(a)[:, None], (0.5 * density.log_variance(a).tanh()).exp()[:, None])
    expected = normal.log_prob(b).sum(-1) + math.log(2 * math.pi)
    torch.testing.assert_close(density(a, b), expected)


def test_trained_critics_approach_the_exact_one_and_repeat(monkeypatch):
    monkeypatch.setattr("pidlab.validation.estimators.BATCHES", 50)
    channels = [Channel(2, 0.5), Channel(2, 1.0)]
    rows = estimate(channels, 0, steps=150, hidden=32)
    values = {(r["nats"], r["estimator"], r["critic"]): r["estimate"] for r in rows}
    assert len(values) == 2 * (2 + 3)
    for nats in (0.5, 1.0):
        exact, trained = (values[nats, "nce", critic] for critic in ("exact", "trained"))
        assert exact - 0.15 < trained < exact + 0.05
        assert values[nats, "nce-club", "trained"] > nats
    assert rows == estimate(channels, 0, steps=150, hidden=32)
    assert rows[:1] != estimate(channels[:1], 1, steps=1, hidden=32)[:1]
