"""Commands killed at file operations and random moments: `python -m faults.kills FOLDER KILLS [COMMAND]...`.

Prints one line of JSON per command: the number of kills and what went wrong.
"""

import json
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults import children
from faults.children import SWEEP, TINY

from pidlab.sweeps import run as run_module

# Files that must have the same bytes as without kills. The others hold times.
SAME = (".csv", ".gz", ".json", ".md", ".npz", ".pdf", ".png", ".safetensors", ".svg", ".tex", ".txt")
TIMES = ("provenance.json", "tuned.json")
STUDY = ["study", "run", Path(__file__).with_name("study.toml"), "--device", "cpu"]
POINT = ["readability", "--unique", 1, "--objective", "cross", *TINY, "--sigma", "0,1", "--out", "out"]


@dataclass
class Victim:
    """A command that is killed.

    Args:
        arguments: Its arguments.
        share: Its share of the kills.
        reads: Whether it starts from the folder of a finished sweep.
    """

    arguments: list[object]
    share: float
    reads: bool = False
    kills: int = 0
    finished: int = 0
    problems: list[str] = field(default_factory=list)


VICTIMS = {
    "sweep": Victim(SWEEP, 0.5),
    "study run": Victim(STUDY, 0.25),
    "export": Victim(["export", "out", "--out", "rows.csv"], 0.05, reads=True),
    "export json": Victim(["export", "out", "--format", "json", "--out", "rows.json"], 0.05, reads=True),
    "table": Victim(["table", "out", "--format", "latex", "--out", "table.tex"], 0.03, reads=True),
    "plot": Victim(
        ["plot", "out", "--term", "unique1", "--format", "pdf", "--format", "png"], 0.04, reads=True
    ),
    "report": Victim(["report", "out"], 0.02, reads=True),
    "readability": Victim(POINT, 0.04),
    "generate": Victim(["generate", "atoms", "--samples", 100, "--out", "rows.npz"], 0.02),
}


class Log:
    """The runs that each child begins to train: a line per cohort with the process number and the keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        work = run_module.run_cohort

        def logged(cohort, progress, **more):
            line = " ".join([str(os.getpid()), *(run.key for run in cohort.runs)])
            with open(self.path, "a") as log:
                log.write(f"{line}\n")
            return work(cohort, progress, **more)

        run_module.run_cohort = logged

    def needless(self) -> list[str]:
        """Return the runs that were trained again although no kill met their training or their commit."""
        starts = [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []
        last = {child: place for place, (child, *_) in enumerate(starts)}
        later: set[str] = set()
        found = []
        for place, (child, *keys) in reversed(list(enumerate(starts))):
            if later & set(keys) and last[child] != place:
                found += keys
            later |= set(keys)
        return found


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return the files of a folder, with the bytes of those that do not hold times."""
    return {
        name: (folder / name).read_bytes() if name.endswith(SAME) and not name.endswith(TIMES) else None
        for name in children.listing(folder)
    }


def differences(found: dict[str, bytes | None], wanted: dict[str, bytes | None]) -> list[str]:
    more = [f"left behind: {name}" for name in found.keys() - wanted.keys()]
    less = [f"missing: {name}" for name in wanted.keys() - found.keys()]
    return more + less + [f"other bytes: {n}" for n in found.keys() & wanted.keys() if found[n] != wanted[n]]


def attack(victim: Victim, kills: int, start: Path, base: Path, log: Log, draw: random.Random) -> None:
    """Kill a command at least so many times, and compare its files whenever it finishes."""
    work = children.pidlab(*victim.arguments)
    folder = base / "victim"

    def renew() -> None:
        log.path.unlink(missing_ok=True)
        children.copy(start, folder) if victim.reads else children.fresh(folder)

    def check(ended: children.Ended) -> None:
        victim.finished += 1
        wrong = children.problem(ended)
        # A command that was killed after it had written its file refuses to overwrite it.
        is_there = ended.code == 2 and ": the file exists; choose another name" in ended.err
        if (ended.code != 0 and not is_there) or wrong:
            victim.problems.append(f"code {ended.code}: {ended.err.strip()[-300:]} {wrong or ''}")
        victim.problems.extend(differences(contents(folder), wanted))
        victim.problems.extend(f"trained twice: {key}" for key in log.needless())
        renew()

    renew()
    first, operations = children.count_operations(work, folder)
    wanted = contents(folder)
    check(first)
    # Every operation in turn, while finished cohorts accumulate; then random operations and random moments.
    in_turn, step = True, 0
    while victim.kills < kills:
        step += 1
        if in_turn or draw.random() < 0.6:
            at = step if in_turn else draw.randint(1, operations)
            ended = children.run(work, folder, children.Operations(folder, at, children.die).install)
        else:
            pid = children.start(work, folder)
            ended = children.finish(pid, folder, limit=draw.uniform(0.0, first.seconds))
        victim.kills += ended.killed
        if not ended.killed:
            in_turn = False
            check(ended)
        elif not in_turn and draw.random() < 0.02:
            check(children.run(work, folder))
    check(children.run(work, folder))


def main(base: Path, kills: int, names: Sequence[str]) -> None:
    draw, start = random.Random(19), base / "start"
    children.set_up(start)
    log = Log(base / "log")
    total = sum(VICTIMS[name].share for name in names)
    for name in names:
        victim = VICTIMS[name]
        began = time.perf_counter()
        attack(victim, math.ceil(kills * victim.share / total), start, base, log, draw)
        line = {"command": name, "kills": victim.kills, "finished": victim.finished}
        line |= {"seconds": round(time.perf_counter() - began), "problems": sorted(set(victim.problems))}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or [*VICTIMS])
