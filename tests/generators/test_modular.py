import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin import assert_holds

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.modular import Modular
from pidlab.info import entropy


@given(st.integers(2, 40), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_any_feasible_number_of_bits(classes, part):
    bits = part * math.log2(classes)
    generator = Modular(bits, classes)
    assert sum(generator.prior) == pytest.approx(1.0)
    assert entropy(np.array(generator.prior)) == pytest.approx(bits, abs=1e-9)
    assert list(generator.truth.terms.values()) == [0, 0, 0, bits]


def phases(generator, sample):
    """Recover the phases from the observations; without depth the rendering is linear."""
    for x, rendering in zip(sample.x, generator._renderings, strict=True):
        cos, sin = torch.linalg.lstsq(rendering._layers[0][0].double(), x.mT.double()).solution[:2]
        yield (torch.atan2(sin, cos) / (2 * math.pi)).remainder(1.0).numpy()


@pytest.mark.parametrize("n", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("bits", "classes"), [(1.0, 2), (0.3, 2), (1.7, 5)])
def test_only_both_phases_determine_the_label(n, bits, classes):
    generator = Modular(bits, classes, depth=0)
    sample = generator.sample(n, seed=1)
    a, b = phases(generator, sample)
    y = sample.y.numpy()
    for phase in (a, b):
        assert_holds((phase * 16).astype(int), y, 0.0)
    # y is a function of the sum, except for rounding at the edges
    read = np.searchsorted(np.cumsum(generator.prior[:-1]), (a + b) % 1.0, side="right")
    assert (read == y).mean() > 0.9999
    assert_holds(y, y, bits)


def test_modalities_are_independent():
    generator = Modular(depth=0)
    a, b = (np.floor(p * 8).astype(int) for p in phases(generator, generator.sample(20_000, seed=2)))
    assert_holds(a, b, 0.0)


def test_task_views_keep_the_class_and_noise_views_the_phases():
    generator = Modular(1.5, 4)
    sample = generator.sample(5000, seed=1)
    task, noise = (generator.view(sample, policy, seed=2) for policy in ("task", "noise"))
    assert torch.equal(noise.latents["phase"], sample.latents["phase"])
    assert torch.equal(generator.labels(task.latents)["y"], sample.y)
    assert abs(np.corrcoef(task.latents["phase"], sample.latents["phase"])[0, 1]) < 5 / 5000**0.5
    assert generator.view_information("task")["y"].between == pytest.approx(1.5)
    assert generator.view_information("noise")["y"].between is None


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("modular(1.2)", "2 classes hold 1 bits at most; ask for classes = 3 or more"),
        ("modular(classes=1)", "classes = 1"),
        ("modular(classes=1e9)", "classes = 1000000000: expected 16384 or fewer"),
        ("modular(20)", "2 classes hold 1 bits at most; ask for fewer bits"),
        ("modular(-1)", "synergy = -1"),
        ("modular(width=9)", "needs 10 dimensions"),
        ("modular(unique1=1)", "no argument 'unique1'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
