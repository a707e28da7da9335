"""The floor and the ceiling of every run: its own architecture, untrained and trained with the labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pidlab.encoders import Image, Modality
from pidlab.errors import reason
from pidlab.objectives.load import guard_of, load_objective, objectives, source_digest
from pidlab.objectives.objective import represent
from pidlab.results.means import BASELINES, CEILING, FLOOR
from pidlab.seeds import child, temporary_seed, torch_generator
from pidlab.sweeps.plan import Run
from pidlab.sweeps.request import Request
from pidlab.training import Member
from pidlab.training.cohort import build

# Rows on which the readouts of two architectures are compared.
ROWS = 16


class Baselines:
    """The floors and ceilings of the runs of a sweep.

    They are runs of their own, of the objectives `floor(...)` and `ceiling(...)`. Objectives of equal
    architecture share them: the name in the parentheses is the first objective of pidlab, or else of the
    sweep, with the same untrained readouts. The floor of two separate encoders is the objective `untrained`.

    Args:
        request: The sweep.

    Attributes:
        absent: Reason why an objective has no floor or no ceiling, by `floor of NAME` or `ceiling of NAME`.
    """

    def __init__(self, request: Request) -> None:
        self.absent: dict[str, str] = {}
        self._objective_axes = request.objective_axes.keys()
        # Fixed order, so that a sweep with other objectives finds the same name for an architecture.
        own = sorted(name for name in objectives() if source_digest(name) is None)
        self._candidates = list(dict.fromkeys([FLOOR, CEILING, *own]))
        self._names: dict[Any, dict[bytes, str]] = {}
        # Reference and digest of the source by column, so that a user's file is read once.
        self._found: dict[Any, dict[str, tuple[str, str | None]]] = {}

    def of(self, run: Run) -> dict[str, Run]:
        """Return the floor and the ceiling of a run, by column of results.csv, as far as they exist.

        Args:
            run: Run of an objective.
        """
        point = {name: value for name, value in run.point.items() if name not in self._objective_axes}
        return {
            column: replace(
                run,
                objective=reference,
                source=source,
                point=point,
                track=0,
                label=None,
                constant={},
            )
            for column, (reference, source) in self._references(run).items()
        }

    def missing_from(self, runs: Sequence[Run]) -> list[Run]:
        """Return the floors and ceilings of runs that are not among these runs themselves, each once.

        Args:
            runs: Runs of the sweep.
        """
        keys = {run.key for run in runs}
        found = {one.key: one for run in runs for one in self.of(run).values()}
        return [one for key, one in found.items() if key not in keys]

    def _references(self, run: Run) -> dict[str, tuple[str, str | None]]:
        """Return the objectives of the floor and of the ceiling of a run, by column."""
        sizes = (run.training.dim, run.training.hidden, run.training.layers)
        shape = (run.generator.name, run.generator.shape_key, sizes)
        if (run.objective, shape) not in self._found:
            self._found[run.objective, shape] = self._find(run, shape)
        return self._found[run.objective, shape]

    def _find(self, run: Run, shape: Any) -> dict[str, tuple[str, str | None]]:
        if shape not in self._names:
            self._names[shape] = self._candidate_names(run)
        found: dict[str, tuple[str, str | None]] = {}
        for column in BASELINES:
            try:
                name = self._names[shape].setdefault(architecture(run, run.objective), run.objective)
                is_baseline = name == {"floor": FLOOR, "ceiling": CEILING}[column]
                reference = name if is_baseline else f"{column}({name!r})"
                architecture(run, reference)  # raises an exception if it cannot be built
                found[column] = reference, source_digest(reference)
            except Exception as error:  # user code can raise any exception
                self.absent[f"{column} of {run.label or run.objective}"] = reason(error).splitlines()[0]
        return found

    def _candidate_names(self, run: Run) -> dict[bytes, str]:
        """Return the first objective of pidlab of every architecture."""
        names: dict[bytes, str] = {}
        for candidate in self._candidates:
            try:
                names.setdefault(architecture(run, candidate), candidate)
            except Exception:  # it does not support these modalities or sizes
                continue
        return names


def architecture(run: Run, objective: str) -> bytes:
    """Return a digest of the untrained model of an objective, as far as its readouts depend on it.

    Equal digests mean equal readouts before training, from the same initial weights, and the same gradients
    of these readouts in training. Losses, projection heads and critics do not count.

    Args:
        run: Run that sets the generator and the sizes of the networks.
        objective: Reference to the objective.

    Returns:
        A SHA-256 of names, values and gradients of the readouts on random observations.

    Raises:
        Exception: Any exception of the objective's code.
    """
    make = load_objective(objective)
    with guard_of(make):
        model = build(make, Member(run.generator, 0), run.training, "cpu")
        x = tuple(_observations(modality, i) for i, modality in enumerate(run.generator.modalities))
        with temporary_seed(0, everywhere=True), torch.no_grad():
            readouts = represent(model.eval(), x)
        parts = [(name.encode(), _bytes(z)) for name, z in sorted(readouts.items())]
        with temporary_seed(0, everywhere=True):
            trained = represent(model.train(), x)
        total = sum(z.square().sum() for z in trained.values() if z.requires_grad)
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradients = (
            torch.autograd.grad(total, parameters, allow_unused=True) if isinstance(total, Tensor) else ()
        )
    # Sorted, because the names of modules are not part of the architecture.
    moved = sorted(_bytes(g) for g in gradients if g is not None)
    return hashlib.sha256(repr((parts, moved)).encode()).digest()


def _observations(modality: Modality, place: int) -> Tensor:
    """Return random observations of a modality, with values that its encoder accepts."""
    generator = torch_generator(child(0, "architecture", place))
    draw = torch.rand if isinstance(modality, Image) else torch.randn
    return draw(ROWS, *modality.shape, generator=generator)


def _bytes(tensor: Tensor) -> bytes:
    return repr(tuple(tensor.shape)).encode() + tensor.detach().contiguous().numpy().tobytes()
