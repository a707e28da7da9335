"""Runs a small sweep in children that are killed: `killed.py DIRECTORY LOG KILLS`.

The children are forks, so that torch is loaded once for all of them. Every start of a cohort is a line
of the log: number of the child, keys of its runs. The last child is left alone.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from conftest import FEW_ROWS
from swept import run_and_draw
from test_run import small

from pidlab.probes.levels import LEVELS
from pidlab.sweeps import run as run_module
from pidlab.sweeps.execute import Silent
from pidlab.sweeps.plan import plan

BETWEEN_KILLS = (0.0, 0.6)  # seconds: from before the store is there to several cohorts later


class Log(Silent):
    def __init__(self, child, path):
        self.child, self.path = child, path

    def start(self, cohorts, finished, total):
        self.cohorts = cohorts

    def cohort(self, number):
        with self.path.open("a") as log:
            print(self.child, *(run.key for run in self.cohorts[number].runs), file=log)


def sweep(child, directory, log):
    run_module.plan = lambda runs, **_: plan(runs, budget=1)  # a cohort per run, so that there are many
    run_and_draw(small(), directory, progress=Log(child, log))


def main(directory, log, kills):
    LEVELS["quick"] = FEW_ROWS  # as in the sweep that is compared
    # Steps of the clock cannot be seeded, so a seed would promise what it does not keep.
    moments = [random.uniform(*BETWEEN_KILLS) for _ in range(kills)]
    for child, moment in enumerate([*moments, None]):
        pid = os.fork()
        if pid == 0:
            sweep(child, directory, log)
            os._exit(0)
        if moment is not None:
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
