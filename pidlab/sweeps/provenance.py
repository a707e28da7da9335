"""How a result was made."""

import dataclasses
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pidlab import defaults
from pidlab.sweeps.request import Request

PACKAGES = ("pidlab", "torch", "numpy", "scipy", "pandas", "matplotlib")


def provenance(request: Request, command: Sequence[str]) -> dict[str, Any]:
    """Request, versions, device, threads and, in a git checkout, its commit."""
    command, *rest = surroundings(command, request.device).items()
    return dict([command, ("request", dataclasses.asdict(request)), *rest])


def surroundings(command: Sequence[str], device: str = "cpu") -> dict[str, Any]:
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
