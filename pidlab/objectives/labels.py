"""Labels as numbers that a critic can read."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor


def one_hot(
    targets: Mapping[str, Int[Tensor, " n"]], classes: Mapping[str, int], like: Tensor
) -> Float[Tensor, "n codes"]:
    """The one-hot codes of all targets side by side: as wide as their classes' sum, not product.

    Args:
        targets: class numbers by target.
        classes: how many classes each has.
        like: whose type of numbers the codes get.
    """
    codes = [targets[name][:, None] == torch.arange(k, device=like.device) for name, k in classes.items()]
    return torch.cat(codes, dim=1).to(like.dtype)


def every_class(classes: Mapping[str, int], like: Tensor) -> Float[Tensor, "k codes"]:
    """`one_hot` of every joint label, in the order of `Batch.y`: the last target's digit runs fastest."""
    y = torch.arange(math.prod(classes.values()), device=like.device)
    digits = {}
    for name, k in reversed(list(classes.items())):
        digits[name], y = y % k, y // k
    return one_hot(digits, classes, like)
