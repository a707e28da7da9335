"""CoMM: every subset of modalities against all of them, in one fused space."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.base import (
    Batch,
    BuiltIn,
    check_option,
    projection,
)
from pidlab.objectives.contrastive import checked_temperature, nt_xent, supcon

TERMS = ("all", "joint", "unimodal")


class CoMM(BuiltIn):
    """Contrast in a fused space (Dufumier et al. 2024, arXiv 2409.07402), in nats.

    z_m = g(f(X; mask m)) for the masks m = e1, …, en (one modality) and P (all). With two views,
    loss = mean over m of ½ [NTXent(z′_m, z″_P) + NTXent(z″_m, z′_P)].
    Synergy can enter by the term m = P alone; the terms m = e_i carry redundancy and uniqueness.

    Args:
        encoders: the towers, whose codes are fused.
        temperature: of the similarities.
        terms: which masks count: `"all"`, `"joint"` (P) or `"unimodal"` (e_i).
        fusion: `"mlp"` on the codes side by side, zeros for a masked one; or `"transformer"`, one
            pre-norm block with a CLS token over one token a modality, masked ones left out.

    Raises:
        ValueError: unknown `terms` or `fusion`.
    """

    name = "comm"
    needs = ("views",)

    def __init__(
        self,
        encoders: Encoders,
        *,
        temperature: float = 0.2,
        terms: str = "all",
        fusion: str = "mlp",
    ) -> None:
        super().__init__(encoders)
        check_option("terms", terms, TERMS)
        check_option("fusion", fusion, FUSIONS)
        self.temperature = checked_temperature(temperature)
        width = encoders.dim * len(encoders)
        self.fusion = FUSIONS[fusion](encoders.dim, len(encoders), encoders.hidden)
        self.head = projection(width)
        everything = tuple(range(len(encoders)))
        single = [(i,) for i in everything]
        self.masks = {"all": [*single, everything], "joint": [everything], "unimodal": single}[terms]
        self.everything = everything

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch with two views."""
        both = [torch.cat(pair) for pair in zip(*batch.views, strict=True)]
        codes = [tower(x) for tower, x in zip(self.encoders, both, strict=True)]
        masks = list(dict.fromkeys([*self.masks, self.everything]))
        fused = self.fusion.many(codes, masks)
        z = dict(zip(masks, self.head(torch.cat(fused)).chunk(len(masks)), strict=True))
        first, second = z[self.everything].chunk(2)
        losses = []
        for mask in self.masks:
            if mask == self.everything:  # both halves of this term are the same number
                losses.append(nt_xent(first, second, self.temperature))
            else:
                a, b = z[mask].chunk(2)
                halves = nt_xent(a, second, self.temperature), nt_xent(b, first, self.temperature)
                losses.append(torch.stack(halves).mean())
        return torch.stack(losses).mean()

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """z1, z2, ...: the towers' codes; z12: the fused code of all modalities."""
        codes = [tower(xi) for tower, xi in zip(self.encoders, x, strict=True)]
        fused = self.fusion.many(codes, [self.everything])[0]
        return {**{f"z{i + 1}": z for i, z in enumerate(codes)}, "z12": fused}


class CoMMSup(CoMM):
    """CoMM with labels: SupCon on the fused code of all modalities of two views, in nats.

    loss = `similarity.supcon` of [z′_P, z″_P] with the joint label (arXiv 2409.07402, supervised variant).

    Args:
        encoders: the towers, whose codes are fused.
        temperature: of the similarities.
        fusion: `"mlp"` or `"transformer"`.

    Raises:
        ValueError: unknown `fusion`.
    """

    name = "comm-sup"
    needs = ("views", "labels")

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2, fusion: str = "mlp") -> None:
        super().__init__(encoders, temperature=temperature, terms="joint", fusion=fusion)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a labelled batch with two views."""
        both = [torch.cat(pair) for pair in zip(*batch.views, strict=True)]
        codes = [tower(x) for tower, x in zip(self.encoders, both, strict=True)]
        first, second = self.head(self.fusion.many(codes, [self.everything])[0]).chunk(2)
        return supcon([first, second], batch.y, self.temperature)


class MLPFusion(nn.Module):
    """An MLP with one hidden layer on the codes side by side; a masked modality is zeros."""

    def __init__(self, dim: int, modalities: int, hidden: int) -> None:
        super().__init__()
        self.network = mlp(dim * modalities, hidden, dim * modalities)

    def many(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """The fused code under every mask, each (n, dim * modalities)."""
        blank = torch.zeros_like(codes[0])
        rows = [torch.cat([z if i in mask else blank for i, z in enumerate(codes)], dim=-1) for mask in masks]
        return list(self.network(torch.cat(rows)).chunk(len(masks)))


class TransformerFusion(nn.Module):
    """A pre-norm transformer block over [CLS, one token a modality], read at CLS."""

    HEADS, EXPANSION = 8, 4

    def __init__(self, dim: int, modalities: int, hidden: int) -> None:
        super().__init__()
        del hidden  # the block's width is the readout's
        width = dim * modalities
        if width % self.HEADS:
            raise ValueError(
                f"fusion 'transformer' needs a readout width divisible by {self.HEADS}, got {width}: "
                "choose another dim"
            )
        self.tokens = nn.ModuleList(Linear(dim, width) for _ in range(modalities))
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (Linear(width, width) for _ in range(4))
        self.feed = mlp(width, self.EXPANSION * width, width)

    def many(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """The fused code under every mask, each (n, dim * modalities)."""
        n = codes[0].shape[0]
        cls = self.cls.expand(n, -1)
        tokens = [embed(z) for embed, z in zip(self.tokens, codes, strict=True)]
        # Keys and values of a token do not depend on the mask; only CLS asks.
        normed = [self.norm1(t) for t in [cls, *tokens]]
        query = self._heads(self.query(normed[0]))
        keys = [self._heads(self.key(t)) for t in normed]
        values = [self._heads(self.value(t)) for t in normed]
        scores = torch.stack([(query * k).sum(-1) for k in keys]) * query.shape[-1] ** -0.5
        fused = []
        for mask in masks:
            seen = [0, *(i + 1 for i in mask)]
            weights = torch.stack([scores[i] for i in seen]).softmax(0)
            read = sum(w[..., None] * values[i] for w, i in zip(weights, seen, strict=True))
            z = cls + self.out(torch.as_tensor(read).reshape(n, -1))
            fused.append(z + self.feed(self.norm2(z)))
        return fused

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], self.HEADS, -1)


FUSIONS = {"mlp": MLPFusion, "transformer": TransformerFusion}
