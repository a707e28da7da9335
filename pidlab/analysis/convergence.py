"""Whether more probe rows would raise a score: the ladder climbed again on a quarter of them."""

import torch
from jaxtyping import Bool
from torch import Tensor

from pidlab.analysis.reading import Reading

# Four times the rows raised the score by more than this many bits, or by more than two standard errors
# of it and a visible amount: it has not converged.
RISE, VISIBLE = 0.02, 0.005


def converged(full: Reading, quarter: Reading) -> Bool[Tensor, "rungs members"]:
    """Whether each rung's score on test rows had stopped rising with its training rows.

    It can miss: a probe that sees nothing with either number of rows looks converged. What it could
    have seen is what the planted control says (`pidlab.analysis.controls`).
    """
    rise = full.bits.mean(-1) - quarter.bits.mean(-1)
    error = full.bits.std(-1) / full.bits.shape[-1] ** 0.5
    return ~((rise > RISE) | (rise > torch.maximum(2.0 * error, torch.full_like(error, VISIBLE))))
