"""Public losses of other inputs than two embeddings, as small classes.

The page `docs/public-losses.md` shows them. Each follows the class in the message that refuses the loss.
"""

import importlib

import torch
from torch import nn


def lightly(file, name):
    """Return a loss class of lightly from its file; `lightly.loss` itself needs torchvision."""
    return getattr(importlib.import_module(f"lightly.loss.{file}"), name)


class Embeddings(nn.Module):
    """The encoders, and the embeddings of the two modalities."""

    def __init__(self, encoders, loss):
        super().__init__()
        self.encoders, self.loss = encoders, loss

    def embed(self, batch):
        return self.encoders[0](batch.x1), self.encoders[1](batch.x2)


class CosineEmbedding(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, nn.CosineEmbeddingLoss())

    def forward(self, batch):
        z1, z2 = self.embed(batch)
        same = torch.ones(len(z1), device=z1.device)
        return self.loss(z1, z2, same) + self.loss(z1, z2.roll(1, 0), -same)


class TripletMargin(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, nn.TripletMarginLoss())

    def forward(self, batch):
        z1, z2 = self.embed(batch)
        return self.loss(z1, z2, z2.roll(1, 0))


class MarginRanking(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, nn.MarginRankingLoss(margin=0.2))

    def forward(self, batch):
        z1, z2 = (nn.functional.normalize(z, dim=-1) for z in self.embed(batch))
        matched, other = (z1 * z2).sum(-1), (z1 * z2.roll(1, 0)).sum(-1)
        return self.loss(matched, other, torch.ones_like(matched))


class KoLeo(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("koleo_loss", "KoLeoLoss")())

    def forward(self, batch):
        z1, z2 = self.embed(batch)
        return (z1 - z2).square().mean() + self.loss(z1) + self.loss(z2)


class FroSSL(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("frossl_loss", "FroSSLLoss")())

    def forward(self, batch):
        return self.loss([*self.embed(batch)])


class MMCR(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("mmcr_loss", "MMCRLoss")())

    def forward(self, batch):
        views = torch.stack(self.embed(batch), dim=1)
        return self.loss(views, views.detach())


class SwaV(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("swav_loss", "SwaVLoss")())
        self.prototypes = nn.Linear(encoders.dim, 32, bias=False)

    def forward(self, batch):
        scores = [self.prototypes(nn.functional.normalize(z, dim=-1)) for z in self.embed(batch)]
        return self.loss(scores, []).squeeze()  # it has shape (1,)


class DINOHead(Embeddings):
    def __init__(self, encoders):
        super().__init__(
            encoders, lightly("dino_loss", "DINOLoss")(output_dim=32, warmup_teacher_temp_epochs=1)
        )
        self.head = nn.Linear(encoders.dim, 32)

    def forward(self, batch):
        outputs = [self.head(z) for z in self.embed(batch)]
        return self.loss([output.detach() for output in outputs], outputs, epoch=0)


class MSN(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("msn_loss", "MSNLoss")())
        self.prototypes = nn.Linear(encoders.dim, 32, bias=False)

    def forward(self, batch):
        z1, z2 = self.embed(batch)
        prototypes = self.prototypes.weight
        # The loss sends no gradient to its targets, so that each modality is the target once.
        return self.loss(z1, z2, prototypes) + self.loss(z2, z1, prototypes)


class LeJEPA(Embeddings):
    def __init__(self, encoders):
        super().__init__(encoders, lightly("lejepa_loss", "LeJEPALoss")())

    def forward(self, batch):
        views = torch.stack(self.embed(batch))
        return self.loss(local_proj=views, global_proj=views)


class SelfSupervised(Embeddings):
    def __init__(self, encoders):
        from pytorch_metric_learning import losses

        super().__init__(encoders, losses.SelfSupervisedLoss(losses.TripletMarginLoss()))

    def forward(self, batch):
        return self.loss(*self.embed(batch))
