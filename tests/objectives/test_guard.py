"""The guard around user code: what it changes in the process is undone, and nothing ends the process."""

import builtins
import locale
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from pidlab.objectives.guard import Guard, UserCodeError


class Doubles(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return out * 2 if func is torch.ones else out


def set_locale():
    locale.setlocale(locale.LC_ALL, "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8")


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def file_mode():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def replace(space, name):
    plain = getattr(space, name)
    setattr(space, name, lambda *args, **kwargs: plain(*args, **kwargs))


# What user code does, and how the process shows it.
CHANGES = {
    "locale": (set_locale, lambda: locale.setlocale(locale.LC_ALL)),
    "interrupt": (
        lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGINT),
    ),
    "termination": (
        lambda: signal.signal(signal.SIGTERM, lambda *_: None),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "timer": (
        lambda: signal.setitimer(signal.ITIMER_REAL, 100.0),
        lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
    ),
    "mode of files": (lambda: os.umask(0o777), file_mode),
    "size of files": (limit_files, lambda: resource.getrlimit(resource.RLIMIT_FSIZE)),
    "tiny numbers": (lambda: torch.set_flush_denormal(True), lambda: float(np.float64(2e-308) * 0.5) == 0.0),
    "function mode": (lambda: Doubles().__enter__(), lambda: float(torch.ones(1))),
    "mkldnn": (
        lambda: setattr(torch.backends.mkldnn, "enabled", False),
        lambda: torch.backends.mkldnn.enabled,
    ),
    "profiler": (lambda: sys.setprofile(lambda *_: None), sys.getprofile),
    "numpy": (lambda: replace(np, "mean"), lambda: np.mean),
    "builtin": (lambda: replace(builtins, "sorted"), lambda: sorted),
    "clock": (lambda: replace(time, "perf_counter"), lambda: time.perf_counter),
    "exception hook": (lambda: setattr(sys, "excepthook", lambda *_: None), lambda: sys.excepthook),
    "streams": (lambda: setattr(sys, "stderr", None), lambda: sys.stderr),
    "closed stream": (lambda: sys.stdout.close(), lambda: (sys.stdout.closed, sys.stderr.closed)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_process_is_undone(name):
    change, state = CHANGES[name]
    before = state()
    try:
        with Guard():
            change()
            # The change is one: without the guard the test below would fail.
            assert name in ("closed stream", "streams") or state() != before
        assert state() == before
    finally:
        torch.set_flush_denormal(False)


def test_a_change_is_in_effect_again_in_the_same_guard():
    guard = Guard()
    with guard:
        Doubles().__enter__()
    assert torch.ones(1) == 1
    with guard:
        assert torch.ones(1) == 2
    assert torch.ones(1) == 1


def test_signals_stay_as_they_were_also_on_the_next_entry():
    guard, before = Guard(), signal.getsignal(signal.SIGINT)
    with guard:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with guard:
        assert signal.getsignal(signal.SIGINT) is before


def test_ending_the_process_is_an_error_of_the_objective():
    leave = os._exit
    with pytest.raises(UserCodeError, match="SystemExit: 0"), Guard():
        os._exit(0)
    assert os._exit is leave


def test_processes_forked_by_user_code_can_end():
    with Guard():
        child = os.fork()
        if not child:
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_a_guard_works_outside_the_main_thread():
    done = []

    def use():
        with Guard():
            subprocess.run([sys.executable, "-c", ""], check=True)
        done.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(60)
    assert done
