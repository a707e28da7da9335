"""Temperature mends a probe that is too sure or too shy, within bounds, and nothing else."""

import math

import pytest
import torch

from pidlab.probes.data import log_ratio_bits
from pidlab.probes.ladder import (
    COLDEST,
    HOTTEST,
    inverse_temperature,
    temper,
)


def calibrated(n=20_000, prior=0.3, seed=0):
    """ln q(y|z) of an exact posterior, and labels drawn from it."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(n, generator=generator) < prior
    z = 2.0 * y + torch.randn(n, generator=generator)
    log_prior = torch.tensor([1 - prior, prior]).log()
    log_q = torch.log_softmax(log_prior[:, None] + torch.stack([-(z**2) / 2, -((z - 2) ** 2) / 2]), 0)
    return log_q[None, None], y.long()[None, None], log_prior[None, None]


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_of_a_distorted_posterior_is_found(true):
    log_q, y, log_prior = calibrated()
    distorted = temper(log_q, torch.tensor([[true]]), log_prior)  # a probe too sure by this factor
    found = 1.0 / inverse_temperature(distorted, y, log_prior)
    # 20,000 rows: standard error of the slope of a logistic regression about 2 %
    assert float(found) == pytest.approx(min(max(true, COLDEST), HOTTEST), rel=0.08)


def test_bounds_hold_where_the_best_temperature_lies_beyond():
    log_q, y, log_prior = calibrated()
    for factor, bound in ((10.0, HOTTEST), (0.1, COLDEST)):
        distorted = temper(log_q, torch.tensor([[factor]]), log_prior)
        assert 1.0 / float(inverse_temperature(distorted, y, log_prior)) == pytest.approx(bound, rel=1e-5)


def test_no_temperature_is_worse_than_none_on_the_rows_that_chose_it():
    log_q, y, log_prior = calibrated(500, seed=3)
    inverse = inverse_temperature(log_q, y, log_prior)
    before, after = (
        log_ratio_bits(temper(log_q, i, log_prior), y, log_prior).mean() for i in (torch.ones(1, 1), inverse)
    )
    assert float(after) >= float(before) - 1e-6


def test_classes_that_cannot_occur_and_certainties_stay_finite():
    log_prior = torch.tensor([[[math.log(0.5), math.log(0.5), -math.inf]]])
    log_q = torch.tensor([[[[0.0, -math.inf], [-math.inf, 0.0], [-math.inf, -math.inf]]]])
    y = torch.tensor([[[0, 0]]])  # the second row is wrong for certain
    tempered = temper(log_q, inverse_temperature(log_q, y, log_prior), log_prior)
    bits = log_ratio_bits(tempered, y, log_prior)
    assert bits.isfinite().all()
    assert (tempered[:, :, 2] == -math.inf).all()
