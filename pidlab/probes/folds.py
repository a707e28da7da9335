"""Folds of a user's rows: at random, by group, or one fold for rows held out by the user."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.seeds import child, torch_generator

FOLDS = 5
# Contiguous blocks of rows, for time series.
BLOCKS = 10


@dataclass(frozen=True)
class Fold:
    """Row indices of a fold: rows that fit probes, that select them, and that are scored."""

    train: Tensor
    validation: Tensor
    test: Tensor


def make_folds(n: int, groups: np.ndarray | None, seed: int) -> list[Fold]:
    """Return five folds; the rows of a group are all fitted, all validated or all scored.

    All folds have the same numbers of rows; surplus rows are left out.

    Args:
        n: Number of rows.
        groups: Group of each row, shape (n,), or None for independent rows.
        seed: Seed of the assignment.

    Raises:
        InvalidRequest: If there are fewer than five groups.
    """
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    if groups is None:
        return _random_folds(order)
    parts = _group_parts(groups, order, seed)
    triples = []
    for f in range(FOLDS):
        others = [parts[(f + k) % FOLDS] for k in range(2, FOLDS)]
        train = torch.cat(others)
        # Batches are taken in order, so rows of a group must not be adjacent.
        shuffle = torch.randperm(len(train), generator=torch_generator(child(seed, "shuffle", f)))
        triples.append((train[shuffle], parts[(f + 1) % FOLDS], parts[f]))
    sizes = [min(len(triple[i]) for triple in triples) for i in range(3)]
    return [Fold(*(rows[:size] for rows, size in zip(triple, sizes, strict=True))) for triple in triples]


def held_out_folds(n: int, groups: np.ndarray | None, seed: int) -> list[Fold]:
    """Return one fold twice, with a fifth of the rows for validation, for test rows given by the user.

    Batched kernels of one matrix differ from those of several, so a single fold is computed twice.

    Args:
        n: Number of rows.
        groups: Group of each row, shape (n,), or None for independent rows.
        seed: Seed of the assignment.
    """
    order = torch.randperm(n, generator=torch_generator(child(seed, "folds")))
    if groups is None:
        train, validation = order[n // FOLDS :], order[: n // FOLDS]
    else:
        validation, *others = _group_parts(groups, order, seed)
        train = torch.cat(others)
        train = train[torch.randperm(len(train), generator=torch_generator(child(seed, "shuffle", 0)))]
    return [Fold(train, validation, order[:0])] * 2


def contiguous_blocks(n: int) -> np.ndarray:
    """Return the block of each of `n` rows in time order."""
    return np.arange(n) * BLOCKS // n


def _random_folds(order: Tensor) -> list[Fold]:
    size = len(order) // FOLDS
    folds = []
    for f in range(FOLDS):
        rest = torch.cat([order[: f * size], order[(f + 1) * size :]])
        # Rows beyond a multiple of FOLDS are never scored; rotate, so that each fold validates on others.
        rest = rest.roll(-f)
        folds.append(Fold(rest[size:], rest[:size], order[f * size : (f + 1) * size]))
    return folds


def _group_parts(groups: np.ndarray, order: Tensor, seed: int) -> list[Tensor]:
    """Divide the groups into five parts of about equally many rows; each part is in random order."""
    names, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < FOLDS:
        raise InvalidRequest(f"groups: there are {len(names)}; give at least {FOLDS} groups of rows")
    sizes = [0] * FOLDS
    part_of = np.zeros(len(names), dtype=np.int64)
    shuffled = torch.randperm(len(names), generator=torch_generator(child(seed, "groups"))).numpy()
    # Largest groups first, each to the smallest part: the usual greedy balance.
    for group in sorted(shuffled, key=lambda g: -counts[g]):
        part_of[group] = part = sizes.index(min(sizes))
        sizes[part] += int(counts[group])
    part = torch.as_tensor(part_of[codes.reshape(-1)])[order]
    return [order[part == f] for f in range(FOLDS)]
