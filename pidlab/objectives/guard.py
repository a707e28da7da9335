"""Guard around user code: its changes of the process are undone, and no exception ends the process."""

import gc
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as hooks

from pidlab.errors import reason

# Modules and classes whose functions user code may replace ("monkeypatching").
PATCHABLE = (
    "torch",
    "torch.nn",
    "torch.nn.functional",
    "torch.optim",
    "torch.linalg",
    "torch.autograd",
    "math",
)
CLASSES = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, torch.optim.Adam, torch.optim.SGD)


class UserCodeError(RuntimeError):
    """User code raised something that is not an `Exception`, such as `SystemExit`."""


class Guard:
    """A context in which user code runs as in a process of its own.

    On exit the state of the process is restored: random generators, default type and device, gradient mode,
    threads, working folder, environment, import path, warning filters, global hooks of modules, and
    functions of torch and pidlab that were replaced. The changes are kept and applied again on the next
    entry, since the objective may rely on them. Text that user code prints goes to stderr.

    A guard that is entered again inside itself does nothing.
    """

    def __init__(self) -> None:
        self._changes: list[Callable[[], None]] = []
        self._depth = 0

    def __enter__(self) -> "Guard":
        self._depth += 1
        if self._depth == 1:
            self._before = _snapshot()
            self._threads = set(threading.enumerate())
            self._stdout = redirect_stdout(sys.stderr)
            self._stdout.__enter__()
            for change in self._changes:
                change()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        self._changes = _restore(self._before)
        self._stdout.__exit__(None, None, None)
        _abandon(set(threading.enumerate()) - self._threads)
        if error is not None and not isinstance(error, (Exception, KeyboardInterrupt)):
            raise UserCodeError(f"user code raised {reason(error)}") from error


# A value that can be read and set: the state of the process is a list of these.
_Setting = tuple[Callable[[], Any], Callable[[Any], None]]


def _settings() -> Iterator[_Setting]:
    """Yield how to read and set each part of the state of the process."""
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
    for name in vars(hooks):
        if name.startswith("_global_") and isinstance(vars(hooks)[name], dict):
            yield (lambda name=name: dict(vars(hooks)[name])), (lambda kept, name=name: _refill(name, kept))


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
        self.functions = [(space, dict(vars(space))) for space in _namespaces()]
        self.random = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


_snapshot = _Snapshot


def _restore(before: _Snapshot) -> list[Callable[[], None]]:
    """Restore the state of the process; return functions that make the undone changes again."""
    changes: list[Callable[[], None]] = []
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
