"""Rows that probes see: readouts, labels and symbol cells of every member in each split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.encoders import rows_at_once
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, Sample, Target
from pidlab.io import Stopwatch
from pidlab.seeds import child

# The most rows drawn in one call; fewer for large images (`rows_at_once`).
DRAW_ROWS = 4096

SPLITS = ("train", "validation", "test")

# The split of a generator with finitely many rows that supplies each of ours.
FINITE_SPLITS = {"train": "probe", "validation": "validation", "test": "test"}

Represent = Callable[[Sequence[Tensor]], dict[str, Float[Tensor, "members n _"]]]


@dataclass(frozen=True)
class Split:
    """Rows of one split.

    Args:
        readouts: Frozen representations by readout name, each of shape (members, n, width).
        labels: Class indices by target name, auxiliary targets included, each of shape (members, n).
        cells: One tensor per modality that numbers the joint symbol of each row, shape (members, n);
            empty if the generator has no ``cell_laws``.
    """

    readouts: dict[str, Float[Tensor, "members n _"]]
    labels: dict[str, Int[Tensor, "members n"]]
    cells: tuple[Int[Tensor, "members n"], ...]


def draw_split(
    represent: Represent,
    generators: Sequence[Generator],
    seeds: Sequence[int],
    split: str,
    n: int,
    device: torch.device,
    clock: Stopwatch,
) -> Split:
    """Draw rows that neither the encoders nor the other splits contain.

    Args:
        represent: Function from stacked observations to readouts of every member.
        generators: One generator per member.
        seeds: One seed per member; the rows come from its child ``("probes", split, chunk)``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        n: Number of rows; a generator with fewer rows returns all of them.
        device: Device of the tensors.
        clock: Timer for the activities ``data`` and ``representing``.

    Returns:
        The rows of all members.

    Raises:
        InvalidRequest: If a readout does not have shape (n, width) for each member.
    """
    stack = type(generators[0]).stack(generators)
    chunks, source, chunk_rows = [], "eval", rows_at_once(generators[0].modalities, DRAW_ROWS)
    if (available := generators[0].rows(FINITE_SPLITS[split])) is not None:
        # One draw takes distinct rows; several draws could repeat one.
        n = chunk_rows = min(n, available)
        source = FINITE_SPLITS[split]
    for chunk, start in enumerate(range(0, n, chunk_rows)):
        chunk_seeds = [child(seed, "probes", split, chunk) for seed in seeds]
        with clock("data"):
            sample: Sample = stack.sample(min(chunk_rows, n - start), chunk_seeds, source, device)
        with clock("representing"):
            rows = sample.x[0].shape[1]
            readouts = {name: _numeric(name, z, rows) for name, z in represent(sample.x).items()}
            chunks.append(Split(readouts, {**sample.targets, **sample.auxiliary_targets}, sample.cells))
    return Split(
        {name: torch.cat([c.readouts[name] for c in chunks], dim=1) for name in chunks[0].readouts},
        {name: torch.cat([c.labels[name] for c in chunks], dim=1) for name in chunks[0].labels},
        tuple(torch.cat(cells, dim=1) for cells in zip(*(c.cells for c in chunks), strict=True)),
    )


def _numeric(name: str, z: Tensor, n: int) -> Tensor:
    """Return a readout as float32, or as float64 if whitening must first see its full precision."""
    if z.ndim != 3 or z.shape[1] != n or z.shape[2] == 0 or z.is_complex():
        raise InvalidRequest(
            f"readout {name!r}: has shape {tuple(z.shape[1:])} and type {z.dtype}; "
            f"return real numbers of shape ({n}, width)"
        )
    return z if z.dtype == torch.float32 else z.double()


@dataclass(frozen=True)
class Labels:
    """Labels of several targets, padded to the largest number of classes.

    Args:
        names: Names of the targets.
        log_prior: Natural log of the exact class probabilities, shape (members, targets, classes);
            minus infinity for classes that do not occur.
        train: Class indices of the training rows, shape (members, targets, n).
        validation: Class indices of the validation rows, shape (members, targets, m).
        test: Class indices of the test rows, shape (members, targets, k).
    """

    names: tuple[str, ...]
    log_prior: Float[Tensor, "members targets classes"]
    train: Int[Tensor, "members targets n"]
    validation: Int[Tensor, "members targets m"]
    test: Int[Tensor, "members targets k"]

    def with_first_rows(self, n: int) -> "Labels":
        """Return the labels with only the first `n` training rows."""
        return replace(self, train=self.train[:, :, :n])

    def take(self, members: Sequence[int]) -> "Labels":
        """Return the labels of some members, in this order."""
        chosen = list(members)
        return Labels(
            self.names,
            self.log_prior[chosen],
            self.train[chosen],
            self.validation[chosen],
            self.test[chosen],
        )

    def select(self, name: str, classes: int) -> "Labels":
        """Return the labels of one target, with the first `classes` of the padded classes."""
        i = self.names.index(name)
        return Labels(
            (name,),
            self.log_prior[:, [i], :classes],
            self.train[:, [i]],
            self.validation[:, [i]],
            self.test[:, [i]],
        )


def stack_labels(members: Sequence[Mapping[str, Target]], splits: Sequence[Split]) -> Labels:
    """Stack the labels of several targets.

    Args:
        members: Target specifications of each member, by the same names in every member.
        splits: Training, validation and test rows.

    Returns:
        The labels of these targets in the three splits.
    """
    names = tuple(members[0])
    stacked = [torch.stack([split.labels[name] for name in names], dim=1) for split in splits]
    priors = [[target.prior for target in member.values()] for member in members]
    return Labels(names, log_priors(priors, stacked[0].device), *stacked)


def log_priors(
    priors: Sequence[Sequence[Sequence[float]]], device: torch.device
) -> Float[Tensor, "members targets classes"]:
    """Return natural logs of class probabilities, minus infinity in the padded classes.

    Args:
        priors: Class probabilities of each target of each member.
        device: Device of the result.
    """
    classes = max(len(prior) for prior in priors[0])
    table = torch.zeros(len(priors), len(priors[0]), classes, dtype=torch.float64)
    for k, member in enumerate(priors):
        for t, prior in enumerate(member):
            table[k, t, : len(prior)] = torch.tensor(prior, dtype=torch.float64)
    return table.log().float().to(device)
