"""A user's objective has the losses of a plain PyTorch loop: BYOL, MoCo, SimSiam, memory banks, ..."""

import pytest
import torch
from typical_losses import (
    BYOL,
    DINO,
    GMC,
    Autoencoder,
    BankAfterWarmUp,
    BarlowTwins,
    DropoutAfterWarmUp,
    DropoutAndBatchNorm,
    FrozenProjection,
    GradientPenalty,
    HiddenTeacher,
    InPlace,
    Item,
    LazyBank,
    LearnedTemperature,
    LogsEveryTenSteps,
    MemoryBank,
    Mixup,
    MoCo,
    Momentum,
    PlainTensor,
    Schedule,
    ScheduleWithDropout,
    SimSiam,
    SpectralNorm,
    SwAV,
)

from pidlab import Atoms
from pidlab.defaults import Training
from pidlab.objectives.objective import Batch, needs_of
from pidlab.seeds import child, temporary_seed
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

SETTINGS = Training(steps=50, batch=32, hidden=16)
MEMBERS = [Member(Atoms(), seed) for seed in (0, 1)]


def plain_losses(make, member):
    """Train one model as one does without pidlab."""
    model = build(make, member, SETTINGS, "cpu")
    stream = Stream([member.generator], [member.seed], SETTINGS, needs_of(model), torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS.rate, fused=True)
    losses = []
    with temporary_seed(child(member.seed, "loss"), everywhere=True):
        for _ in range(SETTINGS.steps):
            batch = Batch(**tree_map(lambda t: t[0], stream.next()))
            optimizer.zero_grad()
            loss = model(batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return model, torch.stack(losses)


@pytest.mark.parametrize(
    ("make", "program"),
    [
        (BYOL, None),
        (MoCo, "loop"),
        (SimSiam, "vmap"),
        (DropoutAndBatchNorm, "loop"),
        (FrozenProjection, "vmap"),
        (Schedule, "vmap"),
        (ScheduleWithDropout, "loop"),
        (MemoryBank, "loop"),
        (HiddenTeacher, "loop"),
        (PlainTensor, "loop"),
        (DINO, "loop"),
        (LazyBank, "loop"),
        # The branch that vmap does not support comes after the trial of two steps.
        (LogsEveryTenSteps, "loop (not supported by vmap after 9 steps"),
        (DropoutAfterWarmUp, "loop (not supported by vmap after 10 steps"),
        (BankAfterWarmUp, "loop (vmap gives another loss"),
        *[
            pytest.param(make, None, marks=pytest.mark.slow)
            for make in (
                BarlowTwins,
                LearnedTemperature,
                Mixup,
                SwAV,
                GMC,
                Autoencoder,
                GradientPenalty,
                InPlace,
                Item,
                Momentum,
                SpectralNorm,
            )
        ],
    ],
)
def test_losses_are_those_of_a_plain_loop(make, program):
    fitted = train(make, MEMBERS, SETTINGS)
    assert program is None or fitted.program.name.startswith(program), fitted.program.name
    for i, member in enumerate(MEMBERS):
        model, losses = plain_losses(make, member)
        torch.testing.assert_close(fitted.losses[:, i], losses, rtol=1e-6, atol=1e-6)
        # after training, readouts are those of the plain model, too
        x = member.generator.sample(8, seed=5).x
        z = fitted.represent([torch.stack([xi, xi]) for xi in x])["z1"][i]
        torch.testing.assert_close(z, model.eval().encoders[0](x[0]).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [ScheduleWithDropout, DropoutAndBatchNorm, MemoryBank, HiddenTeacher])
def test_a_member_trained_after_another_has_the_losses_it_has_alone(make):
    together, alone = train(make, MEMBERS, SETTINGS), train(make, MEMBERS[1:], SETTINGS)
    assert torch.equal(together.losses[:, 1], alone.losses[:, 0])


def test_progress_counts_each_step_once_if_vmap_turns_out_to_be_wrong():
    took = []
    train(LogsEveryTenSteps, MEMBERS, Training(steps=12, batch=32, hidden=16), on_step=took.append)
    assert sum(took) == 12 * len(MEMBERS)


def test_frozen_parameters_keep_their_values():
    fitted = train(FrozenProjection, MEMBERS, SETTINGS)
    params, _ = fitted.states[0]
    for i, member in enumerate(MEMBERS):
        before = build(FrozenProjection, member, SETTINGS, "cpu").projection.weight
        assert torch.equal(params["objective.projection.weight"][i], before)


def test_the_reason_for_a_loop_is_named():
    said = []
    train(MemoryBank, MEMBERS, Training(steps=1, batch=32, hidden=16), say=said.append)
    assert len(said) == 1
    assert said[0].startswith("trained one model at a time: vmap gives another")
    train(PlainTensor, MEMBERS, Training(steps=1, batch=32, hidden=16), say=said.append)
    assert said[1] in ["trained one model at a time: the attribute direction differs between members"]
