"""Doubling of cohorts with one member, so that a member gets the same bits alone as in a larger cohort."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Represent = Callable[[Sequence[Tensor]], dict[str, Tensor]]


def doubled(items: Sequence[T]) -> list[T]:
    """Return the items of a cohort, with a single item repeated.

    Batched matrix products of one member use other kernels than those of several members, and round
    differently. A cohort of one is therefore computed as a cohort of two equal members.

    Args:
        items: One item per member, at least one.

    Returns:
        At least two items.

    Example:
        >>> doubled(["a"]), doubled(["a", "b"])
        (['a', 'a'], ['a', 'b'])
    """
    return [*items] * 2 if len(items) == 1 else [*items]


def doubled_readouts(represent: Represent) -> Represent:
    """Return the readouts of two equal members, computed from those of one.

    Args:
        represent: Maps observations, each (1, n, ...), to readouts, each (1, n, width).

    Returns:
        A function that maps observations (2, n, ...) to readouts (2, n, width).
    """

    def represent_twice(x: Sequence[Tensor]) -> dict[str, Tensor]:
        return {name: torch.cat([z, z]) for name, z in represent([xi[:1] for xi in x]).items()}

    return represent_twice
