"""The model as it was after some steps."""

import dataclasses

import torch
from training_by_hand import Stubborn, members

from pidlab import load_objective
from pidlab.defaults import Training
from pidlab.training import train


def test_a_snapshot_is_the_model_of_a_shorter_training():
    # a constant learning rate and fresh batches: the first steps are a training of their own
    make = load_objective("simclr")
    fitted = train(make, members(3), Training(steps=10), snapshots=(0, 5, 10))
    x = tuple(torch.stack([m.generator.sample(20).x[i] for m in members(3)]) for i in (0, 1))
    final = fitted.represent(x)
    early = fitted.at(5).represent(x)
    for name, z in train(make, members(3), Training(steps=5)).represent(x).items():
        assert torch.equal(early[name], z)
        assert not torch.equal(final[name], z)
    for name, z in train(load_objective("untrained"), members(3), Training(steps=10)).represent(x).items():
        assert torch.equal(fitted.at(0).represent(x)[name], z)
    assert fitted.at(10) is fitted
    assert set(fitted.snapshots) == {0, 5}


def test_nothing_is_kept_that_nobody_asks_for(tiny):
    assert train(load_objective("simclr"), members(2), tiny).snapshots == {}


def test_what_is_never_trained_is_the_same_at_any_step(tiny):
    fitted = train(load_objective("untrained"), members(2), tiny, snapshots=(0, 2))
    assert fitted.at(2) is fitted


def test_snapshots_of_models_trained_one_by_one(tiny):
    fitted = train(Stubborn, members(2), tiny, snapshots=(1,))
    assert not fitted.program.vectorised
    short = train(Stubborn, members(2), dataclasses.replace(tiny, steps=1))
    for (early, _), (params, _) in zip(fitted.at(1).states, short.states, strict=True):
        assert all(torch.equal(early[name], params[name]) for name in params)
