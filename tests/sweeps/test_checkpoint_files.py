"""What --save keeps: models come back bit for bit, and nothing damaged is taken for one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import pidlab
from pidlab import InvalidRequest, fit
from pidlab.defaults import Training
from pidlab.sweeps import Request, run_sweep
from pidlab.sweeps.checkpoint_files import _packed, load
from pidlab.sweeps.plan import Runs

pytestmark = pytest.mark.usefixtures("few_rows")

TRAINING = Training(steps=4, batch=32, hidden=16)

# Trained by vmap, and in a loop because of its assert.
LOOPED = """
import torch


class Looped(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, batch):
        self.seen = self.seen + 1
        loss = (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()
        assert loss.item() == loss.item()
        return loss
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    (directory / "looped.py").write_text(LOOPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        request = Request(objectives=("comm", "looped.py:Looped"), seeds=2, training=TRAINING, probes="quick")
        result = run_sweep(request, directory / "out", save=("weights", "representations"))
    assert not result.failures
    return directory, request


@pytest.mark.parametrize("objective", ["comm", "looped.py:Looped"])
def test_a_loaded_run_equals_the_fitted_model_exactly(folder, monkeypatch, objective):
    directory, request = folder
    monkeypatch.chdir(directory)
    run = next(r for r in Runs(request) if r.objective == objective and r.seed == 1)
    live = fit(objective, run.generator, 1, steps=4, batch=32, hidden=16)
    again = pidlab.load_run(directory / "out", run.key)
    assert again.cohort.program.vectorised == (objective == "comm")
    assert torch.equal(again.losses, live.losses)
    sample = run.generator.sample(50, seed=9)
    expected, found = live.represent(*sample.x), again.represent(*sample.x)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_saved_representations_are_those_of_the_test_rows(folder, monkeypatch):
    directory, request = folder
    monkeypatch.chdir(directory)
    run = Runs(request)[0]
    tensors, _ = load(directory / "out", "representations", run.key)
    assert {"readouts.z1", "readouts.z12", "labels.redundant", "labels.synergy"} <= tensors.keys()
    rows = {len(t) for t in tensors.values()}
    assert len(rows) == 1
    assert rows.pop() >= 1000
    # The term's exact prior, 1/2, within 5 standard errors.
    n = len(tensors["labels.redundant"])
    assert abs(tensors["labels.redundant"].float().mean() - 0.5) < 2.5 / n**0.5


def test_missing_and_damaged_files_are_refused_by_name(folder, monkeypatch, tmp_path):
    directory, request = folder
    monkeypatch.chdir(directory)
    out, key = directory / "out", Runs(request)[0].key
    path = out / "weights" / f"{key}.safetensors"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    other = (out / "weights" / f"{Runs(request)[1].key}.safetensors").read_bytes()
    try:
        for spoilt in (flipped, whole[:-10], b"", whole[:4], other):
            path.write_bytes(spoilt)
            with pytest.raises(InvalidRequest, match=f"cannot read .*{key}.safetensors"):
                pidlab.load_run(out, key)
        path.unlink()
        with pytest.raises(InvalidRequest, match=f"no weights of run {key} .*--save weights"):
            pidlab.load_run(out, key)
    finally:
        path.write_bytes(whole)
    with pytest.raises(InvalidRequest, match="no run 'nobody'"):
        pidlab.load_run(out, "nobody")
    with pytest.raises(InvalidRequest, match="no results in"):
        pidlab.load_run(tmp_path, key)


def test_finished_runs_without_saved_files_are_reported(folder, monkeypatch):
    from pidlab.sweeps.execute import Silent

    directory, _ = folder
    monkeypatch.chdir(directory)
    request = Request(objectives=("untrained",), seeds=1, training=TRAINING, probes="quick")
    run_sweep(request, directory / "plain")
    notes = []
    progress = Silent()
    monkeypatch.setattr(progress, "note", notes.append, raising=False)
    run_sweep(request, directory / "plain", save=("weights",), progress=progress)
    assert notes == ["1 finished runs have no saved weights; a sweep in a new --out saves them"]


@pytest.mark.parametrize(("objective", "steps"), [("untrained", 4), ("cross", 1)])
def test_weights_of_one_step_and_of_none_are_saved(tmp_path, objective, steps):
    training = Training(steps=steps, batch=16, hidden=8)
    request = Request(objectives=(objective,), seeds=1, training=training, probes="quick")
    result = run_sweep(request, tmp_path, save=("weights",))
    assert not result.failures
    again = pidlab.load_run(tmp_path, Runs(request)[0].key)
    assert len(again.losses) == (0 if objective == "untrained" else steps)


def test_equal_contents_are_equal_bytes():
    def pack(_):
        return _packed("run", {"params.weight": torch.zeros(2)}, {"program": ""})

    # safetensors orders the entries of its header anew in every thread.
    with ThreadPoolExecutor(20) as threads:
        assert len(set(threads.map(pack, range(40)))) == 1
