"""The flag `trained`: loss curves whose answer is known, and losses that are known by chance."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from training_by_hand import member_for

from pidlab import load_objective
from pidlab.defaults import Training
from pidlab.objectives.objective import Batch, needs_of
from pidlab.results.loss_curves import CHANCE, LEAST_POINTS, chance_of, is_trained
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

NOISE = np.random.default_rng(0).normal(scale=0.1, size=200)
FALLING = 1.0 + 2.0 * np.exp(-np.arange(200) / 30)


@pytest.mark.parametrize(
    ("losses", "trained"),
    [
        (np.full(200, 3.0), False),
        (3.0 + NOISE, False),
        (3.0 + NOISE[:LEAST_POINTS], False),
        (1000.0 + np.zeros(200), False),
        (FALLING, True),
        (FALLING + NOISE, True),
        (np.linspace(3.0, 1.0, LEAST_POINTS), True),
        (3.0 - 0.02 * (np.arange(200) > 100), True),  # small, but larger than its noise
        (4.0 - FALLING, True),  # a loss that rises has changed, too
        (np.array([3.0, *FALLING[:-2], 3.0]), True),  # one value is not the end
        (np.array([3.0]), None),
        (np.linspace(3.0, 1.0, LEAST_POINTS - 1), None),
        (np.array([np.nan]), False),
        (np.array([*FALLING, np.nan]), False),
        (np.array([np.inf, *FALLING]), False),
    ],
)
def test_curves_whose_answer_is_known(losses, trained):
    assert is_trained(losses) is trained
    assert is_trained(losses.astype("<f4")) is trained


def test_a_flat_loss_is_rarely_taken_for_a_trained_one():
    rng = np.random.default_rng(1)
    for points in (20, 50, 200):
        found = [is_trained(rng.normal(3.0, 0.1, points)) for _ in range(1000)]
        assert sum(found) < 25  # 1 % are expected


def test_a_loss_that_falls_to_chance_is_not_trained():
    assert is_trained(FALLING + NOISE, chance=1.0) is False
    assert is_trained(FALLING + NOISE, chance=0.8) is True
    assert is_trained(FALLING + NOISE, chance=1.2) is True


@pytest.mark.parametrize("name", CHANCE)
@pytest.mark.parametrize("batch", [16, 37])
def test_chance_is_the_loss_of_constant_embeddings(name, batch):
    member, training = member_for(name), Training(batch=batch, hidden=8)
    model = build(load_objective(name), member, training, "cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:  # the scale of similarities stays
                nn.init.zeros_(parameter)
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    rows = tree_map(lambda t: t[0], stream.next())
    assert model(Batch(**rows)).item() == pytest.approx(chance_of(f"{name}()", batch), abs=1e-5)


@pytest.mark.parametrize("name", ["infmasking", "my_loss.py:cross", "untrained"])
def test_chance_of_other_objectives_is_unknown(name):
    assert chance_of(name, 16) is None
    assert chance_of("cross(head='mlp')", 16) == math.log(16)
