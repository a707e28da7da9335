"""pidlab: what a multimodal objective captures, in bits, on data whose information is known."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest

if TYPE_CHECKING:
    from pidlab.generators import Atoms, dataset, load_generator
    from pidlab.info import decompose
    from pidlab.objectives import Batch, Phase, load_objective
    from pidlab.probes import capture
    from pidlab.sweeps import load_run
    from pidlab.training import fit

__version__ = "0.1.0"

# Loaded on first use, so that `pidlab --help` and plotting start without torch.
_HOMES = {
    "Atoms": "pidlab.generators",
    "Batch": "pidlab.objectives",
    "Phase": "pidlab.objectives",
    "capture": "pidlab.probes",
    "dataset": "pidlab.generators",
    "decompose": "pidlab.info",
    "fit": "pidlab.training",
    "load_generator": "pidlab.generators",
    "load_objective": "pidlab.objectives",
    "load_run": "pidlab.sweeps",
}

__all__ = [
    "Atoms",
    "Batch",
    "Decomposition",
    "InvalidRequest",
    "Phase",
    "__version__",
    "capture",
    "dataset",
    "decompose",
    "fit",
    "load_generator",
    "load_objective",
    "load_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pidlab' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
