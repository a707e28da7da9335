"""Fresh rows of every split: readouts, labels and cells of every member of a cohort."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.analysis.features import Labels
from pidlab.clock import Clock
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, Sample, Target
from pidlab.modality import rows_at_once
from pidlab.seeds import child

# Rows drawn at once, fewer of large images (`rows_at_once`).
DRAW_ROWS = 4096

SPLITS = ("train", "validation", "test")

# The split that rows come from where a generator has but so many.
FINITE = {"train": "probe", "validation": "validation", "test": "test"}

Represent = Callable[[Sequence[Tensor]], dict[str, Float[Tensor, "members n _"]]]


@dataclass(frozen=True)
class Rows:
    """Rows of one split.

    Args:
        readouts: vectors by readout.
        labels: class numbers by target, and by what stands beside the targets.
        cells: every modality's symbols as one number, where the generator names them.
    """

    readouts: dict[str, Float[Tensor, "members n _"]]
    labels: dict[str, Int[Tensor, "members n"]]
    cells: tuple[Int[Tensor, "members n"], ...]


def draw(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    split: str,
    n: int,
    device: torch.device,
    clock: Clock,
) -> Rows:
    """`n` rows that no encoder and no other split has seen: children `("probes", split, ...)`.

    Fewer where a generator has no more of them.

    Raises:
        InvalidRequest: a readout that is not (n, width) of each member.
    """
    stack = type(generators[0]).stack(generators)
    parts, source, most = [], "eval", rows_at_once(generators[0].modalities, DRAW_ROWS)
    if (rows := generators[0].rows(FINITE[split])) is not None:
        # No row is met twice: not in two splits, nor within one.
        n = most = min(n, rows)
        source = FINITE[split]
    for c, start in enumerate(range(0, n, most)):
        with clock("data"):
            sample: Sample = stack.sample(
                min(most, n - start),
                [child(seed, "probes", split, c) for seed in seeds],
                source,
                device,
            )
        with clock("representing"):
            n_rows = sample.x[0].shape[1]
            readouts = {name: _numbers(name, z, n_rows) for name, z in represent(sample.x).items()}
            parts.append(Rows(readouts, {**sample.targets, **sample.beside}, sample.cells))
    return Rows(
        {name: torch.cat([p.readouts[name] for p in parts], dim=1) for name in parts[0].readouts},
        {name: torch.cat([p.labels[name] for p in parts], dim=1) for name in parts[0].labels},
        tuple(torch.cat(cells, dim=1) for cells in zip(*(p.cells for p in parts), strict=True)),
    )


def _numbers(name: str, z: Tensor, n: int) -> Tensor:
    """The readout; of another kind than float32 its numbers keep their digits until they are whitened."""
    if z.ndim != 3 or z.shape[1] != n or z.shape[2] == 0 or z.is_complex():
        raise InvalidRequest(
            f"readout {name!r} has shape {tuple(z.shape[1:])} of {z.dtype}: expected numbers, ({n}, width)"
        )
    return z if z.dtype == torch.float32 else z.double()


def labels_of(members: Sequence[Mapping[str, Target]], splits: Sequence[Rows]) -> Labels:
    """The labels of some targets, those of every member under the same names."""
    names = tuple(members[0])
    stacked = [torch.stack([rows.labels[name] for name in names], dim=1) for rows in splits]
    priors = [[target.prior for target in member.values()] for member in members]
    return Labels(names, log_priors(priors, stacked[0].device), *stacked)


def log_priors(
    priors: Sequence[Sequence[Sequence[float]]], device: torch.device
) -> Float[Tensor, "members targets classes"]:
    """Natural logs of priors, minus infinity where there is no such class."""
    classes = max(len(prior) for prior in priors[0])
    table = torch.zeros(len(priors), len(priors[0]), classes, dtype=torch.float64)
    for k, member in enumerate(priors):
        for t, prior in enumerate(member):
            table[k, t, : len(prior)] = torch.tensor(prior, dtype=torch.float64)
    return table.log().float().to(device)
