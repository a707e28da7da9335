"""How a result was made."""

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
    """Request, versions, device, threads and, in a git checkout, its commit."""
    command, *rest = environment_record(command, request.device).items()
    return dict([command, ("request", dataclasses.asdict(request)), *rest])


def outcome_record(runs: Sequence[Run], failures: Mapping[str, str]) -> dict[str, Any]:
    """How the truth of runs is known, what their probes read, and which of them failed.

    Args:
        runs: of one sweep.
        failures: reasons by run key.

    Returns:
        `truth`: measures, how they are known, the largest error in bits or None; `probe_rows`; `runs`;
        `failed`, by key; `failures`: every reason with its objective, how many runs, the first of them.
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
            "gap": max(gaps) if math.isfinite(max(gaps)) else None,  # JSON has no word for what nobody knows
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
    """What every result depends on beside its request."""
    return {
        "command": list(command),
        "result_version": defaults.RESULT_VERSION,
        "versions": {
            "python": platform.python_version(),
            **{name: package_version(name) for name in PACKAGES},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _device(device),
        "threads": torch.get_num_threads(),
        "git": _git(),
    }


def _device(device: str) -> str:
    # A driver of many machines may have none itself.
    return torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device


def package_version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    def ask(*arguments: str) -> str:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "modified": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
