"""The exact decomposition of a known distribution."""

from typing import Any

import numpy as np

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest, nearest
from pidlab.info.entropies import joint_information, source_informations
from pidlab.info.measures import MEASURES
from pidlab.info.pmf import as_pmf


def decompose(pmf: Any, measure: str = "broja", *, normalize: bool = False) -> Decomposition:
    """Splits I(X1,X2;Y) into redundant, unique and synergistic bits.

    redundant = R, unique_i = I(Xi;Y) - R, synergy = I(X1,X2;Y) - I(X1;Y) - I(X2;Y) + R, with R of the
    measure (Williams & Beer 2010). `broja` is solved to a certified gap; `ccs` and `dep` rest on an
    iterative maximum-entropy law, whose entropy gap stands for theirs; the rest are closed forms.

    Args:
        pmf: probabilities, shape (..., n1, n2, ny): the target Y is the last axis.
        measure: broja, imin, mmi, ccs, dep, sx or gk (`pidlab list measures`).
        normalize: accept counts or weights and divide by their sum.

    Returns:
        The terms in bits: floats for one pmf, else float64 arrays of the batch shape.

    Raises:
        InvalidRequest: not a pmf (see `pidlab.info.pmf.as_pmf`), or an unknown measure.

    Example:
        >>> import numpy as np, pidlab
        >>> copy = np.zeros((2, 2, 2))
        >>> copy[0, 0, 0] = copy[1, 1, 1] = 0.5
        >>> pidlab.decompose(copy, "mmi").redundant
        1.0
    """
    if measure not in MEASURES:
        raise InvalidRequest(f"unknown measure {measure!r}: {nearest(str(measure), MEASURES)}")
    checked = as_pmf(pmf, normalize)
    asked = MEASURES[measure]
    if asked.redundancy is None:
        # The solver brings torch, which nobody else here needs.
        from pidlab.info.broja import broja

        return broja(checked)
    redundant, gap = asked.redundancy(checked)
    first, second = source_informations(checked)
    both = joint_information(checked)
    terms = (redundant, first - redundant, second - redundant, both - first - second + redundant)
    if checked.ndim == 3:
        return Decomposition(*map(float, terms), measure=measure, how=asked.how, gap=float(gap))
    shaped = (np.asarray(term, dtype=np.float64) for term in terms)
    return Decomposition(*shaped, measure=measure, how=asked.how, gap=gap)
