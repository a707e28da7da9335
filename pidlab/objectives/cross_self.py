"""Contrast between modalities and within each modality, with shared or separate networks."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature, nt_xent, nt_xent_sum, over_pairs
from pidlab.objectives.objective import Batch, BuiltIn, encode, join_rows, name_readouts, projection


class CrossSelf(BuiltIn):
    """NTXent(x1, x2) + λ ½ [NTXent(x1′, x1″) + NTXent(x2′, x2″)], in nats (baseline of FactorCL and CoMM).

    Both parts use the same encoders and heads.

    Departures from FactorCL's released code (github.com/pliang279/FactorCL, `CrossSelfModel`): embeddings
    have unit length, where the code takes inner products; the self part has weight λ/2 per modality, with
    CoMM's λ = 1 by default, where the code has 1 (λ = 2); the cross part compares clean observations, where
    the code's augmentation overwrites its input, so that it compares views.

    Args:
        encoders: The encoders e_i.
        temperature: Temperature of all similarities, at least 0.0125.
        weight: The weight λ of the part within modalities.
    """

    name = "cross+self"
    stackable = True
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, weight: float = 1.0) -> None:
        super().__init__(encoders)
        self.temperature, self.weight = checked_temperature(temperature), weight
        self.heads = self.make_heads()

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch with two views."""
        # One pass of each network over the clean observations and both views.
        stacked = [join_rows(rows) for rows in zip(batch.x, *batch.views, strict=True)]
        clean, first, second = zip(*(z.chunk(3, dim=-2) for z in self.project(stacked)), strict=True)
        count = len(clean)
        pairs = [*combinations(range(count), 2)]
        weights = dict.fromkeys(pairs, 1.0 / len(pairs))
        weights |= {(count + i, 2 * count + i): self.weight / count for i in range(count)}
        return nt_xent_sum([*clean, *first, *second], weights, self.temperature)


class CrossSelfFact(BuiltIn):
    """`cross+self` with separate encoders and heads for its two parts (FactorCL's Cross+Self+Fact).

    loss = NTXent(x1, x2) + λ ½ [NTXent(x1′, x1″) + NTXent(x2′, x2″)], in nats. The embeddings of each part
    have half the width, and the readout of a modality concatenates both.

    Departures from FactorCL's released code (`FactorCrossSelfModel`): those of `CrossSelf`, and half the
    width for each part, so that all objectives are compared at one width.

    Args:
        encoders: The modalities and sizes, from which both sets of encoders are made.
        temperature: Temperature of all similarities, at least 0.0125.
        weight: The weight λ of the part within modalities.

    Raises:
        ValueError: If dim is 1, which cannot be halved.
    """

    name = "cross+self+fact"
    stackable = True
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, weight: float = 1.0) -> None:
        if encoders.dim < 2:
            raise ValueError(f"dim {encoders.dim}: cross+self+fact halves it; expected 2 or more")
        shared = encoders.dim // 2
        super().__init__(encoders.fresh(shared))
        self.own = encoders.fresh(encoders.dim - shared)
        self.temperature, self.weight = checked_temperature(temperature), weight
        self.heads = self.make_heads()
        self.own_heads = torch.nn.ModuleList(projection(self.own.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch with two views."""
        across = over_pairs(self.project(batch.x), lambda a, b: nt_xent(a, b, self.temperature))
        within = []
        for i, pair in enumerate(zip(*batch.views, strict=True)):
            a, b = self.own_heads[i](self.own[i](join_rows(pair))).chunk(2, dim=-2)
            within.append(nt_xent(a, b, self.temperature))
        return across + self.weight * torch.stack(within).mean(0)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return z1, z2 (both embeddings of a modality), z12, `shared` and `unique` (one part each)."""
        shared, unique = self.encode(x), encode(self.own, x)
        z = [torch.cat(pair, dim=-1) for pair in zip(shared, unique, strict=True)]
        return name_readouts(z) | {"shared": torch.cat(shared, dim=-1), "unique": torch.cat(unique, dim=-1)}
