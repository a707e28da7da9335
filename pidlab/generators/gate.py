"""Named gates and a user's own pmfs as generators."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.finite import Finite
from pidlab.info import decompose
from pidlab.info.pmf_files import load_pmf


@dataclass(frozen=True)
class Gate(Finite):
    """A named gate, or a pmf of a user's own: p(x1, x2, y) with one target, y.

    Rendered as `pidlab.generators.finite.Finite` describes, which has the other parameters: noise,
    nuisance, depth, slope, width, world. The truth is the solver's.

    Args:
        pmf: a gate (`pidlab list gates`) or a .csv, .json or .npy file (`pidlab.info.pmf_files.read_pmf`).

    Raises:
        InvalidRequest: no such gate or file, a value out of range, or more latents than `width` can carry.
    """

    name: ClassVar[str] = "gate"

    pmf: str = "xor"
    # A file can change under its name; results are kept by what was in it.
    contents: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.pmf, str):
            raise InvalidRequest(f"pmf = {self.pmf!r}: expected the name of a gate or of a file")
        object.__setattr__(self, "contents", hashlib.sha256(self._law.tobytes()).hexdigest()[:16])
        super().__post_init__()

    @cached_property
    def _law(self) -> Float[np.ndarray, "n1 n2 ny"]:
        return load_pmf(self.pmf).values

    def law(self, split: str = "eval") -> Float[np.ndarray, "n1 n2 ny"]:
        return self._law

    @property
    def truth(self) -> Decomposition:
        return self._truth

    @cached_property
    def _truth(self) -> Decomposition:
        return decompose(self._law)
