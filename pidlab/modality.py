"""What a modality is made of; encoders are built from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vector:
    """A modality whose samples are vectors of `dim` numbers."""

    dim: int


Modality = Vector
