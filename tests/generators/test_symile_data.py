import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin import assert_holds

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.symile_data import Symile
from pidlab.info import binary_entropy


@given(st.floats(0, 1), st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_solver_agrees_for_every_p_hat(p_hat, bits):
    generator = Symile(p_hat, bits)
    solved = generator.solve()
    for term, value in generator.truth.terms.items():
        assert solved.terms[term] == pytest.approx(value, abs=1e-6)


def test_closed_form():
    h = binary_entropy
    for p_hat in (0.0, 0.3, 0.5, 1.0):
        expected = [0, 1 - h(p_hat / 2), 0, h(p_hat / 2) - h(p_hat) / 2]
        assert list(Symile(p_hat).truth.terms.values()) == pytest.approx(expected, abs=1e-12)


def test_one_draw_decides_all_bits():
    law = Symile(0.3, 2).law()
    # a = 01, b = 10: Y is a or their XOR 11, and never mixes their bits
    assert law[1, 2] == pytest.approx(np.array([0.0, 0.7, 0.0, 0.3]) / 16)


def signs(generator, sample):
    for x, rendering in zip(sample.x, generator._renderings, strict=True):
        coordinates = torch.linalg.lstsq(rendering._layers[0][0], x.mT).solution
        bits = (coordinates[: generator.bits] > 0).long()
        yield (bits * 2 ** torch.arange(generator.bits - 1, -1, -1)[:, None]).sum(0).numpy()


@pytest.mark.parametrize("n", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("p_hat", "bits"), [(0.5, 1), (0.8, 2)])
def test_samples_have_the_specified_information(n, p_hat, bits):
    generator = Symile(p_hat, bits, depth=0)
    sample = generator.sample(n, seed=1)
    a, b = signs(generator, sample)
    assert_holds(a, sample.y.numpy(), generator.truth.mi1)
    assert_holds(b, sample.y.numpy(), 0.0)
    assert_holds(a * 2**bits + b, sample.y.numpy(), generator.truth.total)


def test_five_bits_of_the_paper_fit():
    generator = Symile(0.5, 5)
    assert generator.coordinates == (5, 5)
    assert list(Symile(1.0, 5).truth.terms.values()) == pytest.approx([0, 0, 0, 5], abs=1e-12)
    assert list(Symile(0.0, 5).truth.terms.values()) == pytest.approx([0, 5, 0, 0], abs=1e-12)
    assert generator.sample(10).y.max() < 32


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("symile(2)", "p_hat = 2"),
        ("symile(bits=0)", "bits = 0"),
        ("symile(bits=6)", "bits = 6: expected 5 or fewer"),
        ("symile(p=0.5)", "did you mean 'p_hat'|known:"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
