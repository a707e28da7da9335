"""Bounds on mutual information, and critics: networks that score every pair (a, b)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pidlab.encoders import Linear, mlp
from pidlab.objectives.contrastive import checked_temperature, infonce_of_cosines


def one_hot(
    targets: Mapping[str, Int[Tensor, "*member n"]], classes: Mapping[str, int], like: Tensor
) -> Float[Tensor, "*member n codes"]:
    """Return the concatenated one-hot codes of all targets.

    Args:
        targets: Class index by target, each (n,).
        classes: Number of classes of each target. The width of the codes is their sum.
        like: Tensor with the device and floating-point type of the codes.

    Example:
        >>> one_hot({"y": torch.tensor([1, 0])}, {"y": 2}, torch.zeros(1))
        tensor([[0., 1.],
                [1., 0.]])
    """
    codes = [targets[name][..., None] == torch.arange(k, device=like.device) for name, k in classes.items()]
    return torch.cat(codes, dim=-1).to(like.dtype)


def every_class(classes: Mapping[str, int], like: Tensor) -> Float[Tensor, "*member k codes"]:
    """Return `one_hot` of every joint label, in the order of `Batch.y`: the last target changes fastest.

    Args:
        classes: Number of classes of each target; the number of rows is their product.
        like: Tensor with the device and floating-point type of the codes.
    """
    y = torch.arange(math.prod(classes.values()), device=like.device)
    digits = {}
    for name, k in reversed(list(classes.items())):
        digits[name], y = y % k, y // k
    return one_hot(digits, classes, like)


def infonce(
    scores: Float[Tensor, "*member n n"], allowed: Bool[Tensor, "*member n n"] | None = None
) -> Float[Tensor, "*member"]:
    """Compute InfoNCE, a lower bound on I(A;B) that is at most log n, in nats.

    mean_i F_ii - mean_j [log sum_i exp F_ij - log n]. The candidates of b_j are all a_i, including a_j. With
    `allowed` they are the rows of its class, and n is their number (van den Oord et al. 2018; Poole et al.
    2019).

    Args:
        scores: Scores F of all pairs, shape (n, n).
        allowed: Whether row i is a candidate of j, shape (n, n); all rows by default.

    Example:
        >>> infonce(torch.zeros(4, 4))
        tensor(0.)
    """
    if allowed is None:
        normaliser = torch.logsumexp(scores, -2) - math.log(scores.shape[-2])
    else:
        candidates = scores.masked_fill(~allowed, -math.inf)
        normaliser = torch.logsumexp(candidates, -2) - allowed.to(scores).sum(-2).log()
    return _diagonal_mean(scores) - normaliser.mean(-1)


def infonce_of_classes(
    scores: Float[Tensor, "*member n k"], y: Int[Tensor, "*member n"]
) -> Float[Tensor, "*member"]:
    """Compute InfoNCE of A and a class label Y from n × k scores instead of n × n, in nats.

    Equal to `infonce(scores[:, y])`, since columns of one class have one normalizer.

    Args:
        scores: Scores f(a_i, class c), shape (n, k).
        y: Class index of each row, shape (n,).
    """
    normaliser = torch.logsumexp(scores, -2) - math.log(scores.shape[-2])
    return (scores.gather(-1, y[..., None])[..., 0] - normaliser.gather(-1, y)).mean(-1)


def club(
    scores: Float[Tensor, "*member n n"], allowed: Bool[Tensor, "*member n n"] | None = None
) -> Float[Tensor, "*member"]:
    """Compute CLUB of a critic: mean_i F_ii - mean_ij F_ij, in nats (Cheng et al. 2020, arXiv 2006.12013).

    NCE-CLUB is its value for the critic that maximizes `infonce` (FactorCL, arXiv 2306.05268, Eq. 10). For
    the optimal critic it equals KL(p‖q) + KL(q‖p) of the joint distribution p and the product q of its
    marginals: an upper bound on I, tight only if I = 0.

    Args:
        scores: Scores F of all pairs, shape (n, n).
        allowed: Whether pair (i, j) counts in the second mean, shape (n, n); all pairs by default.
    """
    if allowed is None:
        return _diagonal_mean(scores) - scores.mean((-2, -1))
    weight = allowed.to(scores)
    weight = weight / weight.sum(-2, keepdim=True)
    return _diagonal_mean(scores) - (weight * scores).sum(-2).mean(-1)


def _diagonal_mean(scores: Float[Tensor, "*member n n"]) -> Float[Tensor, "*member"]:
    return scores.diagonal(dim1=-2, dim2=-1).mean(-1)


def same_class(y: Int[Tensor, "*member n"]) -> Bool[Tensor, "*member n n"]:
    """Return whether two rows have equal labels, for every pair of rows."""
    return y[..., :, None] == y[..., None, :]


class Separable(nn.Module):
    """A separable critic f(a, b) = cos(g(a), h(b)) / temperature with MLPs g and h.

    It scores n × m pairs with n + m passes. Vectors of unit length bound the scores. With products g·h of
    unbounded vectors, networks that minimize CLUB change faster than its critic, and the loss diverges.

    Args:
        first: Width of a.
        second: Width of b.
        temperature: Temperature of the cosines, at least 0.0125.
        hidden: Width of the hidden layer of g and of h.
        width: Width of the outputs of g and h.
    """

    stackable: ClassVar[bool] = True

    def __init__(
        self, first: int, second: int, *, temperature: float = 0.2, hidden: int = 64, width: int = 32
    ) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)
        self.g, self.h = mlp(first, hidden, width), mlp(second, hidden, width)

    def forward(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member m _"]
    ) -> Float[Tensor, "*member n m"]:
        """Compute the score of every pair, shape (n, m)."""
        g, h = self._vectors(a, b)
        return g @ h.mT

    def infonce(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member n _"]
    ) -> Float[Tensor, "*member"]:
        """Compute `infonce` of the scores."""
        return infonce_of_cosines(self.g(a), self.h(b), self.temperature)

    def club(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member n _"]
    ) -> Float[Tensor, "*member"]:
        """Compute `club` of the scores from n instead of n² products: the mean over all pairs is ḡ·h̄."""
        g, h = self._vectors(a, b)
        return (g * h).sum(-1).mean(-1) - (g.mean(-2) * h.mean(-2)).sum(-1)

    def _vectors(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.g(a), dim=-1) / self.temperature, F.normalize(self.h(b), dim=-1)


class Concat(nn.Module):
    """A critic f(a, b) = MLP([a, b]) with two hidden layers.

    The first layer is linear in each input, so it is applied to a and b separately, and the results are
    added for every pair.

    Args:
        first: Width of a.
        second: Width of b.
        hidden: Width of the hidden layers.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, first: int, second: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.first = Linear(first, hidden, fan_in=first + second)
        self.second = Linear(second, hidden, fan_in=first + second, bias=False)
        self.rest = mlp(hidden, hidden, 1)

    def forward(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member m _"]
    ) -> Float[Tensor, "*member n m"]:
        """Compute the score of every pair, shape (n, m)."""
        pairs = (self.first(a)[..., :, None, :] + self.second(b)[..., None, :, :]).relu_()
        scores = self.rest(pairs.flatten(-3, -2))[..., 0]
        return scores.unflatten(-1, (a.shape[-2], b.shape[-2]))

    def infonce(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member n _"]
    ) -> Float[Tensor, "*member"]:
        """Compute `infonce` of the scores."""
        return infonce(self(a, b))

    def club(
        self, a: Float[Tensor, "*member n _"], b: Float[Tensor, "*member n _"]
    ) -> Float[Tensor, "*member"]:
        """Compute `club` of the scores."""
        return club(self(a, b))


CRITICS = {"separable": Separable, "concat": Concat}
