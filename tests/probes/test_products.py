"""The search for products of coordinates, and the probe that reads them."""

import pytest
import torch

from pidlab.probes.products import BINS, binned_information, find_products, fit_product

FAIR = torch.tensor([0.5, 0.5]).log()


def normal(n=4096, d=12, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("columns", [(1, 4), (0, 5, 7), (2, 3, 8, 11)])
def test_parities_are_found_and_read(columns):
    z, unseen = normal(), normal(seed=1)
    y, y_unseen = ((rows[:, list(columns)] > 0).sum(1) % 2 for rows in (z, unseen))
    found = find_products(z, y, 2, seed=0)
    best = max(found, key=lambda c: found[c])
    assert sorted(best) == list(columns)
    (log_q,) = fit_product(z, y, [unseen], best, FAIR)
    assert log_q.shape == (2, len(unseen))
    assert log_q.exp().sum(0) == pytest.approx(torch.ones(len(unseen)))
    assert float((log_q.argmax(0) == y_unseen).double().mean()) > 0.9


def test_a_square_wave_of_one_coordinate_is_found():
    z = normal()
    y = (torch.special.ndtr(z[:, 3]) * 8).long() % 2
    found = find_products(z, y, 2, seed=0)
    assert max(found, key=lambda c: found[c]) == (3,)
    assert found[(3,)] > 0.9


@pytest.mark.parametrize("classes", [2, 5])
def test_nothing_is_found_in_noise(classes):
    for seed in range(5):
        y = torch.randint(classes, (4096,), generator=torch.Generator().manual_seed(seed))
        found = find_products(normal(seed=seed + 10), y, classes, seed)
        assert len(found) == 1  # the best single coordinate, at the level of chance
        # 63 (classes - 1) degrees of freedom in 2,048 rows; the best of 12 is 3 standard deviations higher.
        freedom = 63 * (classes - 1)
        assert max(found.values()) < (freedom + 4.0 * (2.0 * freedom) ** 0.5) / (2 * 2048 * 0.6931)


def test_the_fitted_probe_of_noise_is_the_prior_up_to_its_own_noise():
    z, y = normal(20480, 2), torch.randint(2, (20480,), generator=torch.Generator().manual_seed(0))
    (log_q,) = fit_product(z, y, [normal(4096, 2, seed=1)], (0, 1), FAIR)
    # Frequencies of n / BINS rows have a standard error of sqrt(BINS / 4n).
    assert float((log_q.exp() - 0.5).abs().max()) < 5.0 * (BINS / (4.0 * 20480)) ** 0.5


def test_binned_information_of_a_copy_is_the_entropy():
    y = torch.arange(4096) % 2
    values = torch.stack([y + 0.01 * normal(d=1)[:, 0], normal(d=1, seed=2)[:, 0]], dim=1)
    copy, noise = binned_information(values, y, 2).tolist()
    assert copy == pytest.approx(1.0, abs=1e-3)
    assert noise < 0.03


def test_narrow_and_discrete_readouts_are_searched():
    y = torch.arange(3000) % 2
    one = find_products(y[:, None].float(), y, 2, 0)
    assert one[(0,)] > 0.95
    constant = find_products(torch.zeros(3000, 3), y, 2, 0)
    assert list(constant) == [next(iter(constant))]
