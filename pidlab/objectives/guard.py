"""Guard around user code: its changes of the process are undone, and no exception ends the process."""

import contextlib
import gc
import importlib
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NoReturn, TextIO, cast

import numpy as np
import torch
from torch.backends import mkldnn
from torch.nn.modules import module as hooks
from torch.overrides import _get_current_function_mode_stack as _all_function_modes  # pyright: ignore[reportPrivateUsage]
from torch.overrides import _pop_mode, _push_mode  # pyright: ignore[reportPrivateUsage]
from torch.utils._device import DeviceContext

from pidlab.errors import reason

# Windows has no limits of resources.
resource: Any = importlib.import_module("resource") if os.name == "posix" else None

# Modules and classes whose functions user code may replace ("monkeypatching").
PATCHABLE = (
    "torch",
    "torch.nn",
    "torch.nn.functional",
    "torch.optim",
    "torch.linalg",
    "torch.autograd",
    "numpy",
    "builtins",
    "math",
    "os",
    "random",
    "sys",
    "time",
)
CLASSES = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, torch.optim.Adam, torch.optim.SGD)


class UserCodeError(RuntimeError):
    """User code raised something that is not an `Exception`, such as `SystemExit`."""


class Guard:
    """A context in which user code runs as in a process of its own.

    On exit the state of the process is restored: random generators, default type and device, gradient mode,
    arithmetic of tiny numbers, threads, working folder, environment, locale, import path, warning filters,
    profiler, global hooks of modules, and functions of torch, numpy, Python and pidlab that were replaced.
    The changes are kept and applied again on the next entry, since the objective may rely on them. Handlers
    of signals, timers, limits of resources and the mode of new files are restored for good. Text that user
    code prints goes to stderr, and `os._exit` raises `SystemExit`.

    A guard that is entered again inside itself does nothing.
    """

    def __init__(self) -> None:
        self._changes: list[Callable[[], object]] = []
        self._depth = 0

    def __enter__(self) -> "Guard":
        self._depth += 1
        if self._depth == 1:
            self._before = _Snapshot()
            self._threads = set(threading.enumerate())
            self._streams, self._exit = (sys.stdout, sys.stderr), os._exit
            sys.stdout = sys.stderr = cast(TextIO, _Shared(sys.stderr))
            os._exit = _raiser_of_exit(os.getpid(), os._exit)
            for change in self._changes:
                change()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        os._exit = self._exit
        sys.stdout, sys.stderr = self._streams
        self._changes = _restore(self._before)
        _abandon(set(threading.enumerate()) - self._threads)
        if error is not None and not isinstance(error, (Exception, KeyboardInterrupt)):
            raise UserCodeError(f"user code raised {reason(error)}") from error


class _Shared:
    """A stream that user code can close without closing the one it writes to."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Do nothing."""


def _raiser_of_exit(process: int, leave: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
    """Return a function that raises `SystemExit` in a process, and ends the processes forked from it."""

    def raise_exit(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    return raise_exit


# A value that can be read and set: the state of the process is a list of these.
_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _settings() -> Iterator[_Setting]:
    """Yield how to read and set each part of the state of the process."""
    # The first, because a mode can change what the others read.
    yield _function_modes, _set_function_modes
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.is_grad_enabled, torch.set_grad_enabled  # type: ignore[misc]
    yield torch.get_num_threads, torch.set_num_threads
    yield torch.is_anomaly_enabled, torch.set_anomaly_enabled
    yield torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield os.getcwd, os.chdir
    yield gc.isenabled, lambda on: gc.enable() if on else gc.disable()
    yield sys.getrecursionlimit, sys.setrecursionlimit
    yield np.geterr, lambda state: np.seterr(**state) and None
    yield lambda: [*sys.path], lambda path: sys.path.__setitem__(slice(None), path)
    yield lambda: [*warnings.filters], lambda kept: setattr(warnings, "filters", kept)
    yield lambda: dict(os.environ), _set_environment
    yield lambda: torch.get_default_device().type, _set_default_device
    yield lambda: _SMALLEST * 0.5 == 0.0, torch.set_flush_denormal
    yield lambda: mkldnn.enabled, lambda on: setattr(mkldnn, "enabled", on)
    yield lambda: locale.setlocale(locale.LC_ALL), lambda kept: locale.setlocale(locale.LC_ALL, kept)
    yield sys.getprofile, sys.setprofile
    yield sys.gettrace, sys.settrace
    for name in vars(hooks):
        if name.startswith("_global_") and isinstance(vars(hooks)[name], dict):
            yield (lambda name=name: dict(vars(hooks)[name])), (lambda kept, name=name: _refill(name, kept))


def _settings_for_good() -> Iterator[_Setting]:
    """Yield as `_settings` does; changes of these are not applied again."""
    yield _read_umask, os.umask
    if resource is not None:
        for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
            yield (
                lambda kind=kind: resource.getrlimit(kind),
                lambda kept, kind=kind: resource.setrlimit(kind, kept),
            )
    # Python allows this in the main thread only.
    if threading.current_thread() is threading.main_thread():
        if hasattr(signal, "setitimer"):
            # A timer that user code started must not fire outside; those of others are not restarted.
            yield lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, _stop_timer
        for number in signal.valid_signals():
            if signal.getsignal(number) is not None:  # a handler that was not set by Python
                yield (
                    lambda number=number: signal.getsignal(number),
                    lambda kept, number=number: signal.signal(number, kept),
                )


# Half of it is 0 if the processor flushes denormal numbers to zero.
_SMALLEST = sys.float_info.min


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _stop_timer(running: bool) -> None:
    if not running:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _function_modes() -> list[Any]:
    """Return the modes that user code has entered; the default device is another setting."""
    return [mode for mode in _all_function_modes() if not isinstance(mode, DeviceContext)]


def _set_function_modes(kept: list[Any]) -> None:
    devices = [mode for mode in _all_function_modes() if isinstance(mode, DeviceContext)]
    while _all_function_modes():
        _pop_mode()
    for mode in (*devices, *kept):
        _push_mode(mode)


def _set_environment(kept: dict[str, str]) -> None:
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    for name, value in kept.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _set_default_device(kind: str) -> None:
    # None takes the mode away that `set_default_device` puts around every call.
    torch.set_default_device(None if kind == "cpu" else kind)


def _refill(name: str, kept: dict[Any, Any]) -> None:
    registry = vars(hooks)[name]
    registry.clear()
    registry.update(kept)


def _namespaces() -> Iterator[Any]:
    """Yield modules and classes whose functions may have been replaced."""
    yield from CLASSES
    for name, module in [*sys.modules.items()]:
        if name in PATCHABLE:
            yield module
        elif name.startswith("pidlab.") and module is not None:
            yield module
            yield from (v for v in vars(module).values() if isinstance(v, type) and v.__module__ == name)


class _Snapshot:
    def __init__(self) -> None:
        self.settings = [(read(), read, write) for read, write in _settings()]
        self.settings_for_good = [(read(), read, write) for read, write in _settings_for_good()]
        self.functions = [(space, dict(vars(space))) for space in _namespaces()]
        self.random = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _restore(before: _Snapshot) -> list[Callable[[], object]]:
    """Restore the state of the process; return functions that make the undone changes again."""
    changes: list[Callable[[], object]] = []
    for value, read, write in before.settings_for_good:
        if read() != value:
            with contextlib.suppress(ValueError, OSError):  # a limit that only root can raise again
                write(value)
    for space, functions in before.functions:
        now = vars(space)
        for name, function in functions.items():
            # Only functions are restored: caches and counters of libraries may change.
            if callable(function) and now.get(name) is not function:
                if name in now:
                    changes.append(lambda s=space, n=name, v=now[name]: setattr(s, n, v))
                setattr(space, name, function)
    for value, read, write in before.settings:
        changed = _read(read)
        if changed != value:
            write(value)
            if changed is not None:
                changes.append(lambda write=write, changed=changed: write(changed))
    torch_state, numpy_state, python_state = before.random
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)
    return changes


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError:  # the working folder was deleted
        return None


def _abandon(threads: set[threading.Thread]) -> None:
    """Keep threads that user code left running from delaying the end of the process."""
    for thread in threads:
        if not thread.daemon:
            lock = getattr(thread, "_tstate_lock", None)
            getattr(threading, "_shutdown_locks", set()).discard(lock)
