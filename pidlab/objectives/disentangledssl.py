"""DisentangledSSL: shared codes first, then private codes that are orthogonal to them."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, mlp
from pidlab.objectives.contrastive import checked_temperature, clip_loss
from pidlab.objectives.objective import Batch, BuiltIn, Phase


class DisentangledSSL(BuiltIn):
    """Shared and private codes in two phases (arXiv 2410.23996, code uhlerlab/DisentangledSSL), in nats.

    Shared phase: CLIP(s_1, s_2) at the given temperature on samples s_i around unit means m_i, minus beta
    times the mean cosine of m_1 and m_2. Private phase, in which shared encoders are constants: for both
    modalities, the mean of CLIP([z_i', s_j'], [z_i'', s_j'']) between two views, with j the other modality,
    plus penalty * ½ sum_i ‖Ẑ_iᵀ Ŝ_i‖_F, where Ẑ and Ŝ have unit rows. The private encoder reads [x_i, s_i].

    Departures from the released code: the phases alternate within every step instead of following each other;
    a sample of the von Mises-Fisher distribution is a normal sample around the mean with variance 1/kappa,
    normalized, which is its limit for a large kappa.

    Readouts: `shared` = [s_1, s_2] (the means), `unique` = [z_1, z_2], z_i readout = [s_i, z_i], z12 = both.

    Args:
        encoders: One encoder for each of two modalities; their sizes are used for both sets of encoders.
        temperature: Temperature of both contrasts.
        beta: Weight of the agreement of the means.
        penalty: Weight λ of the orthogonality.
        kappa: Concentration of the samples.

    Raises:
        ValueError: If there are not two modalities, or the width is odd.
    """

    name = "disentangledssl"
    needs = ("views", "random")
    phases = (
        Phase("shared", loss="forward", train=("encoders",)),
        Phase("private", loss="private_loss", train=("private", "mix")),
    )

    def __init__(
        self,
        encoders: Encoders,
        *,
        temperature: float = 0.07,
        beta: float = 1.0,
        penalty: float = 1.0,
        kappa: float = 1000.0,
    ) -> None:
        if len(encoders) != 2:
            raise ValueError(f"disentangledssl takes two modalities, got {len(encoders)}")
        if encoders.dim % 2:
            raise ValueError(
                f"disentangledssl splits an embedding of width {encoders.dim}: expected an even dim"
            )
        half = encoders.dim // 2
        super().__init__(encoders.fresh(half))
        self.private = encoders.fresh(encoders.hidden)
        self.mix = nn.ModuleList(mlp(encoders.hidden + half, encoders.hidden, half) for _ in range(2))
        self.scale, self.beta, self.penalty = 1 / checked_temperature(temperature), beta, penalty
        self.spread = 1 / math.sqrt(kappa)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the shared phase."""
        means = self._shared(batch.x)
        samples = [self._sample(m, batch) for m in means]
        agreement = (means[0] * means[1]).sum(-1).mean()
        return clip_loss(samples[0], samples[1], torch.as_tensor(self.scale)) - self.beta * agreement

    def private_loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the private phase, for fixed shared encoders."""
        losses, overlaps = [], []
        views = []
        for view in batch.views:
            shared = [s.detach() for s in self._shared(view)]
            views.append((shared, self._private(view, shared)))
        for i, j in ((0, 1), (1, 0)):
            first, second = (torch.cat([private[i], shared[j]], -1) for shared, private in views)
            losses.append(clip_loss(first, second, torch.as_tensor(self.scale)))
            overlaps += [torch.linalg.matrix_norm(private[i].mT @ shared[i]) for shared, private in views]
        # The penalty is averaged over the two views.
        return torch.stack(losses).mean() + self.penalty * torch.stack(overlaps).sum() / 4

    def _shared(self, x: tuple[Tensor, ...]) -> list[Tensor]:
        return [F.normalize(encoder(xi), dim=-1) for encoder, xi in zip(self.encoders, x, strict=True)]

    def _private(self, x: tuple[Tensor, ...], shared: list[Tensor]) -> list[Tensor]:
        networks = zip(self.mix, self.private, x, shared, strict=True)
        return [
            F.normalize(mix(torch.cat([encoder(xi).relu(), s], -1)), dim=-1)
            for mix, encoder, xi, s in networks
        ]

    def _sample(self, mean: Tensor, batch: Batch) -> Tensor:
        return F.normalize(mean + self.spread * batch.normal(mean.shape[1]), dim=-1)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Compute z1, z2, z12, `shared` and `unique`."""
        shared = self._shared(x)
        private = self._private(x, shared)
        z = [torch.cat(pair, -1) for pair in zip(shared, private, strict=True)]
        joined = {"z12": z, "shared": shared, "unique": private}
        return {f"z{i + 1}": zi for i, zi in enumerate(z)} | {k: torch.cat(v, -1) for k, v in joined.items()}
