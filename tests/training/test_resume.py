"""A training that is interrupted goes on from its file with the same bytes."""

import pytest
import torch
from torch.utils._pytree import tree_flatten

from pidlab import Atoms, load_objective
from pidlab.defaults import Training
from pidlab.training import Member, resume, train
from pidlab.training.optimizers import PhaseOptimizer
from pidlab.training.resume import ResumeFile

MEMBERS = [Member(Atoms(unique1=u), seed) for u, seed in ((0.5, 0), (1.0, 1), (1.0, 2))]
# Three batches of 256 and the first of the second chunk are drawn before the fifth step.
STEPS, STOPPED = 7, 5


class StoppedError(Exception):
    pass


@pytest.fixture(autouse=True)
def always_due(monkeypatch):
    monkeypatch.setattr(resume, "SECONDS", 0.0)


@pytest.fixture
def optimizer_steps(monkeypatch):
    steps = []
    step = PhaseOptimizer.step

    def counted(self, loss, number):
        steps.append(number)
        step(self, loss, number)

    monkeypatch.setattr(PhaseOptimizer, "step", counted)
    return steps


def settings(**changes):
    return Training(**{"steps": STEPS, "batch": 256, "hidden": 16, "dim": 8, **changes})


def fitted(objective, training, file=None, on_step=lambda _: None):
    return train(load_objective(objective), MEMBERS, training, on_step=on_step, snapshots=[2, 6], resume=file)


def stopped(objective, training, file):
    done = []

    def stop(_):
        done.append(None)
        if len(done) == STOPPED:
            raise StoppedError

    with pytest.raises(StoppedError):
        fitted(objective, training, file, stop)


def assert_equal(one, other):
    pairs = [tree_flatten((c.states, c.losses, [*c.snapshots.items()]))[0] for c in (one, other)]
    for a, b in zip(*pairs, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize(
    ("objective", "changes"),
    [
        ("cross", {}),
        ("cross", {"optimizer": "sgd", "samples": 600}),
        ("comm", {"optimizer": "adamw", "schedule": "cosine", "warmup": 2, "batch": 64}),  # has buffers
        ("factorcl-ssl", {}),  # has two phases
        ("infmasking", {}),  # draws random numbers
    ],
)
def test_an_interrupted_training_gives_the_same_bytes(tmp_path, optimizer_steps, objective, changes):
    training = settings(**changes)
    whole = fitted(objective, training)
    each = len(optimizer_steps) // STEPS
    stopped(objective, training, ResumeFile(tmp_path / "state.pt", "here"))
    optimizer_steps.clear()
    progress = []
    again = fitted(objective, training, ResumeFile(tmp_path / "state.pt", "here"), progress.append)
    # The state before the step after which the training was stopped.
    assert len(optimizer_steps) == each * (STEPS - STOPPED + 1)
    assert progress == [len(MEMBERS)] * STEPS
    assert_equal(again, whole)


def test_a_state_that_is_damaged_or_from_elsewhere_is_not_used(tmp_path, optimizer_steps):
    path, training = tmp_path / "state.pt", settings()
    whole = fitted("cross", training)
    stopped("cross", training, ResumeFile(path, "here"))
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for contents, environment in ((flipped, "here"), (data[:-100], "here"), (b"", "here"), (data, "there")):
        path.write_bytes(contents)
        optimizer_steps.clear()
        assert_equal(fitted("cross", training, ResumeFile(path, environment)), whole)
        assert len(optimizer_steps) == STEPS


def test_nothing_is_saved_within_a_minute_or_without_the_folder(tmp_path, monkeypatch):
    fitted("cross", settings(), ResumeFile(tmp_path / "absent" / "states" / "state.pt", "here"))
    monkeypatch.setattr(resume, "SECONDS", 60.0)
    fitted("cross", settings(), ResumeFile(tmp_path / "states" / "state.pt", "here"))
    assert [*tmp_path.iterdir()] == []
