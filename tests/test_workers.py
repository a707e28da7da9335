"""Worker processes: tasks, deaths, and what is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from pidlab import InvalidRequest, workers
from pidlab.workers import WorkerDiedError, Workers, compute


def squares(count):
    # Nested functions are pickled by value, so the workers need no test module.
    return {n: (lambda report, n=n: (n * n, os.getpid())) for n in range(count)}


def run(calls, count=2, **options):
    with Workers(count, **options) as pool:
        for number, call in calls.items():
            pool.submit(number, call)
        return {done.number: done for done in pool.finished()}


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def killed_once(folder):
    """A task whose worker is killed the first time, in the middle of a report."""

    def call(report):
        if not (folder / "dead").exists():
            (folder / "dead").touch()
            report("before")
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    return call


def test_tasks_are_computed_with_one_thread_and_failures_are_returned():
    def threads(report):
        import torch

        report("counting")
        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]

    class OddError(Exception):
        def __init__(self, one, two):  # such an exception cannot be unpickled
            super().__init__("odd")

    def fails(report):
        raise OddError(1, 2)

    reports = []
    found = run({5: threads, 6: fails}, count=1, on_report=lambda *report: reports.append(report))
    assert found[5].value == (1, "1")
    assert found[5].error is None
    assert "OddError" in str(found[6].error)
    assert reports == [(5, "counting")]


def test_a_killed_worker_costs_its_own_task_only_and_nothing_is_left(tmp_path):
    started = []
    calls = squares(6) | {6: killed_once(tmp_path)}
    found = run(calls, on_start=started.append)
    assert {n: done.value[0] for n, done in found.items() if n < 6} == {n: n * n for n in range(6)}
    assert found[6].value == "done"
    assert Counter(started) == {**dict.fromkeys(range(6), 1), 6: 2}
    pids = {done.value[1] for n, done in found.items() if n < 6}
    assert os.getpid() not in pids
    assert all(is_gone(pid) for pid in pids)


def test_a_task_that_always_kills_its_worker_is_given_up():
    def deadly(report):
        os._exit(3)

    found = run({0: deadly, **{n + 1: call for n, call in squares(2).items()}}, count=1)
    assert isinstance(found[0].error, WorkerDiedError)
    assert "ended 3 times, the last time with exit code 3" in str(found[0].error)
    assert (found[1].value[0], found[2].value[0]) == (0, 1)


def test_workers_that_die_while_they_start_end_in_an_error(monkeypatch):
    def killing(self):
        started(self)
        os.kill(self.process.pid, signal.SIGKILL)

    started = workers._Worker.__post_init__
    monkeypatch.setattr(workers._Worker, "__post_init__", killing)
    with pytest.raises(InvalidRequest, match=r"10 worker processes ended while they started .*--workers 1"):
        run(squares(1))


def test_owners_do_not_share_a_process():
    with Workers(1) as pool:
        for number, owner in enumerate(["", "mine", "", "mine"]):
            pool.submit(number, lambda report: os.getpid(), owner)
        pids = {done.number: done.value for done in pool.finished()}
    assert pids[0] == pids[2] != pids[1] == pids[3]


def test_workers_end_with_their_driver(tmp_path):
    """The driver is a fork that is killed while its worker computes."""

    def endless(report):
        (tmp_path / "pid").write_text(str(os.getpid()))
        (tmp_path / "pid").rename(tmp_path / "ready")
        time.sleep(600)

    driver = os.fork()
    if driver == 0:
        run({0: endless})
        os._exit(0)
    while not (tmp_path / "ready").exists():
        time.sleep(0.05)
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    pid, end = int((tmp_path / "ready").read_text()), time.monotonic() + 60
    while not is_gone(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_calls_are_computed_in_this_process_or_in_workers():
    lock = threading.Lock()  # it cannot be pickled
    calls = [lambda: os.getpid(), lambda: 1 / 0, lambda: (lock.locked(), os.getpid())]
    for count, elsewhere in ((1, False), (2, True)):
        done = {one.number: one for one in compute(calls, count)}
        assert (done[0].value != os.getpid()) == elsewhere
        assert isinstance(done[1].error, ZeroDivisionError)
        assert done[2].value == (False, os.getpid())


BLOCKED = """
import signal
import subprocess
import sys
from pidlab.workers import Workers

def blocked(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

with Workers(2) as workers:
    for number in range(2):
        workers.submit(number, blocked)
    print([done.value for done in workers.finished()])
"""


def test_ctrl_c_is_left_to_the_driver_from_the_first_worker_on():
    # In a fresh process, where no tracker of resources runs yet: it ends a block of signals when it starts.
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True]\n"
