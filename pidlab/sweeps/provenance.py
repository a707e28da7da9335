"""Provenance: the request, versions and outcome of a sweep, as provenance.json holds them."""

import dataclasses
import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pidlab import defaults
from pidlab.probes.levels import get_level
from pidlab.sweeps.plan import Run
from pidlab.sweeps.request import Request

PACKAGES = ("pidlab", "torch", "numpy", "scipy", "pandas", "matplotlib")


def provenance(request: Request, command: Sequence[str]) -> dict[str, Any]:
    """Return the request with the environment that it is run in.

    Args:
        request: The request of a sweep.
        command: Command line, or call in Python.
    """
    environment = environment_record(command, request.device)
    first = environment.pop("command")
    return {"command": first, "request": dataclasses.asdict(request), **environment}


def outcome_record(runs: Sequence[Run], failures: Mapping[str, str]) -> dict[str, Any]:
    """Return how the ground truth of runs is known, the sizes of their probes' data, and which runs failed.

    Args:
        runs: Runs of one sweep.
        failures: Reason of every failed run, by key.

    Returns:
        `truth`: measures, how they are known, and the largest error in bits or None; `probe_rows`: numbers of
        rows; `runs`: their number; `failed`: reasons by key; `failures`: every reason with its objective, its
        number of runs and the key of the first.
    """
    level = get_level(runs[0].probes)
    known = {(truth.measure, truth.how, float(truth.gap)) for truth in (r.generator.truth for r in runs)}
    measures, hows, gaps = map(set, zip(*known, strict=True))
    grouped: dict[tuple[str, str], list[str]] = {}
    for run in runs if failures else ():
        if run.key in failures:
            grouped.setdefault((run.objective, failures[run.key]), []).append(run.key)
    return {
        "truth": {
            "measure": sorted(measures),
            "how": sorted(hows),
            "gap": max(gaps) if math.isfinite(max(gaps)) else None,  # JSON has no infinity
        },
        "probe_rows": {part: getattr(level, part) for part in ("train", "validation", "test")},
        "runs": len(runs),
        "failed": dict(failures),
        "failures": [
            {"objective": objective, "reason": why, "runs": len(keys), "run": keys[0]}
            for (objective, why), keys in grouped.items()
        ],
    }


def environment_record(command: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Return what results depend on besides their request: versions, platform, device, threads, commit.

    Args:
        command: Command line, or call in Python.
        device: Device type.
    """
    return {
        "command": list(command),
        "result_version": defaults.RESULT_VERSION,
        "versions": {
            "python": platform.python_version(),
            **{name: package_version(name) for name in PACKAGES},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _device(device),
        # Training and probing limit themselves to one thread, whatever this process has.
        "threads": 1,
        "git": _git(),
    }


def _device(device: str) -> str:
    # A driver whose workers have the GPU may have none itself.
    return torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device


def package_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the commit of the working folder and whether files differ from it; None outside of git."""
    # Commands that the folder's own configuration names must not be run.
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat"]

    def run(*arguments: str) -> bytes:
        command = ["git", "--no-optional-locks", *safe, *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.strip()

    try:
        commit = run("rev-parse", "HEAD").decode(errors="replace")
        return {"commit": commit, "modified": bool(run("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
