"""`pidlab check` and a user's own objective from the command line, end to end."""

import importlib
import json
import sys
import textwrap

import numpy as np
import pytest

from pidlab import load_objective
from pidlab.cli import main
from pidlab.defaults import Training

pytestmark = pytest.mark.usefixtures("few_rows")

# the package has a function of the same name
profile_module = importlib.import_module("pidlab.check.profile")

OWN = """
    import torch

    class Mine(torch.nn.Module):
        def __init__(self, encoders, *, weight: float = 1.0):
            super().__init__()
            self.encoders, self.weight = encoders, weight
        def forward(self, batch):
            z1, z2 = self.encoders[0](batch.x1), self.encoders[1](batch.x2)
            return self.weight * (z1 - z2).square().mean() + 1 / (z1.var(0).mean() + 1)

    class Faulty(Mine):
        def forward(self, batch):
            return {}["missing"]

    class Unreached(Mine):
        def __init__(self, encoders):
            super().__init__(encoders)
            self.spare = torch.nn.Linear(2, 2)

    class Endless(Mine):
        def represent(self, x1, x2):
            return {"z12": self.encoders[0](x1) / 0.0}

    class Looped(Mine):
        def forward(self, batch):
            loss = super().forward(batch)
            return loss if loss.item() > 0 else -loss
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def short(monkeypatch):
    """A profile of few steps beside the floor, in this process: worker processes take seconds to start."""
    monkeypatch.setattr(profile_module, "SEEDS", 2)
    monkeypatch.setattr(profile_module, "available_cores", lambda: 1)
    whole = profile_module.profile
    monkeypatch.setattr(
        "pidlab.check.profile",
        lambda make, name, world, **rest: whole(
            make, name, world, baselines=("untrained",), training=Training(steps=20), probes="quick", **rest
        ),
    )


def test_check_prints_contract_profile_and_verdict(run, short, monkeypatch):
    monkeypatch.setattr(profile_module, "available_cores", lambda: 2)  # in worker processes
    code, out, _ = run("check", "mine.py:Mine(weight=2)")
    assert code == 0
    assert out.count("ok  ") == 10
    for word in ("untrained", "mine.py:Mine(weight=2)", "synergy", "Captured bits of z12, noise views;"):
        assert word in out
    assert "mine.py:Mine(weight=2) (views are not used) " in " ".join(out.split())
    assert "undecided" not in out


def test_with_a_limited_time_the_verdict_is_undecided(run, short):
    code, out, _ = run("check", "mine.py:Mine", "--budget", "0.001")
    assert code == 0
    assert "mine.py:Mine undecided: 10 of 20 steps within 0.001 s" in out


def test_a_rule_that_cannot_be_checked_is_not_a_failure(run, short):
    code, out, _ = run("check", "mine.py:Looped")
    assert code == 0
    assert "n/a tensors are on the device of the batch" in out
    assert "not applicable: the loss needs numbers" in out


def test_check_as_json(run, short):
    code, out, _ = run("check", "mine.py:Mine", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["ok"] is True
    assert {"rule", "ok", "why"} == set(document["contract"][0])
    assert list(document["profile"]) == ["redundant", "unique1", "unique2", "synergy"]
    for term in document["profile"].values():
        assert set(term) == {"captured", "truth", "low", "high"}
        assert term["truth"] == 1.0
        assert term["low"] <= term["captured"] <= term["high"]
    assert "captures" in document["verdict"] or "no more " in document["verdict"]


def test_what_is_broken_exits_1(run, short):
    code, out, _ = run("check", "mine.py:Unreached", "--json")
    assert code == 1
    assert any(not f["ok"] and "spare.weight" in f["why"] for f in json.loads(out)["contract"])


def test_a_fault_in_a_users_code_is_shown_as_theirs(run):
    code, out, err = run("check", "mine.py:Faulty")
    assert code == 1
    assert 'return {}["missing"]' in out
    assert "pidlab" not in out.split("KeyError")[1]
    assert "Traceback" not in err


def test_a_readout_that_cannot_be_probed_is_the_objectives_fault(run, short):
    code, out, err = run("check", "mine.py:Endless", "--json")
    assert code == 1
    assert json.loads(out)["profile"] is None
    assert "not finite" in err


def test_a_wrong_reference_exits_2(run):
    code, out, err = run("check", "mine.py:Nine")
    assert code == 2
    assert not out
    assert err == "error: mine.py has no 'Nine': did you mean 'Mine'?\n"


def test_in_a_sweep_a_fault_harms_no_other(run):
    code, out, err = run(
        "sweep", "--unique", "1", "--seeds", "1", "--steps", "3", "--probes", "quick", "--out", "there",
        "--objective", "mine.py:Faulty", "--objective", "mine.py:Looped", "--objective", "mine.py:Mine",
    )  # fmt: skip
    assert code == 1
    assert "mine.py:Looped: trained one model at a time: not supported by vmap" in err
    assert "calling .item() on a Tensor" in err
    assert "failed: mine.py:Faulty (run " in err
    assert 'return {}["missing"]' in err
    assert "2 runs" not in err.split("failed:")[1]
    assert out.count("│ Mine ") == 1


def test_an_edited_objective_is_trained_again(run, tmp_path):
    arguments = (
        "sweep", "--unique", "1", "--seeds", "1", "--steps", "3", "--probes", "quick", "--out", "there",
        "--objective", "mine.py:Mine", "--json",
    )  # fmt: skip
    first = json.loads(run(*arguments)[1])["rows"][0]["run"]
    assert json.loads(run(*arguments)[1])["rows"][0]["run"] == first
    path = tmp_path / "mine.py"
    path.write_text(path.read_text().replace("weight: float = 1.0", "weight: float = 3.0"))
    assert json.loads(run(*arguments)[1])["rows"][0]["run"] != first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["confu", "triangle"])
def test_an_objective_of_three_modalities_is_checked_on_three(run, short, name):
    code, out, _ = run("check", name, "--json")
    document = json.loads(out)
    assert code == 0
    assert len(document["contract"]) == 10
    assert list(document["profile"]) == ["redundant", "unique1", "unique2", "unique3", "synergy"]
    assert "synergy if the data contain nothing else" in document["verdict"]


def test_baselines_that_take_two_modalities_are_left_out_for_three(monkeypatch):
    def compute_all(calls, *_):
        raise InterruptedError(*(call.args[0] for call in calls))

    monkeypatch.setattr(profile_module, "compute_all", compute_all)
    with pytest.raises(InterruptedError) as stopped:
        profile_module.profile(load_objective("confu"), "confu")
    assert [*dict.fromkeys(stopped.value.args)] == ["confu", "untrained", "cross", "comm", "supervised"]


def test_another_world_has_its_own_targets(run, short):
    code, out, _ = run("check", "mine.py:Mine", "--generator", "gate('and')", "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document["profile"]) == ["y"]
    assert document["profile"]["y"]["truth"] == pytest.approx(0.8112781, abs=1e-6)


def test_a_world_without_a_truth_is_refused(run, short, tmp_path):
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 60_000, 4)).astype("float32")
    np.savez(tmp_path / "own.npz", x1=x1, x2=x2, y=rng.integers(2, size=60_000))
    code, _, err = run("check", "mine.py:Mine", "--generator", "arrays('own.npz')")
    assert code == 2
    assert "its truth is unknown" in err
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_imported_is_a_finding(run, tmp_path):
    (tmp_path / "exits.py").write_text("import sys\n\nsys.exit(0)\n")
    code, out, _ = run("check", "exits.py:Loss", "--json")
    assert code == 1
    (finding,) = json.loads(out)["contract"]
    assert finding["rule"] == "it can be imported"
    assert "SystemExit: 0" in finding["why"]


def test_a_loss_of_other_shapes_shows_the_class_to_write(run, tmp_path):
    (tmp_path / "shaped.py").write_text(
        "import torch\n\nclass Shaped(torch.nn.Module):\n    def forward(self, online, momentum):\n"
        "        return online.sum(2).mean()\n"
    )
    code, out, _ = run("check", "shaped.py:Shaped")
    assert code == 1
    assert "Shaped: does not accept embeddings of shape (32, 32)" in out
    assert "class MyLoss(torch.nn.Module):" in out
    assert "return self.loss(online, momentum)" in out
