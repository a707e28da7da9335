"""The command line in a forked process: as fast as a call, and as isolated as a process of its own.

A fork keeps the modules that the parent has imported. The child has file descriptors, limits and a working
directory of its own, so that nothing it does can reach the next request.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

# A child is stopped after this many seconds of processor time, or of waiting without a line.
BUSY, SILENT = 60, 30
# Memory that a child believes to have, and the address space beyond the parent's that it gets.
MEMORY, ADDRESSES = 2 * 10**9, 6 * 10**9


@dataclass
class Answer:
    """What a request gave: exit code (negative for a signal), stdout, stderr, wall and processor seconds."""

    code: int
    out: str
    err: str
    seconds: float
    busy: float
    was_stopped: bool


def fork(work):
    """Call a function in a forked process and return the process id; its exit code is 1 if it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks in a process with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ask(arguments, folder, prepare=lambda: None):
    """Run `pidlab ARGUMENTS` in `folder` and return the answer.

    Args:
        arguments: The arguments as Python would find them in `sys.argv`.
        folder: Working directory.
        prepare: Called in the child before the command.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = fork(lambda: _run(arguments, folder, prepare, out.fileno(), err.fileno()))
        was_stopped, seen, since = False, (0, 0), start
        while True:
            pid, status, usage = os.wait4(child, os.WNOHANG)
            if pid:
                break
            sizes = (os.fstat(out.fileno()).st_size, os.fstat(err.fileno()).st_size)
            if sizes != seen:
                seen, since = sizes, time.monotonic()
            if time.monotonic() - since > SILENT and not was_stopped:
                was_stopped = True
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.003)
        out.seek(0)
        err.seek(0)
        code = os.waitstatus_to_exitcode(status)
        texts = (file.read().decode("utf-8", "surrogateescape") for file in (out, err))
        busy = usage.ru_utime + usage.ru_stime
        return Answer(code, *texts, time.monotonic() - start, busy, was_stopped or code == -signal.SIGXCPU)


def _run(arguments, folder, prepare, out, err):
    """Run the command in the child and end the process."""
    code = 99
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (BUSY, BUSY + 5))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        drop_capabilities()
        os.environ["HOME"] = str(folder.parent)
        prepare()
        from pidlab import io
        from pidlab.cli import main

        io.machine_memory = lambda: float(MEMORY)
        sys.argv = ["pidlab", *arguments]
        main()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def drop_capabilities():
    """Give up the capabilities of root, for which no folder is read-only; permissions then apply."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this process
    ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)())


def strict_json(text):
    """Parse one JSON document; NaN and Infinity are not JSON."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)
