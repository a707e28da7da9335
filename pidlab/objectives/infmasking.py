"""InfMasking: CoMM with a bound over infinitely many masked codes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.comm import CoMM
from pidlab.objectives.contrastive import nt_xent
from pidlab.objectives.losses import infmasking_term
from pidlab.objectives.objective import Batch


class InfMasking(CoMM):
    """CoMM plus a masking term for each view (arXiv 2509.25270, code brightest66/InfMasking), in nats.

    loss = mean of the CoMM terms (one for each modality and one for all) and of `infmasking_term` for each of
    the two views. The masked codes k_1, ..., k_M fuse codes in which every modality keeps a random share 1 -
    rho of its tokens; the others are replaced by a learned token. The weight of the covariance rises linearly
    to `weight` over `ramp` steps.

    Departures from the released code: a token is one coordinate of a modality's embedding (the encoders of
    this package give one vector per modality); the ramp counts steps, because training here has no epochs;
    the fusion is CoMM's.

    Args:
        encoders: One encoder for each modality.
        temperature: Temperature T of all similarities.
        masks: Number M of masked codes of each view.
        rho: Share of the tokens that is masked.
        weight: Final weight λ of the covariance.
        ramp: Steps over which the weight rises; 0 for a constant weight.
        fusion: `"mlp"` or `"transformer"`, as in CoMM.

    Raises:
        ValueError: If `rho` leaves no token, or a number is out of range.
    """

    name = "infmasking"
    needs = ("views", "random")

    def __init__(
        self,
        encoders: Encoders,
        *,
        temperature: float = 0.1,
        masks: int = 6,
        rho: float = 0.7,
        weight: float = 1.0,
        ramp: int = 600,
        fusion: str = "mlp",
    ) -> None:
        super().__init__(encoders, temperature=temperature, fusion=fusion)
        if masks < 2:
            raise ValueError(f"masks {masks}: expected 2 or more, for a covariance")
        self.kept = int(encoders.dim * (1 - rho))
        if not 0 < rho < 1 or not self.kept:
            raise ValueError(f"rho {rho}: must leave 1 to {encoders.dim - 1} of {encoders.dim} tokens")
        self.count, self.weight, self.ramp = masks, weight, ramp
        self.token = nn.Parameter(torch.randn(len(encoders), encoders.dim) * 0.02)
        self.step: Tensor
        self.register_buffer("step", torch.zeros(()))

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of a batch with two views."""
        both = [torch.cat(pair) for pair in zip(*batch.views, strict=True)]
        codes = [encoder(x) for encoder, x in zip(self.encoders, both, strict=True)]
        z = {
            mask: self.head(fused.unflatten(0, (2, -1)))
            for mask, fused in zip(self.masks, self.fusion.fuse(codes, self.masks), strict=True)
        }
        first, second = z[self.everything]
        losses = []
        for mask in self.masks:
            a, b = z[mask]
            halves = nt_xent(a, second, self.temperature), nt_xent(b, first, self.temperature)
            losses.append(torch.stack(halves).mean())
        self.step = self.step + 1
        ratio = self.weight * ((self.step / self.ramp).clamp(max=1.0) if self.ramp else 1.0)
        for view, clean in enumerate((first, second)):
            masked = self._masked([code.chunk(2)[view] for code in codes], batch)
            losses.append(infmasking_term(clean, masked, self.temperature, ratio))
        return torch.stack(losses).mean()

    def _masked(self, codes: list[Tensor], batch: Batch) -> Float[Tensor, "masks n d"]:
        """Fuse the codes after masking a random subset of the coordinates of each modality."""
        n, dim = codes[0].shape
        rows = []
        for code, token in zip(codes, self.token, strict=True):
            # The coordinates with the smallest random numbers are kept.
            ranks = batch.uniform(self.count, dim).argsort(-1).argsort(-1).transpose(0, 1)
            rows.append(torch.where(ranks < self.kept, code, token).reshape(self.count * n, dim))
        fused = self.fusion.fuse(rows, [self.everything])[0]
        return self.head(fused.unflatten(0, (self.count, n)))
