"""SimCLR between the modalities: FactorCL's reading of it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives.base import Batch, BuiltIn, projection
from pidlab.objectives.contrastive import checked_temperature, nt_xent, over_pairs


class SimCLR(BuiltIn):
    """NT-Xent between two views of each modality (Chen et al. 2020), averaged over modalities.

    loss = mean_i NTXent(g_i(e_i(x_i′)), g_i(e_i(x_i″)); temperature), in nats.

    Args:
        encoders: the towers e_i.
        temperature: of the similarities.
    """

    name = "simclr"
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2) -> None:
        super().__init__(encoders)
        self.temperature = checked_temperature(temperature)
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch with two views."""
        losses = []
        for i, (first, second) in enumerate(zip(*batch.views, strict=True)):
            a, b = self.heads[i](self.encoders[i](torch.cat([first, second]))).chunk(2)
            losses.append(nt_xent(a, b, self.temperature))
        return torch.stack(losses).mean()


class SimCLRCross(BuiltIn):
    """NT-Xent with the modalities of a sample as its views (FactorCL's "SimCLR"), in nats.

    loss = NTXent(g1(e1(x1)), g2(e2(x2)); temperature), averaged over the pairs where modalities are more
    than two (CMC). Unlike in `cross`, candidates of a row are those of its own modality too.

    Args:
        encoders: the towers e_i.
        temperature: of the similarities.
    """

    name = "simclr-cross"

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2) -> None:
        super().__init__(encoders)
        self.temperature = checked_temperature(temperature)
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch of pairs."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        z = [head(tower(x)) for head, tower, x in triples]
        return over_pairs(z, lambda a, b: nt_xent(a, b, self.temperature))
