import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab.info import (
    binary_entropy,
    entropy,
    inverse_binary_entropy,
    mutual_information,
)


def test_known_entropies():
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(3.0)
    assert entropy(np.array([1.0, 0.0])) == 0.0
    assert binary_entropy(0.11) == pytest.approx(0.499916, abs=1e-6)


@given(st.floats(0, 1))
def test_inverse_binary_entropy_inverts(bits):
    p = inverse_binary_entropy(bits)
    assert 0 <= p <= 0.5
    assert binary_entropy(p) == pytest.approx(bits, abs=1e-12)


@pytest.mark.parametrize("bits", [-0.1, 1.1, float("nan")])
def test_inverse_binary_entropy_refuses_values_outside_the_unit_interval(bits):
    with pytest.raises(ValueError, match="bits"):
        inverse_binary_entropy(bits)


def test_mutual_information_of_known_channels():
    copy = np.eye(4) / 4
    independent = np.full((4, 4), 1 / 16)
    flip = np.array([[0.9, 0.1], [0.1, 0.9]]) / 2
    assert mutual_information(copy) == pytest.approx(2.0)
    assert mutual_information(independent) == pytest.approx(0.0, abs=1e-12)
    assert mutual_information(flip) == pytest.approx(1 - binary_entropy(0.1))
    assert mutual_information(np.stack([copy, independent])) == pytest.approx([2.0, 0.0], abs=1e-12)
