"""What a modality is made of; encoders are built from it."""

import math
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Vector:
    """A modality whose samples are vectors of `dim` numbers."""

    dim: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.dim,)


@dataclass(frozen=True)
class Image:
    """A modality whose samples are images, numbers from 0 to 1."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.channels, self.height, self.width)


Modality: TypeAlias = Vector | Image


def rows_at_once(modalities: tuple[Modality, ...], most: int) -> int:
    """How many rows to draw at once: `most`, or fewer where they would take more than 64 MiB.

    A function of the specification alone, because draws, and so results, follow from it.
    """
    numbers = sum(math.prod(m.shape) for m in modalities)
    return max(1, min(most, 2**24 // numbers))
