import torch
from torch.nn.functional import cross_entropy, normalize


class MyLoss(torch.nn.Module):
    needs = ("views",)  # of "views", "labels"

    def __init__(self, encoders, *, temperature: float = 0.1):
        super().__init__()
        self.encoders, self.temperature = encoders, temperature

    def forward(self, batch):  # InfoNCE between two views of each modality
        loss = 0.0
        for encoder, a, b in zip(self.encoders, *batch.views, strict=True):
            scores = normalize(encoder(a)) @ normalize(encoder(b)).T / self.temperature
            loss = loss + cross_entropy(scores, torch.arange(len(scores), device=scores.device))
        return loss
