"""The profile of an objective does not depend on the load of the machine."""

import subprocess
import sys

import pandas as pd
import pytest

from pidlab import load_objective
from pidlab.check import profile
from pidlab.defaults import Training


@pytest.mark.slow
def test_a_busy_machine_changes_neither_numbers_nor_verdict():
    def measure():
        training = Training(steps=50, batch=64, hidden=32)
        make = load_objective("cross")
        return profile(make, "cross", baselines=("untrained",), training=training, probes="quick")

    idle = measure()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        loaded = measure()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert loaded.verdict == idle.verdict
    assert loaded.steps == idle.steps == 50
    pd.testing.assert_frame_equal(loaded.table, idle.table, check_exact=True)
