"""Posteriors: scores in bits, and temperatures that correct over- and underconfident probes."""

import math

import numpy as np
import pytest
import torch

from pidlab.probes.posteriors import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    inverse_temperature,
    log_posterior,
    log_ratio_bits,
    temper,
)
from pidlab.probes.splits import Labels


def calibrated(n=20_000, prior=0.3, seed=0):
    """Return ln q(y|z) of an exact posterior, and labels drawn from it."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(n, generator=generator) < prior
    z = 2.0 * y + torch.randn(n, generator=generator)
    log_prior = torch.tensor([1 - prior, prior]).log()
    log_q = torch.log_softmax(log_prior[:, None] + torch.stack([-(z**2) / 2, -((z - 2) ** 2) / 2]), 0)
    return log_q[None, None], y.long()[None, None], log_prior[None, None]


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_of_a_distorted_posterior_is_recovered(true):
    log_q, y, log_prior = calibrated()
    distorted = temper(log_q, torch.tensor([[true]]), log_prior)  # overconfident by this factor
    fitted = 1.0 / inverse_temperature(distorted, y, log_prior)
    # 20,000 rows: standard error of the slope of a logistic regression about 2 %
    assert float(fitted) == pytest.approx(min(max(true, MIN_TEMPERATURE), MAX_TEMPERATURE), rel=0.08)


def test_temperature_stays_within_its_bounds():
    log_q, y, log_prior = calibrated()
    for factor, bound in ((10.0, MAX_TEMPERATURE), (0.1, MIN_TEMPERATURE)):
        distorted = temper(log_q, torch.tensor([[factor]]), log_prior)
        assert 1.0 / float(inverse_temperature(distorted, y, log_prior)) == pytest.approx(bound, rel=1e-5)


def test_temperature_never_raises_the_loss_of_the_validation_rows():
    log_q, y, log_prior = calibrated(500, seed=3)
    inverse = inverse_temperature(log_q, y, log_prior)
    before, after = (
        log_ratio_bits(temper(log_q, i, log_prior), y, log_prior).mean() for i in (torch.ones(1, 1), inverse)
    )
    assert float(after) >= float(before) - 1e-6


def test_impossible_classes_and_certain_posteriors_have_finite_scores():
    log_prior = torch.tensor([[[math.log(0.5), math.log(0.5), -math.inf]]])
    log_q = torch.tensor([[[[0.0, -math.inf], [-math.inf, 0.0], [-math.inf, -math.inf]]]])
    y = torch.tensor([[[0, 0]]])  # the posterior excludes the label of the second row
    tempered = temper(log_q, inverse_temperature(log_q, y, log_prior), log_prior)
    bits = log_ratio_bits(tempered, y, log_prior)
    assert bits.isfinite().all()
    assert (tempered[:, :, 2] == -math.inf).all()


def make_labels(y, prior):
    y = torch.as_tensor(y)[None, None]
    return Labels(("y",), torch.tensor(prior).log()[None, None], y, y, y)


def test_the_prior_scores_zero_and_a_certain_posterior_the_surprise():
    labels = make_labels([0, 1, 1, 0], [0.25, 0.75])
    prior = log_posterior(torch.zeros(1, 1, 2, 4), labels)
    assert log_ratio_bits(prior, labels.test, labels.log_prior).abs().max() < 1e-6
    certain = torch.tensor([[[[0.0, -1e9, -1e9, 0.0], [-1e9, 0.0, 0.0, -1e9]]]])
    bits = log_ratio_bits(certain, labels.test, labels.log_prior)
    expected = [-math.log2(p) for p in (0.25, 0.75, 0.75, 0.25)]
    np.testing.assert_allclose(bits[0, 0].numpy(), expected, rtol=1e-6)
