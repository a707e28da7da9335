"""Base of losses of two embeddings: between modalities, or between two views of each modality."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import over_pairs
from pidlab.objectives.objective import Batch, BuiltIn, check_option, projection

PAIRS = ("modalities", "views")


class Pairwise(BuiltIn):
    """Mean of a loss of two embeddings over pairs of modalities, or over two views of each modality.

    Args:
        encoders: One encoder for each modality.
        pairs: `"modalities"` compares e_1(x_1) with e_2(x_2); `"views"` compares two views of each modality.

    Raises:
        ValueError: If `pairs` is unknown.
    """

    def __init__(self, encoders: Encoders, pairs: str) -> None:
        super().__init__(encoders)
        check_option("pairs", pairs, PAIRS)
        self.needs = ("views",) if pairs == "views" else ()
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def loss(self, a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Compute the loss of two embeddings of the same samples."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss of two embeddings")

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch."""
        if "views" not in self.needs:
            return over_pairs(self.project(batch.x), self.loss)
        return torch.stack([self.loss(a, b) for a, b in self._views(batch)]).mean()

    def _views(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(*(self.project(view) for view in batch.views), strict=True)
