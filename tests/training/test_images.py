"""Objectives over image encoders: looped over, and a member's numbers are its own."""

import pytest
import torch
from training_by_hand import modalities_of

from pidlab import load_objective
from pidlab.defaults import Training
from pidlab.encoders import AlexNet
from pidlab.generators import load_generator
from pidlab.objectives import objectives
from pidlab.objectives.objective import Batch
from pidlab.training import Member, train
from pidlab.training.cohort import build

SETTINGS = Training(steps=2, batch=8, hidden=8, dim=4)
IMAGES = load_generator("trifeature(size=25)")


@pytest.mark.parametrize("name", [name for name in objectives() if modalities_of(name) == 2])
def test_every_objective_takes_images(name):
    fitted = train(load_objective(name), [Member(IMAGES, 0)], SETTINGS)
    assert fitted.program.name == "loop (convolutions are not faster with vmap)"
    assert not fitted.failed
    readouts = fitted.represent([x[None] for x in IMAGES.sample(5).x])
    assert readouts["z12"].shape == (1, 5, 8)
    assert readouts["z12"].isfinite().all()


@pytest.mark.parametrize("name", ["simclr", "comm(head='mlp')", "cross+self"])
def test_views_of_images_are_joined_along_the_batch(name):
    # In evaluation mode every image is encoded on its own, so that a batch of two halves is two batches.
    model = build(load_objective(name), Member(IMAGES, 0), SETTINGS, "cpu").eval()
    generator = torch.Generator().manual_seed(0)
    x, first, second = ([torch.rand(6, 3, 25, 25, generator=generator) for _ in range(2)] for _ in range(3))
    seen = []
    for encoder in model.encoders:
        encoder.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    model(Batch(tuple(x), views=(tuple(first), tuple(second))))
    parts = [*x, *first, *second] if name == "cross+self" else [*first, *second]
    for i, encoder in enumerate(model.encoders):
        together = seen[i]
        alone = torch.cat([encoder(part) for part in parts[i::2]])
        torch.testing.assert_close(together, alone)


def test_a_member_does_not_depend_on_who_is_beside_it():
    make = load_objective("cross")
    members = [Member(IMAGES, 0), Member(load_generator("trifeature(size=25, world=3)"), 1)]
    told = []
    together = train(make, members, SETTINGS, say=told.append)
    assert told == ["trained one model at a time: convolutions are not faster with vmap"]
    x = IMAGES.sample(6).x
    for i, member in enumerate(members):
        alone = train(make, [member], SETTINGS)
        assert torch.equal(alone.losses[:, 0], together.losses[:, i])
        a = alone.represent([xi[None] for xi in x])["z12"][0]
        b = together.represent([xi[None].expand(2, *xi.shape) for xi in x])["z12"][i]
        assert torch.equal(a, b)


@pytest.mark.slow
def test_images_of_the_papers_size_train_an_alexnet():
    large = load_generator("trifeature(size=224)")
    training = Training(steps=1, batch=4, hidden=8, dim=4)
    members = [Member(large, 0), Member(load_generator("trifeature(size=224, world=1)"), 1)]
    fitted = train(load_objective("cross"), members, training)
    start = [build(load_objective("cross"), member, training, "cpu") for member in members]
    assert not fitted.failed
    for model, (params, _) in zip(start, fitted.states, strict=True):
        assert any(isinstance(module, AlexNet) for module in model.modules())
        moved = {
            name: not torch.equal(p, params[f"objective.{name}"]) for name, p in model.named_parameters()
        }
        assert all(moved[name] for name in moved if name.startswith("encoders.towers"))
    readouts = fitted.represent([torch.stack([x, x]) for x in large.sample(3).x])
    assert readouts["z12"].shape == (2, 3, 8)
    assert readouts["z12"].isfinite().all()


def test_normalisation_remembers_what_it_saw():
    fitted = train(load_objective("cross"), [Member(IMAGES, 0)], SETTINGS)
    (_, buffers), *_ = fitted.states
    seen = [b for name, b in buffers.items() if name.endswith("running_mean") and "towers" in name]
    assert seen
    assert all(float(mean.abs().sum()) > 0 for mean in seen)
