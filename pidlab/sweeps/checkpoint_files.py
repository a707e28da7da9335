"""Weights and representations of runs, beside the store: one safetensors file each, nothing unpickled."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pidlab import defaults
from pidlab.defaults import Training
from pidlab.doubling import doubled, doubled_readouts
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, load_generator
from pidlab.generators.base import generators
from pidlab.io import Clock, atomic_write
from pidlab.objectives import load_objective
from pidlab.objectives.load import source_digest
from pidlab.probes.data import Represent, draw
from pidlab.probes.levels import Level
from pidlab.registry import look_up
from pidlab.sweeps.plan import Run, digest
from pidlab.sweeps.store import Store
from pidlab.training import Fitted, FittedCohort, Member
from pidlab.training.cohort import build
from pidlab.training.program import Program


def restore(specification: Mapping[str, Any]) -> Run:
    """The run of that specification; where it stands in a sweep is not part of it.

    Raises:
        InvalidRequest: it is of another result version, or what it names is not here, or is not what it
            was: a user's own code, a file that data come from.
    """
    key = digest(specification)
    if specification["version"] != defaults.RESULT_VERSION:
        raise InvalidRequest(
            f"run {key} is of result version {specification['version']}, this pidlab makes version "
            f"{defaults.RESULT_VERSION}: use the pidlab that made it, or train it again"
        )
    here = source_digest(specification["objective"])
    if here != specification.get("source"):
        raise InvalidRequest(
            f"run {key}: the source of {specification['objective']!r} has digest {here}, the run was asked "
            f"for with {specification.get('source')}: put that file back in its place"
        )
    given: dict[str, Any] = {
        f.name: specification[f.name] for f in dataclasses.fields(Run) if f.name in specification
    }
    given |= {
        "generator": _generator(specification["generator"]),
        "training": Training(**specification["training"]),
        "point": {},
    }
    run = Run(**given)
    if run.key != key:
        name = specification["generator"]["name"]
        raise InvalidRequest(
            f"run {key}: generator {name!r} has other contents here than the run was asked for with: put "
            "its file back in its place"
        )
    return run


def _generator(specification: Mapping[str, Any]) -> Generator:
    name = specification["name"]
    fields = dataclasses.fields(look_up("generator", name, generators()))  # type: ignore[arg-type]
    given = {f.name: specification[f.name] for f in fields if f.init and f.name in specification}
    # JSON knows no tuples.
    return load_generator(name, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


# What --save keeps, and the folder that it stands in.
SAVED = ("weights", "representations")


def weights(fitted: FittedCohort, runs: Sequence[Run], sound: Sequence[int]) -> dict[str, bytes]:
    """Files of the members at `sound`: parameters, buffers, and the loss at every step."""
    files = {}
    for i in sound:
        stacked = fitted.program.vectorised
        tensors = {
            f"{kind}.{name}": tensor[i] if stacked else tensor
            for kind, part in zip(_KINDS, fitted.states[0 if stacked else i], strict=True)
            for name, tensor in part.items()
        }
        tensors["losses"] = fitted.losses[:, i]
        about = {"program": fitted.program.reason or ""}
        files[_name("weights", runs[i].key)] = _packed(runs[i].key, tensors, about)
    return files


def representations(
    represent: Represent,
    runs: Sequence[Run],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    level: Level,
    device: str,
) -> dict[str, bytes]:
    """Files of readouts and labels of the test rows: `readouts.z12` (n, width), `labels.synergy` (n), ..."""
    if len(runs) == 1:
        both = doubled(runs), doubled(generators), doubled(seeds)
        return representations(doubled_readouts(represent), *both, level, device)
    rows = draw(represent, generators, seeds, "test", level.test, torch.device(device), Clock())
    files = {}
    for i, run in enumerate(runs):
        tensors = {f"readouts.{name}": z[i] for name, z in rows.readouts.items()}
        tensors |= {f"labels.{name}": label[i] for name, label in rows.labels.items()}
        files[_name("representations", run.key)] = _packed(run.key, tensors, {})
    return files


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Puts files in their place; each is there whole or not at all."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path, "wb") as file:
            file.write(data)


def lacking(directory: Path, kinds: Sequence[str], keys: Iterable[str]) -> int:
    """How many runs lack a file of these kinds."""
    return sum(any(not (directory / _name(kind, key)).is_file() for kind in kinds) for key in keys)


def load_run(directory: Path | str, run: str, device: torch.device | str = "cpu") -> Fitted:
    """The fitted model of a run that a sweep with `--save weights` trained.

    Args:
        directory: the sweep's folder.
        run: its key, as in the column `run` of results.csv.
        device: where to compute.

    Returns:
        What `fit` had returned: `represent` gives the same numbers bit for bit, on the device and the
        build that trained it.

    Raises:
        InvalidRequest: no such run, no weights of it, a damaged file; a user's own code that is not
            what it was.
    """
    directory = Path(directory)
    with closing(Store(directory / "results.sqlite", reading=True)) as store:
        found = restore(store.specification(run))
    tensors, about = load(directory, "weights", run, device)
    template = build(
        load_objective(found.objective, found.source),
        Member(found.generator, found.seed),
        found.training,
        "cpu",
    )
    program = Program(template, about["program"] or None)
    losses = tensors.pop("losses")[:, None].cpu()
    stacked = {name: torch.stack(doubled([t])) if program.vectorised else t for name, t in tensors.items()}
    params, buffers = (
        {name.removeprefix(f"{kind}."): t for name, t in stacked.items() if name.startswith(f"{kind}.")}
        for kind in _KINDS
    )
    return Fitted(FittedCohort(program, [(params, buffers)], 1, losses, {}), found.generator)


def load(
    directory: Path, kind: str, run: str, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a run's file, and what is said of them.

    Raises:
        InvalidRequest: there is no file, or it is damaged.
    """
    path = Path(directory) / _name(kind, run)
    if not path.is_file():
        raise InvalidRequest(f"no {kind} of run {run} in {directory}: a sweep with --save {kind} keeps them")
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if about.get("digest") != _digest(run, tensors, about):
            raise ValueError("its contents do not have the digest that it states")
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidRequest(
            f"cannot use {path} ({error}): restore it from a copy, or train the run again in a new folder"
        ) from None
    return {name: t.to(device) for name, t in tensors.items()}, about


_KINDS = ("params", "buffers")


def _name(kind: str, run: str) -> str:
    return f"{kind}/{run}.safetensors"


def _packed(run: str, tensors: Mapping[str, Tensor], about: dict[str, str]) -> bytes:
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    return save(plain, about | {"digest": _digest(run, plain, about)})


def _digest(run: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    # safetensors itself notices a file cut short, but no flipped bit.
    said: dict[str, Any] = {k: v for k, v in sorted(about.items()) if k != "digest"}
    total = hashlib.sha256(json.dumps([run, said]).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
