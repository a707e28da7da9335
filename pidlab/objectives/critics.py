"""Critics: networks that score every a against every b."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Linear, mlp
from pidlab.objectives import bounds
from pidlab.objectives.similarity import checked_temperature


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
        """`bounds.club` of the scores, from n and not n² products: the mean of all is ḡ·h̄."""
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
        """`bounds.club` of the scores."""
        return bounds.club(self(a, b))


CRITICS = {"separable": Separable, "concat": Concat}
