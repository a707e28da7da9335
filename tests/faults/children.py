"""Commands in forked children of a process that has loaded torch, with faults in their file operations.

A child starts within milliseconds, so that thousands of commands can be tried. The children of a folder share
one for temporary files, which must be empty afterwards.
"""

import builtins
import contextlib
import errno
import gc
import io
import os
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pidlab.errors import InvalidRequest
from pidlab.probes import levels
from pidlab.probes.mlp import MLPProbe

# A command that takes longer has hung. Tiny commands take seconds, also on a busy machine.
LIMIT = 120.0
TRACEBACK = 70  # exit code of a function that raises something other than `InvalidRequest`
_REAL_CONNECTION = sqlite3.Connection
TINY = ["--seeds", 1, "--steps", 2, "--probes", "quick"]
SWEEP = ["sweep", "--unique", "0,1", "--objective", "untrained", "--objective", "cross", *TINY]
SWEEP += ["--batch", 16, "--dim", 4, "--device", "cpu", "--save", "weights", "--out", "out"]


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Args:
        code: Exit code; negative for a signal.
        out: Its stdout.
        err: Its stderr.
        seconds: Wall time.
        temporary: Files that it left in the folder of temporary files.
    """

    code: int
    out: str
    err: str
    seconds: float
    temporary: list[str]

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def hung(self) -> bool:
        return self.killed and self.seconds >= LIMIT


def set_up(folder: Path) -> None:
    """Make commands cheap, and load what children need by a sweep in `folder`.

    Probes are tiny, each run is a cohort, and the figure of a sweep shows one term.
    """
    from pidlab.plots import capture
    from pidlab.sweeps import plan as plan_module
    from pidlab.sweeps import run as run_module

    torch.set_num_threads(1)
    levels.LEVELS["quick"] = levels.Level(128, 64, 128, MLPProbe(hidden=8, epochs=1))
    run_module.plan = lambda runs, **_: plan_module.plan(runs, budget=1)
    draw = capture.capture_figure
    capture.capture_figure = lambda table, *rest, **more: draw(
        table[table["term"] == "unique1"], *rest, **more
    )
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], contextlib.chdir(fresh(folder)), contextlib.suppress(SystemExit):
        pidlab(*SWEEP)()
    gc.freeze()  # children do not copy the memory of the modules


def pidlab(*arguments: object) -> Callable[[], object]:
    """Return a function that runs a command of the command line."""

    def run() -> None:
        from pidlab.cli import main

        sys.argv = ["pidlab", *map(str, arguments)]
        main()

    return run


def start(work: Callable[[], object], folder: Path, fault: Callable[[], object] = lambda: None) -> int:
    """Start a child that installs a fault and does some work in a folder; return its process number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = TRACEBACK
    try:
        for name, stream in (("out", 1), ("err", 2)):
            os.dup2(os.open(_aside(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.chdir(folder)
        tempfile.tempdir = str(_aside(folder, "temporary"))
        os.makedirs(tempfile.tempdir, exist_ok=True)
        fault()
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except InvalidRequest as error:
        code = 2
        print(f"error: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pid: int, folder: Path, limit: float = LIMIT) -> Ended:
    """Wait for a child, kill it after `limit` seconds, and return how it ended."""
    began, watched = time.perf_counter(), os.pidfd_open(pid)
    try:
        if not select.select([watched], [], [], limit)[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(watched)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - began
    out, err = (_aside(folder, name).read_text(errors="replace") for name in ("out", "err"))
    temporary = sorted(path.name for path in _aside(folder, "temporary").iterdir())
    return Ended(os.waitstatus_to_exitcode(status), out, err, seconds, temporary)


def run(work: Callable[[], object], folder: Path, fault: Callable[[], object] = lambda: None) -> Ended:
    """Do some work in a child, and return how the child ended."""
    return finish(start(work, folder, fault), folder)


def _aside(folder: Path, name: str) -> Path:
    """Return a path next to a folder, so that what is compared holds only files of the command."""
    return folder.with_name(f"{folder.name}.{name}")


def fresh(folder: Path) -> Path:
    """Return an empty folder of this name."""
    for path in (folder, _aside(folder, "temporary")):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    return folder


class Operations:
    """A fault of the k-th file operation below a folder.

    Operations are: opening a file for writing, writing to it, renaming, removing, creating folders, and
    statements of SQLite. Without `act` they are only counted.

    Args:
        folder: The folder; its temporary files count as well.
        at: Number of the operation that fails, from 1; 0 for none.
        act: What happens at that operation.
        lasting: Whether it happens at all later operations except removals as well.
    """

    def __init__(
        self,
        folder: Path,
        at: int = 0,
        act: Callable[[str], object] = lambda _: None,
        lasting: bool = False,
    ) -> None:
        self.roots = tuple(os.path.realpath(path) for path in (folder, _aside(folder, "temporary")))
        self.at, self.act, self.lasting, self.count = at, act, lasting, 0

    def install(self) -> None:
        """Watch the operations of this process."""
        sys.addaudithook(self._audit)
        operations, plain = self, io.open

        class File(io.FileIO):
            def write(self, data: object, /) -> int:
                operations.happen("write", str(self.name))
                return super().write(data)  # type: ignore[arg-type]

        def opened(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None
        ):
            if not isinstance(file, str | Path) or not set(mode) & set("wxa+") or not self._is_below(file):
                return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = File(file, "".join(sorted(set(mode) - set("bt"))), closefd, opener)
            buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        io.open = builtins.open = opened  # type: ignore[assignment]

        class Connection(_REAL_CONNECTION):
            def execute(self, *arguments):
                operations.happen("sqlite")
                return super().execute(*arguments)

            def executemany(self, *arguments):
                operations.happen("sqlite")
                return super().executemany(*arguments)

            def __exit__(self, *arguments):  # the commit
                operations.happen("sqlite")
                return super().__exit__(*arguments)

        connect = sqlite3.connect
        sqlite3.connect = lambda *a, **more: connect(*a, **more, factory=Connection)  # type: ignore[assignment]

    def happen(self, kind: str, path: str | None = None) -> None:
        """Count an operation, and act if it is the one."""
        if path is not None and not self._is_below(path):
            return
        self.count += 1
        later = self.lasting and self.count > self.at > 0 and kind != "os.remove"
        if self.count == self.at or later:
            self.act(kind)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            if isinstance(path, str | bytes) and writes:
                self.happen("open", os.fsdecode(path))
        elif event in ("os.rename", "os.remove", "os.mkdir") and isinstance(arguments[0], str | bytes | Path):
            self.happen(event, os.fsdecode(arguments[0]))

    def _is_below(self, path: str | Path) -> bool:
        return os.path.realpath(path).startswith(self.roots)


def count_operations(work: Callable[[], object], folder: Path) -> tuple[Ended, int]:
    """Do some work in a child; return how it ended, and its number of file operations."""
    counted = _aside(folder, "count")

    def counting() -> None:
        operations = Operations(folder)
        operations.install()
        try:
            work()
        finally:
            counted.write_text(str(operations.count))

    ended = run(counting, folder)
    return ended, int(counted.read_text())


def die(_: str) -> None:
    """End this process as SIGKILL does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> Callable[[str], None]:
    """Return a function that raises the error of this number, in the words of SQLite for its statements."""

    def raise_(kind: str) -> None:
        if kind != "sqlite":
            raise OSError(number, os.strerror(number))
        full = number == errno.ENOSPC
        error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
        raise error

    return raise_


def listing(folder: Path) -> list[str]:
    """Return the relative paths of all files in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def copy(folder: Path, to: Path) -> Path:
    """Copy a folder over another one."""
    shutil.copytree(folder, fresh(to), dirs_exist_ok=True)
    return to


def problem(ended: Ended) -> str | None:
    """Return what is wrong with the end of a command: a traceback, a hang, a wrong code or several lines."""
    if ended.hung:
        return f"no end after {LIMIT:.0f} s"
    if "Traceback" in ended.err or ended.code == TRACEBACK:
        return f"traceback: {ended.err.strip().splitlines()[-1]}"
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}"
    if "unexpected" in ended.err:
        return f"not foreseen: {ended.err.strip()}"
    errors = [line for line in ended.err.splitlines() if line.startswith("error:")]
    if ended.code == 2 and len(errors) != 1:
        return f"exit code 2 with {len(errors)} lines of error: {ended.err.strip()[-300:]}"
    if ended.temporary:
        return f"temporary files left: {', '.join(ended.temporary[:3])}"
    return None
