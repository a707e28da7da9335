import numpy as np
import pytest
import torch
from plugin import assert_holds

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.biased_xor import BiasedXor
from pidlab.info import binary_entropy, mutual_information


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_synergy_is_pure_although_modalities_share_information(p):
    generator = BiasedXor(p)
    solved = generator.solve()
    assert list(solved.terms.values()) == pytest.approx([0, 0, 0, binary_entropy(p)], abs=1e-8)
    assert mutual_information(generator.law().sum(2)) == pytest.approx(generator.between_modalities)


@pytest.mark.parametrize("n", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_samples_have_the_specified_information(n):
    generator = BiasedXor(0.1, depth=0)
    sample = generator.sample(n, seed=1)
    first, second = (
        (torch.linalg.lstsq(r._layers[0][0], x.mT).solution[0] > 0).long().numpy()
        for x, r in zip(sample.x, generator._renderings, strict=True)
    )
    y = sample.y.numpy()
    assert_holds(first, y, 0.0)
    assert_holds(second, y, 0.0)
    assert_holds(2 * first + second, y, generator.truth.synergy)
    assert_holds(first, second, generator.between_modalities)


def test_training_split_can_have_another_bias():
    generator = BiasedXor(0.5, train_p=0.02)
    n = 10_000
    rates = [float(generator.sample(n, 1, split).y.float().mean()) for split in ("train", "eval")]
    assert rates[0] == pytest.approx(0.02, abs=5 * (0.02 / n) ** 0.5)
    assert rates[1] == pytest.approx(0.5, abs=5 * 0.5 / n**0.5)
    assert generator.truth.synergy == 1.0


def test_task_views_flip_both_bits():
    generator = BiasedXor(0.0, train_p=0.3)  # the split "eval" never has y = 1
    sample = generator.sample(4000, 1, "train")
    view = generator.view(sample, "task", seed=2)
    assert torch.equal(view.latents["x1"] ^ view.latents["x2"], sample.y)
    flipped = (view.latents["x1"] != sample.latents["x1"]).float().mean()
    assert float(flipped) == pytest.approx(0.5, abs=5 * 0.5 / 4000**0.5)


def test_information_of_views():
    generator = BiasedXor(0.2)
    h = binary_entropy(0.2)
    task, noise = (generator.view_information(p)["y"] for p in ("task", "noise"))
    assert (task.between, task.target) == (pytest.approx(h), pytest.approx(h))
    assert (noise.between, noise.target) == (pytest.approx(1 + h), pytest.approx(h))


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("biased_xor(1.1)", "p = 1.1: expected a number from 0 to 1"),
        ("biased_xor(train_p=-1)", "train_p = -1"),
        ("biased_xor(p='x')", "p = 'x'"),
        ("biased_xor(train=1)", "did you mean 'train_p'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)


def test_default_prior_equals_the_trifeature_label():
    assert BiasedXor().truth.synergy == pytest.approx(0.469, abs=1e-3)
    assert np.array(BiasedXor().target_specs["y"].prior) == pytest.approx([0.9, 0.1])
