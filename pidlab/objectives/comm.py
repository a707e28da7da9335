"""CoMM: contrast between each modality and all modalities in one fused space."""

from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Linear, mlp
from pidlab.objectives.contrastive import checked_temperature, nt_xent_sum, supcon
from pidlab.objectives.objective import (
    Batch,
    BuiltIn,
    check_option,
    join_rows,
    projection,
)

TERMS = ("all", "joint", "unimodal")
HEADS = ("batchnorm", "mlp")
# Units of the hidden layers of the batchnorm head.
HEAD_WIDTH = 64


class CoMM(BuiltIn):
    """Contrast in a fused space (Dufumier et al. 2024, arXiv 2409.07402), in nats.

    z_m = g(f(X; mask m)) for the masks m = e1, …, en (one modality) and P (all). With two views,
    loss = mean over m of ½ [NTXent(z′_m, z″_P) + NTXent(z″_m, z′_P)].
    By the paper's lemmas the term m = P captures R + U1 + U2 + S, and a term m = e_i captures R + U_i. They
    assume views that share only the label's information. Under `noise` views the terms m = e_i alone keep
    both ingredients of the XOR, and the best probe reads it (study `comm-ablation`).

    Args:
        encoders: The encoders, whose embeddings are fused.
        temperature: Temperature of the similarities, at least 0.0125.
        terms: Masks in the loss: `"all"`, `"joint"` (P) or `"unimodal"` (e_i).
        fusion: `"mlp"`: an MLP on the concatenated embeddings, with zeros for a masked modality.
            `"transformer"`: a pre-norm block with a CLS token and one token for each modality that is not
            masked.
        head: `"batchnorm"`: three layers with batch normalization (see `BatchNormHead`). `"mlp"`: two layers
            without it.
        head_width: Units of the hidden layers of the `"batchnorm"` head; its output has half as many. The
            released head has 512.

    Departures from the released code (github.com/Duplums/CoMM): the default fusion is an MLP instead of the
    transformer block; a modality is one token, its embedding; the head has 64 and 32 units by default instead
    of 512 and 256, since the embeddings are narrower.

    Raises:
        ValueError: If `terms`, `fusion` or `head` is unknown, or `head_width` is not an even number above 0
            or is set for another head.

    Example:
        >>> from pidlab import fit
        >>> fit("comm(terms='joint')", "atoms", steps=2, batch=16).losses.shape
        torch.Size([2])
    """

    name = "comm"
    stackable = True
    needs = ("views",)

    def __init__(
        self,
        encoders: Encoders,
        *,
        temperature: float = 0.1,
        terms: str = "all",
        fusion: str = "mlp",
        head: str = "batchnorm",
        head_width: int = HEAD_WIDTH,
    ) -> None:
        super().__init__(encoders)
        check_option("terms", terms, TERMS)
        check_option("fusion", fusion, FUSIONS)
        check_option("head", head, HEADS)
        if not isinstance(head_width, int) or head_width < 2 or head_width % 2:
            raise ValueError(f"head_width {head_width!r}: expected an even whole number above 0")
        if head != "batchnorm" and head_width != HEAD_WIDTH:
            raise ValueError(f"head_width {head_width}: applies to head 'batchnorm' only, not to {head!r}")
        self.temperature = checked_temperature(temperature)
        width = encoders.dim * len(encoders)
        self.fusion = FUSIONS[fusion](encoders.dim, len(encoders), encoders.hidden)
        self.head = BatchNormHead(width, head_width) if head == "batchnorm" else MLPHead(width)
        everything = tuple(range(len(encoders)))
        single = [(i,) for i in everything]
        self.masks = {"all": [*single, everything], "joint": [everything], "unimodal": single}[terms]
        self.everything = everything

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch with two views."""
        codes = self._encode_views(batch)
        masks = list(dict.fromkeys([*self.masks, self.everything]))
        # One group of rows is one view under one mask.
        fused = torch.cat(self.fusion.fuse(codes, masks), dim=-2).unflatten(-2, (2 * len(masks), -1))
        z = dict(zip(masks, self.head(fused).chunk(len(masks), dim=-3), strict=True))
        sets, weights = [*z[self.everything].unbind(-3)], {}
        for mask in self.masks:
            if mask == self.everything:  # both halves of this term are equal
                weights[0, 1] = 1.0 / len(self.masks)
            else:
                weights[len(sets), 1] = weights[len(sets) + 1, 0] = 0.5 / len(self.masks)
                sets += z[mask].unbind(-3)
        return nt_xent_sum(sets, weights, self.temperature)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return z1, z2, ... (the embeddings) and z12 (the fused embedding of all modalities)."""
        codes = self.encode(x)
        fused = self.fusion.fuse(codes, [self.everything])[0]
        return {**{f"z{i + 1}": z for i, z in enumerate(codes)}, "z12": fused}

    def _encode_views(self, batch: Batch) -> list[Tensor]:
        """Encode both views of every modality in one pass, each (2n, dim)."""
        return self.encode([join_rows(pair) for pair in zip(*batch.views, strict=True)])


class CoMMSup(CoMM):
    """CoMM with labels: SupCon on the fused embeddings of two views of all modalities, in nats.

    loss = `contrastive.supcon` of [z′_P, z″_P] with the joint label (arXiv 2409.07402, supervised variant).

    Args:
        encoders: The encoders, whose embeddings are fused.
        temperature: Temperature of the similarities, at least 0.0125.
        fusion: `"mlp"` or `"transformer"` (see `CoMM`).
        head: `"batchnorm"` or `"mlp"` (see `CoMM`).

    Raises:
        ValueError: If `fusion` or `head` is unknown.
    """

    name = "comm-sup"
    needs = ("views", "labels")

    def __init__(
        self, encoders: Encoders, *, temperature: float = 0.1, fusion: str = "mlp", head: str = "batchnorm"
    ) -> None:
        super().__init__(encoders, temperature=temperature, terms="joint", fusion=fusion, head=head)

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a labeled batch with two views."""
        fused = self.fusion.fuse(self._encode_views(batch), [self.everything])[0]
        first, second = self.head(fused.unflatten(-2, (2, -1))).unbind(-3)
        return supcon([first, second], batch.y, self.temperature)


class MLPFusion(nn.Module):
    """An MLP with one hidden layer on the concatenated embeddings, with zeros for a masked modality.

    Args:
        dim: Width of an embedding.
        modalities: Number of modalities.
        hidden: Width of the hidden layer.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, dim: int, modalities: int, hidden: int) -> None:
        super().__init__()
        self.network = mlp(dim * modalities, hidden, dim * modalities)

    def fuse(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """Compute the fused embedding under every mask.

        Args:
            codes: Embedding of each modality, each (n, dim).
            masks: Indices of the visible modalities.

        Returns:
            Fused embeddings, each (n, dim * modalities).
        """
        blank = torch.zeros_like(codes[0])
        rows = [torch.cat([z if i in mask else blank for i, z in enumerate(codes)], dim=-1) for mask in masks]
        return list(self.network(torch.cat(rows, dim=-2)).chunk(len(masks), dim=-2))


class TransformerFusion(nn.Module):
    """A pre-norm transformer block on a CLS token and one token per modality, with its output at CLS.

    Args:
        dim: Width of an embedding.
        modalities: Number of modalities.
        hidden: Not used; the block has the width of the readout.

    Raises:
        ValueError: If the width is not divisible by the number of attention heads.
    """

    HEADS, EXPANSION = 8, 4

    def __init__(self, dim: int, modalities: int, hidden: int) -> None:
        super().__init__()
        del hidden
        width = dim * modalities
        if width % self.HEADS:
            raise ValueError(
                f"fusion 'transformer': the readout width {width} is not divisible by {self.HEADS}; "
                "choose another dim"
            )
        self.tokens = nn.ModuleList(Linear(dim, width) for _ in range(modalities))
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (Linear(width, width) for _ in range(4))
        self.feed = mlp(width, self.EXPANSION * width, width)

    def fuse(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """Compute the fused embedding under every mask (see `MLPFusion.fuse`)."""
        n = codes[0].shape[0]
        cls = self.cls.expand(n, -1)
        tokens = [embed(z) for embed, z in zip(self.tokens, codes, strict=True)]
        # Only CLS is a query, so keys and values are computed once for all masks.
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


class BatchNormHead(nn.Module):
    """CoMM's released projection head: linear layers with batch normalization and a ReLU between them.

    Args:
        inputs: Width of the fused embedding.
        hidden: Width of both hidden layers; the output has half of it.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, inputs: int, hidden: int = HEAD_WIDTH) -> None:
        super().__init__()
        # A bias before batch normalization has no effect, but Adam would turn the rounding of its gradient,
        # which is 0, into steps.
        hidden_layers = [Linear(a, b, bias=False) for a, b in pairwise([inputs, hidden, hidden])]
        self.layers = nn.ModuleList([*hidden_layers, Linear(hidden, hidden // 2)])
        self.norms = nn.ModuleList(BatchNorm(hidden) for _ in range(2))

    def forward(
        self, z: Float[Tensor, "*member groups n inputs"]
    ) -> Float[Tensor, "*member groups n outputs"]:
        """Project groups of rows; each group is normalized with its own mean and variance."""
        groups = z.shape[-3:-1]
        z = z.flatten(-3, -2)
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            z = norm(layer(z).unflatten(-2, groups)).relu().flatten(-3, -2)
        return self.layers[-1](z).unflatten(-2, groups)


class BatchNorm(nn.Module):
    """Batch normalization within groups of rows, (x - mean) / sqrt(var + eps) * weight + bias.

    There are no running statistics: the head is not part of the representation, so it is never evaluated.

    Args:
        width: Width of a row.
    """

    stackable: ClassVar[bool] = True
    EPS = 1e-5  # as in torch.nn.BatchNorm1d

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*member groups n width"]) -> Float[Tensor, "*member groups n width"]:
        """Normalize each group over its n rows."""
        variance, mean = torch.var_mean(x, -2, correction=0, keepdim=True)
        weight, bias = (p[..., None, None, :] for p in (self.weight, self.bias))
        scale = weight * (variance + self.EPS).rsqrt()
        return torch.addcmul(bias - mean * scale, x, scale)


class MLPHead(nn.Module):
    """A projection head with one hidden layer.

    Args:
        inputs: Width of the fused embedding.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.network = projection(inputs)

    def forward(
        self, z: Float[Tensor, "*member groups n inputs"]
    ) -> Float[Tensor, "*member groups n outputs"]:
        """Project groups of rows."""
        return self.network(z.flatten(-3, -2)).unflatten(-2, z.shape[-3:-1])
