"""Commands on a full disk and with I/O errors: `python -m faults.disk FOLDER COUNT [COMMAND]...`.

A file of a command is whole or absent; a failure is one line with its reason; what does not depend on it
is written; and the same command afterwards gives the usual files. Prints a line of JSON per command.
"""

import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults import children
from faults.children import SWEEP
from faults.kills import POINT, STUDY, contents, differences

COMMANDS: dict[str, tuple[list[object], bool]] = {
    "sweep": (SWEEP, False),
    "study run": (STUDY, False),
    "readability": (POINT, False),
    "generate": (["generate", "atoms", "--samples", 100, "--out", "rows.npz"], False),
    "picture": (["picture", "trifeature(size=64)", "--samples", 1, "--out", "image.png"], False),
    "export": (["export", "out", "--out", "rows.csv"], True),
    "export json": (["export", "out", "--format", "json", "--out", "rows.json"], True),
    "table": (["table", "out", "--out", "table.md"], True),
    "plot": (["plot", "out", "--term", "unique1", "--format", "pdf", "--format", "svg"], True),
    "report": (["report", "out"], True),
}
# Files that are written whatever became of each other.
INDEPENDENT = ("captured.", "capture.", "loss.", "report.html", "readability.p", "readability.s")
REASONS = ("No space", "I/O error", "Input/output error", "too large", "is full")
# Files in which SQLite keeps committed rows when it cannot write them to the database.
LOG = ("results.sqlite-wal", "results.sqlite-shm")


class Fuzzer:
    """Commands that are run with faults; problems are collected by command."""

    def __init__(self, base: Path) -> None:
        self.base, self.folder, self.start = base, base / "folder", base / "start"
        children.set_up(self.start)
        self.small = base / "small"
        self.small.mkdir(exist_ok=True)

    def renew(self, name: str, folder: Path) -> None:
        """Make a folder as it is before a command."""
        for path in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        children.fresh(self.folder)
        if COMMANDS[name][1]:
            shutil.copytree(self.start, folder, dirs_exist_ok=True)

    def judge(self, name: str, ended: children.Ended, folder: Path, single: bool) -> list[str]:
        """Return what is wrong after a command that met a fault."""
        problems = [wrong] if (wrong := children.problem(ended)) else []
        found, wanted = contents(folder), self.wanted
        found = {file: data for file, data in found.items() if not file.endswith(LOG)}
        if ended.code == 0:
            return problems + differences(found, wanted)
        problems += [line for line in differences(found, wanted) if not line.startswith("missing")]
        missing = [file for file in wanted if file not in found]
        # Figure, table and page all read the store.
        single = single and "results.sqlite as results" not in ended.err
        dependent = [file for file in missing if not Path(file).name.startswith(INDEPENDENT)]
        if single and not dependent and len(missing) > 1:
            problems.append(f"one fault, but missing: {', '.join(missing)}")
        if not any(reason in ended.err for reason in REASONS):
            problems.append(f"the reason is not told: {ended.err.strip()[-200:]}")
        return problems

    def attack(self, name: str, faults: int, draw: random.Random, mounted: bool) -> dict[str, object]:
        """Run a command with so many faults of every kind."""
        work = children.pidlab(*COMMANDS[name][0])
        problems, hit = set[str](), 0
        self.renew(name, self.folder)
        whole, total = children.count_operations(work, self.folder)
        assert whole.code == 0
        self.wanted = contents(self.folder)
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        places = sorted(draw.sample(range(1, total + 1), min(faults, total)))
        trials: list[tuple[str, Callable[[], object], bool]] = []
        for place in places:
            lasting = draw.random() < 0.4
            number = errno.ENOSPC if lasting else draw.choice((errno.ENOSPC, errno.EIO))
            operations = children.Operations(self.folder, place, children.fail(number), lasting)
            trials.append(
                (f"operation {place}, {errno.errorcode[number]}, {lasting=}", operations.install, not lasting)
            )
        for _ in range(max(1, faults // 4)):
            # Not below 4,096 bytes: the child's messages are files, too.
            limit = draw.randint(4096, max(len(data) for data in self.wanted.values() if data) + 40_000)
            trials.append((f"files of at most {limit} bytes", limited(limit), False))
        for how, fault, single in trials:
            self.renew(name, self.folder)
            ended = children.run(work, self.folder, fault)
            hit += ended.code != 0
            problems |= {f"{how}: {problem}" for problem in self.judge(name, ended, self.folder, single)}
            if ended.code and draw.random() < 0.3:
                problems |= {f"{how}, again: {line}" for line in self.again(work, self.folder)}
        for _ in range(max(1, faults // 4) if mounted else 0):
            self.renew(name, self.small)
            before = shutil.disk_usage(self.small).used  # whole pages
            room = 4096 * draw.randint(2, 2 + max(0, 3 * size // 2 - before) // 4096) + before
            subprocess.run(["mount", "-o", f"remount,size={room}", self.small], check=True)
            ended = children.run(work, self.small)
            hit += ended.code != 0
            subprocess.run(["mount", "-o", "remount,size=100m", self.small], check=True)
            how = f"disk of {room} bytes"
            problems |= {f"{how}: {problem}" for problem in self.judge(name, ended, self.small, False)}
            if ended.code:
                problems |= {f"{how}, again: {line}" for line in self.again(work, self.small)}
        return {"operations": total, "failed": hit, "problems": sorted(problems)}

    def again(self, work: Callable[[], object], folder: Path) -> list[str]:
        """Return what is wrong after the same command without a fault."""
        ended = children.run(work, folder)
        wrong = [] if ended.code == 0 else [f"code {ended.code}: {ended.err.strip()[-200:]}"]
        return wrong + differences(contents(folder), self.wanted)


def limited(size: int) -> Callable[[], None]:
    """Return a function that makes the system refuse files of more bytes, with an error of its own."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def main(base: Path, faults: int, names: Sequence[str]) -> None:
    fuzzer, draw = Fuzzer(base), random.Random(29)
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", fuzzer.small]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        for name in names:
            began = time.perf_counter()
            line = {"command": name, "mounted": mounted, **fuzzer.attack(name, faults, draw, mounted)}
            print(json.dumps(line | {"seconds": round(time.perf_counter() - began)}), flush=True)
    finally:
        if mounted:
            subprocess.run(["umount", fuzzer.small], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or [*COMMANDS])
