"""Floors and ceilings: the architecture of an objective before training, and trained with the labels."""

import pandas as pd
import pytest
import torch

from pidlab import Atoms, InvalidRequest, load_generator, load_objective
from pidlab.defaults import Training
from pidlab.probes.capture import capture_cohort
from pidlab.results.folder import read_results
from pidlab.sweeps import Axis, Request, run_sweep
from pidlab.sweeps import run as run_module
from pidlab.sweeps.baselines import Baselines
from pidlab.sweeps.engines import Processes
from pidlab.sweeps.execute import Local, Silent
from pidlab.sweeps.plan import Runs
from pidlab.training import Member, train

SMALL = Training(steps=4, batch=32, hidden=16)
USER = """
import torch
class Towers(torch.nn.Module):
    def __init__(self, encoders, scale=1.0):
        super().__init__()
        self.encoders, self.scale = encoders, scale
    def forward(self, batch):
        return self.scale * (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()

class Frozen(Towers):
    def __init__(self, encoders):
        super().__init__(encoders)
        self.encoders.requires_grad_(False)
        self.extra = torch.nn.Parameter(torch.ones(()))
    def forward(self, batch):
        return self.extra.square()

class Apart(Towers):
    def represent(self, x1, x2):
        return {"z1": self.encoders[0](x1), "z2": self.encoders[1](x2)}
"""


def small(*objectives, **changes):
    settings = {
        "axes": (Axis(("unique1",), (1.0,)),),
        "objectives": objectives,
        "seeds": 1,
        "training": SMALL,
        "probes": "quick",
        "baselines": True,
    }
    return Request(**{**settings, **changes})


def references(*objectives, **changes):
    """The objectives of floor and ceiling of each objective."""
    request = small(*objectives, **changes)
    baselines = Baselines(request)
    found = {run.objective: baselines.of(run) for run in Runs(request)}
    return {name: {kind: run.objective for kind, run in found[name].items()} for name in objectives}


class Notes(Silent):
    def __init__(self):
        self.lines, self.trained = [], []

    def start(self, cohorts, finished, total):
        self.trained += [run.key for cohort in cohorts for run in cohort.runs]

    def note(self, text):
        self.lines.append(text)


@pytest.mark.parametrize("name", ["cross", "comm", "comm(fusion='transformer')", "factorcl-ssl"])
def test_the_floor_is_the_model_after_0_steps_bit_for_bit(name):
    members = [Member(Atoms(), seed) for seed in (0, 1)]
    x = [torch.linspace(-2, 2, 2 * 50 * m.dim).reshape(2, 50, m.dim) for m in Atoms().modalities]
    before = train(load_objective(name), members, SMALL, snapshots=[0]).at(0).represent(x)
    floor = train(load_objective(f"floor({name!r})"), members, SMALL).represent(x)
    assert floor.keys() == before.keys()
    assert all(torch.equal(floor[readout], before[readout]) for readout in floor)


def test_objectives_of_equal_architecture_share_their_baselines():
    found = references("simclr", "cross", "comm(temperature=0.2)", "comm-sup", "comm(fusion='transformer')")
    assert found["simclr"] == found["cross"] == {"floor": "untrained", "ceiling": "ceiling('untrained')"}
    shared = {"floor": "floor('comm')", "ceiling": "ceiling('comm')"}
    assert found["comm(temperature=0.2)"] == found["comm-sup"] == shared
    assert found["comm(fusion='transformer')"]["floor"] == "floor(\"comm(fusion='transformer')\")"


def test_the_baselines_of_the_baselines_are_themselves():
    found = references("untrained", "supervised")
    assert found["untrained"]["floor"] == "untrained"
    assert found["supervised"] == {"floor": "floor('supervised')", "ceiling": "supervised"}


def test_the_architecture_of_user_code_counts_and_not_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(USER)
    found = references("mine.py:Towers", "mine.py:Towers(scale=2.0)", "mine.py:Frozen")
    assert found["mine.py:Towers"] == found["mine.py:Towers(scale=2.0)"]
    assert found["mine.py:Towers"]["floor"] == "untrained"
    # Its readouts are those of the others, but its encoders do not learn.
    assert found["mine.py:Frozen"]["ceiling"] == "ceiling('mine.py:Frozen')"


def test_a_varied_parameter_of_the_loss_does_not_multiply_baselines():
    temperatures = Axis(("comm.temperature",), (0.1, 0.2, 0.4))
    request = small("comm", axes=(temperatures,), seeds=2)
    runs = Runs(request)
    assert len(runs) == 6
    assert len(Baselines(request).missing_from(runs)) == 4  # floor and ceiling of two seeds


def test_the_ceiling_of_comm_reads_an_xor_that_its_floor_does_not():
    xor = load_generator("gate('xor')")
    training = Training(steps=150, batch=64, hidden=32, rate=4e-3)

    def headlines(objective):
        fitted = train(load_objective(objective), [Member(xor, 0), Member(xor, 1)], training)
        captured = capture_cohort(fitted.represent, [xor, xor], [0, 1], "quick")
        rows = [row for rows in captured for row in rows if row["headline"] and row["readout"] == "z12"]
        return [row["captured"] for row in rows]

    assert len(headlines("floor('comm')")) == 2
    assert max(headlines("floor('comm')")) < 0.4
    assert min(headlines("ceiling('comm')")) > 0.9


@pytest.mark.usefixtures("few_rows_here")
def test_every_probe_of_every_row_has_a_floor_and_a_ceiling(tmp_path):
    table = run_sweep(small("untrained", "cross"), tmp_path).table
    information = table[table["quantity"] == "mi"]
    assert information[["floor", "ceiling"]].notna().all(axis=None)
    own = information[information["objective"] == "untrained"]
    assert (own["floor"] == own["captured"]).all()
    keys = ["readout", "term", "probe"]
    crossed = information[information["objective"] == "cross"]
    joined = crossed.merge(own, on=keys, suffixes=("", "_untrained"))
    assert len(joined) == len(crossed) == len(own)
    assert (joined["floor"] == joined["captured_untrained"]).all()


@pytest.mark.usefixtures("few_rows_here")
def test_baselines_are_added_to_a_finished_sweep_without_training_its_runs_again(tmp_path):
    objectives = ("untrained", "comm")
    request = small(*objectives, baselines=False)
    assert request.name == small(*objectives).name
    before = run_sweep(request, tmp_path).table
    assert "floor" not in before
    keys = {run.key for run in Runs(request)}
    notes = Notes()
    after = run_sweep(small(*objectives), tmp_path, progress=notes, engine=Local()).table
    assert not keys & {*notes.trained}
    pd.testing.assert_frame_equal(after[before.columns], before)
    # Without the option the table is the former one, although the folder has the baselines.
    again = run_sweep(request, tmp_path).table
    pd.testing.assert_frame_equal(again, before)


@pytest.mark.usefixtures("few_rows_here")
def test_a_sweep_that_was_stopped_among_its_baselines_resumes(tmp_path, monkeypatch):
    request = small("comm")
    whole = run_sweep(request, tmp_path / "whole", engine=Local())
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "run_cohort", _StopsAtBaselines(run_module.run_cohort))
        with pytest.raises(KeyboardInterrupt):
            run_sweep(request, tmp_path / "stopped", engine=Local())
    partial = read_results(tmp_path / "stopped").table
    assert partial["captured"].equals(whole.table["captured"])
    assert partial["ceiling"].isna().all()
    notes = Notes()
    run_sweep(request, tmp_path / "stopped", engine=Local(), progress=notes)
    assert not {run.key for run in Runs(request)} & {*notes.trained}
    assert _bytes(tmp_path / "stopped") == _bytes(tmp_path / "whole")


class _StopsAtBaselines:
    def __init__(self, run_cohort):
        self._run_cohort = run_cohort

    def __call__(self, cohort, progress, **more):
        if cohort.objective.startswith("ceiling"):
            raise KeyboardInterrupt
        return self._run_cohort(cohort, progress, **more)


def _bytes(directory):
    return (directory / "results.csv").read_bytes()


def test_workers_give_the_same_bytes(tmp_path):
    request = small("comm")
    run_sweep(request, tmp_path / "one", engine=Local())
    run_sweep(request, tmp_path / "two", engine=Processes(2))
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


@pytest.mark.usefixtures("few_rows_here")
def test_an_objective_without_a_joint_readout_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(USER)
    notes = Notes()
    result = run_sweep(small("mine.py:Apart", "cross"), tmp_path / "out", progress=notes, engine=Local())
    assert not result.failures
    (line,) = [line for line in notes.lines if line.startswith("no ")]
    assert line.startswith("no ceiling of mine.py:Apart: ")
    assert "z12" in line
    assert result.record["baselines"]["absent"].keys() == {"ceiling of mine.py:Apart"}
    rows = result.table[result.table["quantity"] == "mi"]
    is_apart = rows["objective"] == "mine.py:Apart"
    assert rows["floor"].notna().all()
    assert rows[is_apart]["ceiling"].isna().all()
    assert rows[~is_apart]["ceiling"].notna().all()


@pytest.mark.usefixtures("few_rows_here")
def test_tables_without_baselines_load_with_empty_columns(tmp_path):
    run_sweep(small("cross", baselines=False), tmp_path)
    table = read_results(tmp_path).table
    assert table[["floor", "ceiling"]].isna().all(axis=None)


@pytest.mark.usefixtures("few_rows_here")
def test_a_baseline_can_be_an_objective_of_a_sweep(tmp_path):
    request = small("floor('comm')", "comm", baselines=False)
    assert set(run_sweep(request, tmp_path).table["objective"]) == {"floor('comm')", "comm"}
    with pytest.raises(InvalidRequest, match=r"expected floor\('NAME'\)"):
        load_objective("floor")
    with pytest.raises(InvalidRequest, match="unknown objective"):
        load_objective("ceiling('con')")


def test_keys_of_runs_do_not_depend_on_the_option():
    without, with_baselines = (Runs(small("comm", baselines=b)) for b in (False, True))
    assert [run.key for run in without] == [run.key for run in with_baselines]
    assert len(with_baselines) == 1
