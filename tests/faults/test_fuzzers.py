"""Fuzzers of crashes, damage and I/O errors. They print their counts.

The environment variables PIDLAB_KILLS, PIDLAB_DAMAGES and PIDLAB_DISK_FAULTS set how many faults are tried.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KILLS, DAMAGES = int(os.environ.get("PIDLAB_KILLS", "1000")), int(os.environ.get("PIDLAB_DAMAGES", "500"))
DISK_FAULTS = int(os.environ.get("PIDLAB_DISK_FAULTS", "40"))  # of every kind, for every command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork and process descriptors"),
]


@pytest.fixture
def campaign(tmp_path, capsys):
    """Return a function that runs a fuzzer, prints its lines and the wall time, and returns the lines."""

    def run(fuzzer, count):
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", f"faults.{fuzzer}", str(tmp_path), str(count)]
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        with capsys.disabled():
            print(f"\n{done.stdout}{fuzzer}: {time.perf_counter() - began:.0f} s")
        assert done.returncode == 0
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_killed_commands_resume_to_the_same_files(campaign):
    lines = campaign("kills", KILLS)
    assert sum(line["kills"] for line in lines) >= KILLS
    assert [line for line in lines if line["problems"]] == []


def test_damaged_folders_are_read_rightly_or_refused_in_one_line(campaign):
    lines = campaign("damage", DAMAGES)
    assert [line["problem"] for line in lines if "problem" in line] == []
    assert sum(line.get("refused", 0) for line in lines) >= DAMAGES // 4


def test_full_disks_and_errors_leave_whole_files_or_none(campaign):
    lines = campaign("disk", DISK_FAULTS)
    assert all(line["failed"] for line in lines)
    assert [line for line in lines if line["problems"]] == []
