"""Cohorts in worker processes: the same bytes for any number of them, and whoever dies."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from recorded_progress import RecordedProgress

from pidlab import workers
from pidlab.defaults import Training
from pidlab.objectives.load import reference_of
from pidlab.sweeps import Request, engines, run_sweep
from pidlab.sweeps.engines import Processes
from pidlab.sweeps.execute import Local, OneCohort, Silent, run_cohort
from pidlab.sweeps.plan import Cohort, Runs, plan

# Its worker is killed in the middle of a training the first time; in this process it does nothing.
MORTAL = """
import multiprocessing
import os
import signal
from pathlib import Path

import torch


class Mortal(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch):
        if multiprocessing.parent_process() is not None and not Path("dead").exists():
            Path("dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()
"""


def asked(**changes):
    settings = {
        "objectives": ("cross", "mortal.py:Mortal"),
        "seeds": 2,
        "training": Training(steps=4, batch=32, hidden=16),
        "probes": "quick",
    }
    return Request(**{**settings, **changes})


def test_results_are_the_same_bytes_for_any_workers_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mortal.py").write_text(MORTAL)
    request = asked(seeds=4)  # two cohorts of two runs of each objective for four workers
    run_sweep(request, tmp_path / "one", engine=Local())
    recorded = RecordedProgress()
    disturbed = run_sweep(request, tmp_path / "four", engine=Processes(4), progress=recorded)
    assert (tmp_path / "dead").exists()
    assert not disturbed.failures
    assert (tmp_path / "four" / "results.csv").read_bytes() == (tmp_path / "one" / "results.csv").read_bytes()
    assert disturbed.record["engine"] == {"name": "local", "workers": 4}
    assert sorted(recorded.finished) == [0, 1, 2, 3]
    assert len(recorded.started) > 4


def work_of(action):
    """Work that only calls a function of a run. It is nested so that workers need no test module."""

    def work(cohort, progress):
        from pidlab.sweeps.execute import Outcome

        rows = {run.key: action(run) for run in cohort.runs}
        return Outcome(cohort.objective, "none", {}, list(rows), rows, {})

    return work


def test_runs_that_kill_their_workers_fail_and_the_others_do_not(monkeypatch):
    monkeypatch.setattr(workers, "DEATHS", 1)  # processes take a second to start

    def kill_third(run):
        if run.seed == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return run.seed

    runs, recorded = [*Runs(asked(objectives=("cross",), seeds=6))], RecordedProgress()
    cohorts = [Cohort(runs[:4]), Cohort(runs[4:])]
    outcomes = [*Processes(2).outcomes(cohorts, work_of(kill_third), recorded)]
    failed = {key: why for outcome in outcomes for key, why in outcome.failed.items()}
    assert [*failed] == [runs[3].key]
    assert failed[runs[3].key].startswith("its worker process was killed 1 times, the last time by signal 9")
    rows = {key: seed for outcome in outcomes for key, seed in outcome.rows.items()}
    assert rows == {run.key: run.seed for run in runs if run.seed != 3}
    assert sorted(recorded.finished) == [0, 1]
    assert recorded.notes == [
        "cross: 4 runs together: its worker process was killed 1 times, the last time by signal 9; "
        "tried one by one"
    ]


def test_a_class_of_a_script_is_loaded_in_workers():
    class Mine(torch.nn.Module):  # exists only in this process
        def __init__(self, encoders):
            super().__init__()

        def forward(self, batch):
            return batch.x1.sum()

    def load(run):
        from pidlab.objectives import load_objective

        return [type(load_objective(run.objective, run.source)(None)).__name__, os.getpid()]

    cohorts = plan(Runs(asked(objectives=(reference_of(Mine),))), budget=1)
    outcomes = [*Processes(2).outcomes(cohorts, work_of(load), Silent())]
    found = [rows for outcome in outcomes for rows in outcome.rows.values()]
    assert [name for name, _ in found] == ["Mine"] * 2
    assert os.getpid() not in [pid for _, pid in found]


def test_what_cannot_be_sent_to_a_worker_is_trained_in_this_process():
    lock = threading.Lock()  # it cannot be pickled
    cohorts = plan(Runs(asked(objectives=("untrained",))), budget=1)
    recorded = RecordedProgress()
    work = work_of(lambda run: [os.getpid(), lock.locked()])
    outcomes = [*Processes(2).outcomes(cohorts, work, recorded)]
    assert [rows for outcome in outcomes for rows in outcome.rows.values()] == [[os.getpid(), False]] * 2
    assert sorted(recorded.finished) == [0, 1]


@pytest.mark.usefixtures("few_rows_here")
def test_probing_in_blocks_gives_the_numbers_of_the_whole_cohort(monkeypatch):
    """Three runs in a block of two and one of a single run."""
    runs = [*Runs(asked(seeds=3, objectives=("cross",)))]
    whole = run_cohort(Cohort(runs), OneCohort(Silent(), 0), ("representations",))
    monkeypatch.setattr("pidlab.defaults.COHORT_BYTES", 1)
    blocks = run_cohort(Cohort(runs), OneCohort(Silent(), 0), ("representations",))
    assert not whole.failed
    assert blocks.rows == whole.rows
    assert blocks.files == whole.files


def test_short_sweeps_stay_in_this_process_and_long_ones_use_all_cores(monkeypatch):
    monkeypatch.setattr(engines, "available_cores", lambda: 4)
    assert [Processes().parts(seconds) for seconds in (1.0, 9.0, 12.0, 1000.0)] == [1, 1, 2, 4]
    assert [Processes(3).parts(seconds) for seconds in (1.0, 1000.0)] == [3, 3]
    assert isinstance(engines.select_engine(None, 1, None), Local)


def test_few_workers_are_started_where_memory_is_small(monkeypatch):
    monkeypatch.setattr(engines, "available_cores", lambda: 16)
    monkeypatch.setattr(engines, "machine_memory", lambda: 2_000_000_000)
    cohorts = plan(Runs(asked(objectives=("cross",), seeds=100)), budget=1)
    assert Processes()._count(cohorts) == 3


# A background job of a shell ignores SIGINT, and so would its children.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pidlab.cli import main
sys.argv[0] = 'pidlab'
main()
"""
SWEEP = (
    *("sweep", "--unique", "0,1", "--objective", "cross", "--objective", "simclr", "--seeds", "2"),
    *("--steps", "40", "--batch", "32", "--probes", "quick", "--workers", "2"),
)


def start(folder):
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *SWEEP, "--out", str(folder / "out")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )


def workers_of(pid):
    """Processes that the driver has started, without the resource trackers of multiprocessing."""
    lines = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in lines.splitlines()[1:]]
    return [int(row[0]) for row in rows if int(row[1]) == pid and "popen_loky" in row[2]]


def test_ctrl_c_ends_the_workers_and_leaves_nothing(tmp_path):
    with start(tmp_path) as process:
        for line in process.stderr:
            if "cohort 2/" in line:
                break
        children = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stderr.read()
    assert process.returncode == 130
    assert len(children) == 2
    assert rest.splitlines()[-1:] == ["stopped: finished cohorts are kept; rerun the same command to resume"]
    assert "Traceback" not in rest
    assert [*(tmp_path / "tmp").iterdir()] == []
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.slow
def test_many_kills_of_workers_at_random_moments_do_not_change_results(tmp_path):
    """Kills in the first half of a minute, also of workers that have just started."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    with start(tmp_path / "whole") as whole:
        _, err = whole.communicate()
    assert whole.returncode == 0, err
    kills = 0
    with start(tmp_path / "killed") as process:
        threading.Thread(target=process.stderr.read, daemon=True).start()  # so that the pipe does not fill
        while process.poll() is None and kills < 12:
            # Moments cannot be repeated, so a seed would promise what it does not keep.
            time.sleep(random.uniform(0.1, 3.0))
            if found := workers_of(process.pid):
                os.kill(random.choice(found), signal.SIGKILL)
                kills += 1
    assert process.returncode == 0
    assert kills >= 3
    expected = (tmp_path / "whole" / "out" / "results.csv").read_bytes()
    assert (tmp_path / "killed" / "out" / "results.csv").read_bytes() == expected
    # torch keeps an empty cache folder; kills must leave nothing else.
    left = [{path.name for path in (tmp_path / folder / "tmp").rglob("*")} for folder in ("whole", "killed")]
    assert left[1] <= left[0]
