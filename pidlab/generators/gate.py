"""Named gates and pmfs from files as generators."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest
from pidlab.generators.finite import Finite
from pidlab.info.pmf_files import load_pmf


@dataclass(frozen=True)
class Gate(Finite):
    """A named gate, or a pmf p(x1, x2, y) from a file.

    Distribution: the symbols (x1, x2, y) follow the pmf and are rendered as in `Finite`. Truth: the
    solver's decomposition of the pmf, with its certified gap. Views: `task`, `noise`, `generic`.

    Args:
        pmf: Name of a gate (`pidlab list gates`), or a .csv, .json or .npy file
            (`pidlab.info.pmf_files.read_pmf`).
        noise: Standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If there is no such gate or file, a value is out of range, or the width is too small.

    Example:
        >>> {term: round(bits, 3) for term, bits in Gate("and").truth.terms.items()}
        {'redundant': 0.311, 'unique1': 0.0, 'unique2': 0.0, 'synergy': 0.5}
    """

    name: ClassVar[str] = "gate"

    pmf: str = "xor"
    # Stored results are identified by the contents, because a file can change under its name.
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
