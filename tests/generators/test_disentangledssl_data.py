import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import ndtr

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.disentangledssl_data import (
    LATENT_OF,
    DisentangledSSL,
    label_entropy,
    label_information,
    label_network,
    network_value,
)
from pidlab.info import binary_entropy

SMALL = DisentangledSSL(latents=3, hidden=4, width=8)


@pytest.mark.parametrize(
    ("seed", "term", "hidden", "noise"),
    [(0, "redundant", 5, 0.2), (5, "unique1", 2, 0.3), (5, "unique1", 2, 0.1), (4, "redundant", 1, 0.1)],
)
def test_single_latent_agrees_with_a_quadrature(seed, term, hidden, noise):
    """The last three labels switch within a tenth of a standard deviation."""
    first, last = label_network(seed, term, 1, hidden)

    def doubt(z):
        p = ndtr(float(network_value(torch.tensor([[z]], dtype=torch.float64), first, last)) / noise)
        return binary_entropy(p) * math.exp(-z * z) / math.sqrt(math.pi)

    expected = 1.0 - quad(doubt, -6, 6, points=[0.0], limit=200)[0]
    bits, error = label_information(seed, term, 1, hidden, noise)
    assert 0.0 < error <= 1e-3
    assert bits == pytest.approx(expected, abs=error)


@pytest.mark.parametrize(
    ("generator", "n"),
    [
        pytest.param(SMALL, 20_000, id="small"),
        pytest.param(DisentangledSSL(), 200_000, id="default", marks=pytest.mark.slow),
    ],
)
def test_samples_have_the_specified_information(generator, n):
    """The mean log-ratio of the exact posterior given the recovered latents equals the information."""
    sample = generator.sample(n, seed=1)
    k = generator.latents
    shown = [
        (x.double() @ torch.linalg.pinv(t.double())).mT
        for x, t in zip(sample.x, generator._transforms, strict=True)
    ]
    read = {"redundant": shown[0][k:], "unique1": shown[0][:k], "unique2": shown[1][:k]}
    for term, z in read.items():
        assert float((z - sample.latents[LATENT_OF[term]]).abs().max()) < 0.05
        z = sample.latents[LATENT_OF[term]].double()
        p = torch.special.ndtr(network_value(z, *generator._networks[term]) / generator.label_noise)
        y = sample.targets[term]
        ratio = 1.0 + torch.where(y == 1, p, 1.0 - p).log2().numpy()
        error = 5 * ratio.std() / n**0.5 + generator.truth.gap
        assert ratio.mean() == pytest.approx(generator.target_specs[term].information[0, 1], abs=error)


def test_labels_are_independent():
    y = torch.stack(list(SMALL.sample(20_000, seed=3).targets.values())).double().numpy()
    across = np.corrcoef(y) - np.eye(3)
    assert np.abs(across).max() < 5 / 20_000**0.5


def test_information_decreases_with_label_noise():
    totals = [DisentangledSSL(3, noise, 4, 8).truth.total for noise in (0.0, 0.05, 0.3, 2.0)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 3.0


def test_truth_depends_on_labels_seed_and_not_on_world():
    assert DisentangledSSL(3, 0.1, 4, 8, world=5).truth == SMALL.truth
    assert DisentangledSSL(3, 0.1, 4, 8, labels_seed=5).truth != SMALL.truth


def test_task_views_keep_the_three_labels():
    sample = SMALL.sample(500, seed=1)
    view = SMALL.view(sample, "task", seed=2)
    for term, y in SMALL.labels(view.latents).items():
        assert torch.equal(y, sample.targets[term])
    assert not torch.equal(view.latents["shared"], sample.latents["shared"])


def test_label_entropy_is_at_most_one_bit():
    scores = torch.tensor([-40.0, 0.0, 40.0])
    assert label_entropy(scores).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("disentangledssl(width=99)", "modality 1 has 100 features but width is 99"),
        ("disentangledssl(label_noise=-1)", "label_noise = -1"),
        ("disentangledssl(label_noise=0.001)", "0 or a number of 0.01 or more"),
        ("disentangledssl(latents=0)", "latents = 0"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
