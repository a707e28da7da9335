"""COrAL: shared and unique codes, kept apart by orthogonality and asymmetric masking."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.comm import MLPFusion
from pidlab.objectives.contrastive import checked_temperature, nt_xent
from pidlab.objectives.losses import coral_orthogonality
from pidlab.objectives.objective import Batch, BuiltIn, projection


class COrAL(BuiltIn):
    """Contrast of a fused and of unique codes that are orthogonal (arXiv 2602.14983), in nats.

    loss = NT(f', f'') + sum_i NT(u_i', u_i'') + weight * sum over views of the squared cosines between f and
    every u_i and between the u_i. The u_i come from encoders of their own. In the shared path, view 1 zeroes
    each token of modality 1 with probability `mask`, view 2 those of modality 2. A token is one coordinate of
    a modality's embedding.

    Departures from the released code (github.com/Caro-Ci/COrAL): the fusion is an MLP instead of a
    transformer block on the tokens of both modalities; a token is one coordinate; the unique path has no
    attention pooling; the heads have no batch normalization; the unique encoders have independent initial
    weights, where the code copies those of the shared path.

    Readouts are taken before the heads: `shared` = f, `unique` = [u_1, u_2], z12 = [f, u_1, u_2]; f takes
    half of the width of z12, so that all objectives are compared at one width.

    Args:
        encoders: One encoder for each of two modalities; their sizes are used for both sets of encoders.
        temperature: Temperature of all similarities.
        weight: Weight w of the orthogonality: 1 (Trifeature) or 10 in the paper.
        mask: Probability that a token is zeroed.

    Raises:
        ValueError: If there are not two modalities, the width is odd, or a number is out of range.
    """

    name = "coral"
    needs = ("views", "random")

    def __init__(
        self, encoders: Encoders, *, temperature: float = 0.1, weight: float = 1.0, mask: float = 0.75
    ) -> None:
        if len(encoders) != 2:
            raise ValueError(f"coral takes two modalities, got {len(encoders)}")
        if encoders.dim % 2:
            raise ValueError(f"coral splits an embedding of width {encoders.dim}: expected an even dim")
        if not 0 <= mask < 1:
            raise ValueError(f"mask {mask}: expected a probability below 1")
        half = encoders.dim // 2
        super().__init__(encoders.fresh(half))
        self.unique = encoders.fresh(half)
        self.temperature, self.weight, self.mask = checked_temperature(temperature), weight, mask
        self.fusion = MLPFusion(half, 2, encoders.hidden)
        self.head = projection(2 * half)
        self.unique_heads = nn.ModuleList(projection(half) for _ in range(2))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch with two views."""
        shared, unique = [], []
        for v, view in enumerate(batch.views):
            codes = [encoder(x) for encoder, x in zip(self.encoders, view, strict=True)]
            codes[v] = codes[v] * (batch.uniform(codes[v].shape[1]) >= self.mask)
            shared.append(self.head(self.fusion.fuse(codes, [(0, 1)])[0]))
            networks = zip(self.unique_heads, self.unique, view, strict=True)
            unique.append([head(encoder(x)) for head, encoder, x in networks])
        loss = nt_xent(shared[0], shared[1], self.temperature)
        for first, second in zip(*unique, strict=True):
            loss = loss + nt_xent(first, second, self.temperature)
        overlap = [coral_orthogonality([f, *u]) for f, u in zip(shared, unique, strict=True)]
        return loss + self.weight * torch.stack(overlap).sum()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Compute z1, z2 (a modality's own embeddings), z12, `shared` and `unique`."""
        codes = [encoder(xi) for encoder, xi in zip(self.encoders, x, strict=True)]
        unique = [encoder(xi) for encoder, xi in zip(self.unique, x, strict=True)]
        fused = self.fusion.fuse(codes, [(0, 1)])[0]
        single = {f"z{i + 1}": torch.cat(pair, -1) for i, pair in enumerate(zip(codes, unique, strict=True))}
        apart = torch.cat(unique, -1)
        return {**single, "z12": torch.cat([fused, apart], -1), "shared": fused, "unique": apart}
