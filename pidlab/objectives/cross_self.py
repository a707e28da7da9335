"""Cross-modal and self-supervised contrast, each with networks of its own."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection
from pidlab.objectives.contrastive import checked_temperature, nt_xent, over_pairs


class CrossSelf(BuiltIn):
    """NTXent(x1, x2) + λ ½ [NTXent(x1′, x1″) + NTXent(x2′, x2″)], in nats (FactorCL, CoMM baselines).

    Towers and heads are shared between the two parts.

    Args:
        encoders: the towers.
        temperature: of all similarities.
        weight: λ.
    """

    name = "cross+self"
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, weight: float = 1.0) -> None:
        super().__init__(encoders)
        self.temperature, self.weight = checked_temperature(temperature), weight
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch with two views."""
        clean, within = [], []
        for i, (x, first, second) in enumerate(zip(batch.x, *batch.views, strict=True)):
            z, a, b = self.heads[i](self.encoders[i](torch.cat([x, first, second]))).chunk(3)
            clean.append(z)
            within.append(nt_xent(a, b, self.temperature))
        across = over_pairs(clean, lambda a, b: nt_xent(a, b, self.temperature))
        return across + self.weight * torch.stack(within).mean()


class CrossSelfFact(BuiltIn):
    """`cross+self` with separate encoders and heads for its two parts (FactorCL's Cross+Self+Fact).

    loss = NTXent(x1, x2) + λ ½ [NTXent(x1′, x1″) + NTXent(x2′, x2″)], in nats; each part's codes are
    half as wide, and a modality's readout is both of them side by side.

    Args:
        encoders: the modalities and sizes that both sets of towers are made with.
        temperature: of all similarities.
        weight: λ.

    Raises:
        ValueError: a dim of 1, which has no halves.
    """

    name = "cross+self+fact"
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, weight: float = 1.0) -> None:
        if encoders.dim < 2:
            raise ValueError(f"cross+self+fact halves a code of dim {encoders.dim}: expected 2 or more")
        shared = encoders.dim // 2
        super().__init__(encoders.fresh(shared))
        self.own = encoders.fresh(encoders.dim - shared)
        self.temperature, self.weight = checked_temperature(temperature), weight
        self.heads = nn.ModuleList(projection(shared) for _ in encoders)
        self.own_heads = nn.ModuleList(projection(self.own.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch with two views."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        clean = [head(tower(x)) for head, tower, x in triples]
        across = over_pairs(clean, lambda a, b: nt_xent(a, b, self.temperature))
        within = []
        for i, pair in enumerate(zip(*batch.views, strict=True)):
            a, b = self.own_heads[i](self.own[i](torch.cat(pair))).chunk(2)
            within.append(nt_xent(a, b, self.temperature))
        return across + self.weight * torch.stack(within).mean()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """z1, z2: the cross and the own code of a modality; z12; shared, unique: one part's codes."""
        shared = [tower(xi) for tower, xi in zip(self.encoders, x, strict=True)]
        unique = [tower(xi) for tower, xi in zip(self.own, x, strict=True)]
        z = [torch.cat(pair, dim=-1) for pair in zip(shared, unique, strict=True)]
        readouts = {"z12": z, "shared": shared, "unique": unique}
        joined = {name: torch.cat(parts, dim=-1) for name, parts in readouts.items()}
        return {f"z{i + 1}": zi for i, zi in enumerate(z)} | joined
