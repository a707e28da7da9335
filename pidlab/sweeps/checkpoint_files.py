"""Weights and representations of runs, one safetensors file each."""

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
from pidlab.generators import Generator, accepted_parameters, generators, load_generator
from pidlab.io import Stopwatch, atomic_write
from pidlab.objectives import load_objective
from pidlab.objectives.load import source_digest
from pidlab.probes.levels import Level
from pidlab.probes.splits import Represent, draw_split
from pidlab.registry import look_up
from pidlab.sweeps.plan import Run
from pidlab.sweeps.request import digest
from pidlab.sweeps.store import Store
from pidlab.training import Fitted, FittedCohort, Member
from pidlab.training.cohort import build
from pidlab.training.program import Program


def restore(specification: Mapping[str, Any]) -> Run:
    """Rebuild a run from its specification; its point in a sweep is not part of it.

    Args:
        specification: `Run.specification`, also after a round trip through JSON.

    Raises:
        InvalidRequest: If the run has another result version, or the user's code or data file that it names
            is missing or has changed.
    """
    key = digest(specification)
    if specification["version"] != defaults.RESULT_VERSION:
        raise InvalidRequest(
            f"run {key}: result version {specification['version']}, but this pidlab makes version "
            f"{defaults.RESULT_VERSION}; use the pidlab that made it, or train it again"
        )
    here = source_digest(specification["objective"])
    if here != specification.get("source"):
        raise InvalidRequest(
            f"run {key}: the source of {specification['objective']!r} has digest {here}, but the run was "
            f"made with {specification.get('source')}; restore that file"
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
            f"run {key}: generator {name!r} has other contents than when the run was made; restore its file"
        )
    return run


def _generator(specification: Mapping[str, Any]) -> Generator:
    name = specification["name"]
    # A digest of contents is not a parameter.
    accepted = accepted_parameters(look_up("generator", name, generators()))
    given = {key: value for key, value in specification.items() if key in accepted}
    # JSON turns tuples into lists.
    return load_generator(name, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def weights(fitted: FittedCohort, runs: Sequence[Run], sound: Sequence[int]) -> dict[str, bytes]:
    """Return files with the parameters, buffers and losses of members of a cohort, by name.

    Args:
        fitted: The trained cohort.
        runs: Its runs.
        sound: Indices of the members to keep.
    """
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
    """Return files with readouts and labels of the probes' test rows, by name.

    A file holds `readouts.z12` of shape (n, width), `labels.synergy` of shape (n,), and so on.

    Args:
        represent: Represents data by every member.
        runs: Runs of the members.
        generators: Their generators.
        seeds: Their seeds.
        level: Effort of the probes, which sets the number of test rows.
        device: Device type.
    """
    if len(runs) == 1:  # a single member would use other kernels than two, so it is doubled
        both = doubled(runs), doubled(generators), doubled(seeds)
        return representations(doubled_readouts(represent), *both, level, device)
    rows = draw_split(represent, generators, seeds, "test", level.test, torch.device(device), Stopwatch())
    files = {}
    for i, run in enumerate(runs):
        tensors = {f"readouts.{name}": z[i] for name, z in rows.readouts.items()}
        tensors |= {f"labels.{name}": label[i] for name, label in rows.labels.items()}
        files[_name("representations", run.key)] = _packed(run.key, tensors, {})
    return files


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each atomically."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path, "wb") as file:
            file.write(data)


def count_missing(directory: Path, kinds: Sequence[str], keys: Iterable[str]) -> int:
    """Count the runs without a file of one of these kinds."""
    return sum(any(not (directory / _name(kind, key)).is_file() for kind in kinds) for key in keys)


def load_run(directory: Path | str, run: str, device: torch.device | str = "cpu") -> Fitted:
    """Load the trained model of a run from a sweep with `--save weights`.

    Args:
        directory: Folder of the sweep.
        run: Key of the run, as in the column `run` of results.csv.
        device: Device to compute on.

    Returns:
        The fitted model, as `fit` returns it. On the same device type and build of torch, `represent` gives
        exactly the numbers of the sweep.

    Raises:
        InvalidRequest: If there is no such run, its weights were not saved, the file is damaged, or the
            user's code has changed.

    Example:
        >>> fitted = load_run("runs/unique", "327dcebab3f74978")  # doctest: +SKIP
    """
    directory = Path(directory)
    with closing(Store(directory / "results.sqlite", reading=True)) as store:
        specification = store.specification(run)
    try:
        saved = restore(specification)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"run {run}: its specification in {directory} cannot be used ({type(error).__name__}: {error}); "
            "restore results.sqlite from a copy, or train the run again in a new folder"
        ) from None
    tensors, about = load(directory, "weights", run, device)
    template = build(
        load_objective(saved.objective, saved.source),
        Member(saved.generator, saved.seed),
        saved.training,
        "cpu",
    )
    program = Program(template, about["program"] or None)
    losses = tensors.pop("losses")[:, None].cpu()
    # A single member would use other kernels than two, so it is doubled, as in training.
    stacked = {name: torch.stack(doubled([t])) if program.vectorised else t for name, t in tensors.items()}
    params, buffers = (
        {name.removeprefix(f"{kind}."): t for name, t in stacked.items() if name.startswith(f"{kind}.")}
        for kind in _KINDS
    )
    return Fitted(FittedCohort(program, [(params, buffers)], 1, losses, {}), saved.generator)


def load(
    directory: Path, kind: str, run: str, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Load the tensors and the metadata of a run's file.

    Args:
        directory: Folder of the sweep.
        kind: `"weights"` or `"representations"`.
        run: Key of the run.
        device: Device for the tensors.

    Raises:
        InvalidRequest: If the file is missing or damaged.
    """
    path = Path(directory) / _name(kind, run)
    if not path.is_file():
        raise InvalidRequest(f"no {kind} of run {run} in {directory}: sweep with --save {kind} to keep them")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Files of version 0.1.0 have one entry for each value.
            about = {**json.loads(metadata["about"])} if "about" in metadata else metadata
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if about.get("digest") != _digest(run, tensors, about):
            raise ValueError("the digest in the file does not match its contents")
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InvalidRequest(
            f"cannot read {path} ({error}): restore it from a copy, or train the run again in a new folder"
        ) from None
    return {name: t.to(device) for name, t in tensors.items()}, about


_KINDS = ("params", "buffers")


def _name(kind: str, run: str) -> str:
    return f"{kind}/{run}.safetensors"


def _packed(run: str, tensors: Mapping[str, Tensor], about: dict[str, str]) -> bytes:
    # `contiguous()` keeps the strides of dimensions of size 1, which safetensors refuses.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # A single entry, because safetensors writes several in random order.
    described = json.dumps(about | {"digest": _digest(run, plain, about)}, sort_keys=True)
    return save(plain, {"about": described})


def _digest(run: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    # safetensors detects a truncated file but not a flipped bit.
    metadata: dict[str, Any] = {k: v for k, v in sorted(about.items()) if k != "digest"}
    total = hashlib.sha256(json.dumps([run, metadata]).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
