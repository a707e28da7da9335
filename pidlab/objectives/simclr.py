"""SimCLR, between the views of a modality or between the modalities of a sample."""

from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import Encoders
from pidlab.objectives.contrastive import checked_temperature, nt_xent, nt_xent_sum, over_pairs
from pidlab.objectives.objective import Batch, BuiltIn, join_rows


class SimCLR(BuiltIn):
    """NT-Xent between two views of each modality (Chen et al. 2020), averaged over modalities.

    loss = mean_i NTXent(g_i(e_i(x_i′)), g_i(e_i(x_i″)); temperature), in nats.

    Args:
        encoders: The encoders e_i.
        temperature: Temperature of the similarities, at least 0.0125.
    Departures from the released code (github.com/google-research/simclr): the loss is the mean of the two
    directions, as in the paper's Algorithm 1, where the code adds them (twice the value); the head has no
    batch normalization; each modality has an encoder of its own, and their losses are averaged.

    """

    name = "simclr"
    stackable = True
    needs = ("views",)

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2) -> None:
        super().__init__(encoders)
        self.temperature = checked_temperature(temperature)
        self.heads = self.make_heads()

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch with two views."""
        # One pass of each network over both views.
        z = self.project([join_rows(pair) for pair in zip(*batch.views, strict=True)])
        sets = [half for zi in z for half in zi.chunk(2, dim=-2)]
        weights = {(2 * i, 2 * i + 1): 1.0 / len(z) for i in range(len(z))}
        return nt_xent_sum(sets, weights, self.temperature)


class SimCLRCross(BuiltIn):
    """NT-Xent with the modalities of a sample as its views (FactorCL's "SimCLR"), in nats.

    loss = NTXent(g1(e1(x1)), g2(e2(x2)); temperature), averaged over pairs of modalities (CMC). In contrast
    to `cross`, the candidates of a row include the other rows of its own modality.

    Args:
        encoders: The encoders e_i.
        temperature: Temperature of the similarities, at least 0.0125.
    Departures from FactorCL's released code (github.com/pliang279/FactorCL, `SupConModel` without labels):
    embeddings have unit length, where the code takes inner products; the temperature is 0.2 instead of 0.07;
    the head has one hidden layer instead of two.

    """

    name = "simclr-cross"
    stackable = True

    def __init__(self, encoders: Encoders, *, temperature: float = 0.2) -> None:
        super().__init__(encoders)
        self.temperature = checked_temperature(temperature)
        self.heads = self.make_heads()

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute the loss of a batch of pairs."""
        return over_pairs(self.project(batch.x), lambda a, b: nt_xent(a, b, self.temperature))
