"""Critics: networks that score every a against every b."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pidlab.encoders import Linear, mlp
from pidlab.objectives.contrastive import checked_temperature


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


def infonce(scores: Float[Tensor, "n n"], allowed: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """InfoNCE, a lower bound on I(A;B) capped at log n (van den Oord et al. 2018; Poole et al. 2019).

    mean_i F_ii - mean_j [log sum_i exp F_ij - log n]: each b_j has every a_i as a candidate, its own
    included. With `allowed` the candidates of j are the rows of its class, and n is their number.

    Args:
        scores: F.
        allowed: which rows i are candidates of j; all by default.
    """
    if allowed is None:
        normaliser = torch.logsumexp(scores, 0) - math.log(scores.shape[0])
    else:
        candidates = scores.masked_fill(~allowed, -math.inf)
        normaliser = torch.logsumexp(candidates, 0) - allowed.to(scores).sum(0).log()
    return scores.diagonal().mean() - normaliser.mean()


def infonce_of_classes(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """InfoNCE of A and a class label Y, from n times k scores instead of n times n.

    The same number as `infonce(scores[:, y])`: columns of equal class have equal normalisers.

    Args:
        scores: f(a_i, class c).
        y: the class of every row.
    """
    normaliser = torch.logsumexp(scores, 0) - math.log(scores.shape[0])
    return (scores.gather(1, y[:, None])[:, 0] - normaliser[y]).mean()


def club(scores: Float[Tensor, "n n"], allowed: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """CLUB of a critic: mean_i F_ii - mean_ij F_ij (Cheng et al. 2020, arXiv 2006.12013).

    NCE-CLUB is its value at the critic that maximises `infonce` (FactorCL, arXiv 2306.05268, Eq. 10).
    With that critic at its optimum it is KL(p‖q) + KL(q‖p), joint against product: an upper bound on I,
    never tight unless I = 0.

    Args:
        scores: F.
        allowed: which rows i the mean over pairs takes for j; all by default.
    """
    if allowed is None:
        return scores.diagonal().mean() - scores.mean()
    weight = allowed.to(scores)
    weight = weight / weight.sum(0)
    return scores.diagonal().mean() - (weight * scores).sum(0).mean()


def nwj(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """NWJ, a lower bound on I(A;B): mean_i F_ii - mean_(i≠j) exp(F_ij - 1) (Nguyen et al. 2010).

    Args:
        scores: F; the bound is tight at F = 1 + log p(a, b) / p(a) p(b).
    """
    n = scores.shape[0]
    joint = scores.diagonal()
    product = torch.exp(scores - 1.0).sum() - torch.exp(joint - 1.0).sum()
    return joint.mean() - product / (n * (n - 1))


def same_class(y: Int[Tensor, " n"]) -> Bool[Tensor, "n n"]:
    """Which pairs of rows have one label."""
    return y[:, None] == y[None, :]


class Separable(nn.Module):
    """f(a, b) = cos(g(a), h(b)) / temperature with MLPs g and h: n + m passes score n times m pairs.

    Vectors of unit length bound the scores. Raw products g·h do not: networks that lower a CLUB value
    then outrun its critic, and the loss diverges.

    Args:
        first: width of a.
        second: width of b.
        temperature: of the cosines.
        hidden: width of the one hidden layer of g and of h.
        width: of the vectors that are multiplied.
    """

    def __init__(
        self, first: int, second: int, *, temperature: float = 0.2, hidden: int = 64, width: int = 32
    ) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)
        self.g, self.h = mlp(first, hidden, width), mlp(second, hidden, width)

    def forward(self, a: Float[Tensor, "n _"], b: Float[Tensor, "m _"]) -> Float[Tensor, "n m"]:
        """The score of every pair."""
        g, h = self._vectors(a, b)
        return g @ h.mT

    def club(self, a: Float[Tensor, "n _"], b: Float[Tensor, "n _"]) -> Float[Tensor, ""]:
        """`club` of the scores, from n and not n² products: the mean of all is ḡ·h̄."""
        g, h = self._vectors(a, b)
        return (g * h).sum(-1).mean() - (g.mean(0) * h.mean(0)).sum()

    def _vectors(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.g(a), dim=-1) / self.temperature, F.normalize(self.h(b), dim=-1)


class Concat(nn.Module):
    """f(a, b) = MLP([a, b]) with two hidden layers, for every pair.

    The first layer is linear in each side: it is applied to a and to b, and the sums are broadcast.

    Args:
        first: width of a.
        second: width of b.
        hidden: width of the hidden layers.
    """

    def __init__(self, first: int, second: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.first = Linear(first, hidden, fan_in=first + second)
        self.second = Linear(second, hidden, fan_in=first + second, bias=False)
        self.rest = mlp(hidden, hidden, 1)

    def forward(self, a: Float[Tensor, "n _"], b: Float[Tensor, "m _"]) -> Float[Tensor, "n m"]:
        """The score of every pair."""
        pairs = (self.first(a)[:, None] + self.second(b)[None]).relu_()
        return self.rest(pairs.flatten(0, 1)).view(a.shape[0], b.shape[0])

    def club(self, a: Float[Tensor, "n _"], b: Float[Tensor, "n _"]) -> Float[Tensor, ""]:
        """`club` of the scores."""
        return club(self(a, b))


CRITICS = {"separable": Separable, "concat": Concat}
