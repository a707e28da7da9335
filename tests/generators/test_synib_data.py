import math

import numpy as np
import pytest
import torch
from plugin import assert_holds

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.synib_data import SHORTCUT_SCALE, SynIB, xor_information


def coordinates(generator, sample):
    return [
        torch.linalg.lstsq(r._layers[0][0], x.mT).solution.numpy()
        for x, r in zip(sample.x, generator._rotations, strict=True)
    ]


@pytest.mark.parametrize("n", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_samples_have_the_specified_information(n):
    generator = SynIB()
    sample = generator.sample(n, seed=1)
    x1, x2 = coordinates(generator, sample)
    # one error in 10^15
    first, second = (x[:4].sum(0) > 0 for x in (x1, x2))
    y = sample.y.numpy()
    assert ((first ^ second) == y).all()
    assert_holds(first, y, 0.0)
    assert_holds(second, y, 0.0)
    assert_holds(x1[4:10].sum(0) > 0, y, 0.0)
    assert generator.truth.synergy == pytest.approx(1.0, abs=1e-12)


def test_shortcut_exists_only_in_training():
    n, generator = 20_000, SynIB(alpha=0.8)
    for split, alpha in (("train", 0.8), ("eval", 0.0)):
        sample = generator.sample(n, seed=1, split=split)
        x1, x2 = coordinates(generator, sample)
        signed = 2.0 * sample.y.numpy() - 1.0
        for hint in x1[4:10]:
            # of SHORTCUT_SCALE and a correlation of alpha, to five standard errors
            assert hint.std() == pytest.approx(SHORTCUT_SCALE, abs=5 * SHORTCUT_SCALE / n**0.5)
            assert np.corrcoef(hint, signed)[0, 1] == pytest.approx(alpha, abs=5 / n**0.5)
        rest = np.concatenate([x1[10:], x2[4:]])
        assert np.abs(np.corrcoef(np.vstack([rest, signed]))[-1, :-1]).max() < 5 / n**0.5


@pytest.mark.parametrize("quality", [0.05, 1.0, 4.0])
def test_quadrature_agrees_with_samples(quality):
    rng, n = np.random.default_rng(0), 400_000
    b1, b2 = rng.integers(0, 2, (2, n))
    z1, z2 = (math.sqrt(quality) * (2 * b - 1) + rng.normal(size=n) for b in (b1, b2))
    sign = 1 - 2 * (b1 ^ b2)
    ratio = np.log2(1 + sign * np.tanh(math.sqrt(quality) * z1) * np.tanh(math.sqrt(quality) * z2))
    assert xor_information(quality) == pytest.approx(ratio.mean(), abs=5 * ratio.std() / n**0.5)


def test_quadrature_limits():
    assert SynIB(gap=0.0).truth.synergy == 0.0
    assert SynIB(noise=0.0).truth.synergy == 1.0
    # for two weak observations, I grows with the product of their qualities
    assert xor_information(1e-3) == pytest.approx(1e-6 / (2 * math.log(2)), rel=0.02)


def test_views_keep_the_label_and_the_shortcut():
    generator = SynIB(alpha=1.0)
    sample = generator.sample(2000, seed=1, split="train")
    for policy in ("task", "noise"):
        view = generator.view(sample, policy, seed=2)
        x1, x2 = coordinates(generator, view)
        assert (((x1[:4].sum(0) > 0) ^ (x2[:4].sum(0) > 0)) == sample.y.numpy()).all()
        assert np.sign(x1[4]).tolist() == (2 * sample.y - 1).tolist()
    kept = generator.view(sample, "noise", seed=2).latents["first"]
    assert torch.equal(kept, sample.latents["first"])


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("synib(2)", "alpha = 2"),
        ("synib(width=9)", "signal 4 and shortcut 6 need 10 dimensions but width is 9"),
        ("synib(signal=0)", "signal = 0"),
        ("synib(noise=-1)", "noise = -1"),
        ("synib(gap=1e-9, noise=1e-10)", "gap = 1e-09: .* expected 0 or a number of 0.0001 or more"),
        ("synib(alfa=1)", "did you mean 'alpha'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
