"""What objectives are of three modalities."""

from itertools import combinations

import pytest
import torch

from pidlab import load_objective
from pidlab.defaults import Training
from pidlab.generators.three import Three
from pidlab.objectives.contrastive import clip_loss, nt_xent
from pidlab.objectives.objective import Batch, needs_of, represent
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

SETTINGS = Training(steps=2, batch=16, hidden=16, dim=8)
MEMBER = Member(Three(), 0)
NAMES = [
    "untrained",
    "supervised",
    "cross",
    "simclr",
    "cross+self",
    "cross+self+fact",
    "simclr-cross",
    "supcon",
    "comm",
    "comm(fusion='transformer')",
]


def model_and_batch(name):
    model = build(load_objective(name), MEMBER, SETTINGS, "cpu")
    stream = Stream([MEMBER.generator], [0], SETTINGS, needs_of(model), torch.device("cpu"))
    return model, tree_map(lambda t: t[0], stream.next())


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_every_modality_has_its_readout(name):
    fitted = train(load_objective(name), [MEMBER, Member(Three(unique3=0.5), 1)], SETTINGS)
    assert fitted.program.name == "vmap"
    assert not fitted.failed
    model, batch = model_and_batch(name)
    readouts = represent(model, batch["x"])
    assert readouts["z12"].shape == (16, 24)
    x = batch["x"]
    changed = represent(model, (*x[:2], x[2] + 1.0))
    assert not torch.equal(readouts["z12"], changed["z12"])
    if name != "supervised":
        assert torch.equal(readouts["z1"], changed["z1"])
        assert not torch.equal(readouts["z3"], changed["z3"])


@pytest.mark.parametrize("name", ["cross", "simclr-cross"])
def test_cross_modal_losses_are_means_over_pairs(name):
    model, batch = model_and_batch(name)
    z = [model.heads[i](model.encoders[i](x)) for i, x in enumerate(batch["x"])]
    one = (
        (lambda a, b: clip_loss(a, b, torch.tensor(1 / 0.07)))
        if name == "cross"
        else (lambda a, b: nt_xent(a, b, 0.2))
    )
    losses = [float(one(a, b).detach()) for a, b in combinations(z, 2)]
    assert float(model(Batch(**batch)).detach()) == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_cross_self_is_the_mean_over_pairs_and_over_modalities():
    model, batch = model_and_batch("cross+self")
    first, second = batch["views"]
    z, a, b = (
        [model.heads[i](model.encoders[i](x)) for i, x in enumerate(xs)] for xs in (batch["x"], first, second)
    )
    across = [float(nt_xent(*pair, 0.2).detach()) for pair in combinations(z, 2)]
    within = [float(nt_xent(*pair, 0.2).detach()) for pair in zip(a, b, strict=True)]
    assert float(model(Batch(**batch)).detach()) == pytest.approx((sum(across) + sum(within)) / 3, rel=1e-5)


@pytest.mark.parametrize("name", ["factorcl-sup", "factorcl-ssl"])
def test_what_is_of_two_modalities_says_so(name):
    with pytest.raises(ValueError, match=r"two modalities, got 3"):
        build(load_objective(name), MEMBER, SETTINGS, "cpu")
