"""What the rungs of a ladder read about one variable on held-out rows, and which rung is believed."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.analysis.features import log_ratio_bits


@dataclass(frozen=True)
class Reading:
    """Posteriors of every rung, and the labels of the rows they are for.

    There is no place for training rows here: a score is a held-out score.

    Args:
        rungs: names of the probes.
        validation: ln q(y|z) of each rung on validation rows.
        test: of each rung on test rows.
        y_validation: labels of the validation rows.
        y_test: labels of the test rows.
        log_prior: ln p(y), exact.
    """

    rungs: tuple[str, ...]
    validation: tuple[Float[Tensor, "members classes m"], ...]
    test: tuple[Float[Tensor, "members classes k"], ...]
    y_validation: Int[Tensor, "members m"]
    y_test: Int[Tensor, "members k"]
    log_prior: Float[Tensor, "members classes"]

    @cached_property
    def headline(self) -> Int[Tensor, " members"]:
        """The rung that is best on validation rows, for each member."""
        means = [_bits(q, self.y_validation, self.log_prior).mean(-1) for q in self.validation]
        return torch.stack(means).argmax(0)

    @cached_property
    def bits(self) -> Float[Tensor, "rungs members k"]:
        """log2 q(y|z)/p(y) of every test row; its mean is the captured bits."""
        return torch.stack([_bits(q, self.y_test, self.log_prior) for q in self.test])

    @property
    def headline_bits(self) -> Float[Tensor, "members k"]:
        """The believed rung's score of every test row."""
        return self.bits[self.headline, torch.arange(len(self.headline), device=self.headline.device)]

    def believed(self) -> tuple[Float[Tensor, "members classes m"], Float[Tensor, "members classes k"]]:
        """The believed rung's ln q(y|z) on validation and on test rows."""
        place = (self.headline, torch.arange(len(self.headline), device=self.headline.device))
        return torch.stack(self.validation)[place], torch.stack(self.test)[place]


def _bits(log_q: Tensor, y: Tensor, log_prior: Tensor) -> Tensor:
    return log_ratio_bits(log_q[:, None], y[:, None], log_prior[:, None])[:, 0].double()
