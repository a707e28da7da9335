"""Objectives as researchers write them: state, randomness, frozen parts and habits of other frameworks.

`tests/public_losses.py` tries each of them with `pidlab check` and `pidlab sweep --quick`, and
`tests/training/test_plain_loop.py` compares those with a state with a plain PyTorch loop. Each class is
complete; nothing in this file depends on pidlab.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class BYOL(nn.Module):
    """An online network and predictor against a teacher that is their moving average."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.predictor = nn.Sequential(nn.Linear(encoders.dim, 32), nn.ReLU(), nn.Linear(32, encoders.dim))
        self.teacher = copy.deepcopy(encoders).requires_grad_(False)

    def forward(self, batch):
        with torch.no_grad():
            for old, new in zip(self.teacher.parameters(), self.encoders.parameters(), strict=True):
                old.mul_(0.99).add_(0.01 * new)
        loss = 0.0
        for i, (a, b) in enumerate(zip(*batch.views, strict=True)):
            prediction, target = self.predictor(self.encoders[i](a)), self.teacher[i](b)
            loss = loss - F.cosine_similarity(prediction, target, dim=-1).mean()
        return loss


class MoCo(nn.Module):
    """A queue of the last embeddings as negatives, with its position in a buffer."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("queue", F.normalize(torch.randn(128, encoders.dim), dim=-1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def forward(self, batch):
        q = F.normalize(self.encoders[0](batch.x1), dim=-1)
        k = F.normalize(self.encoders[1](batch.x2), dim=-1)
        logits = torch.cat([(q * k).sum(-1, keepdim=True), q @ self.queue.clone().T], dim=1) / 0.2
        with torch.no_grad():
            start = int(self.position)
            self.queue[start : start + len(k)] = k.detach()
            self.position.add_(len(k)).remainder_(len(self.queue))
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


class SimSiam(nn.Module):
    """A predictor and a stop-gradient."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.predictor = nn.Linear(encoders.dim, encoders.dim)

    def forward(self, batch):
        losses = []
        for i, (a, b) in enumerate(zip(*batch.views, strict=True)):
            za, zb = self.encoders[i](a), self.encoders[i](b)
            pa, pb = self.predictor(za), self.predictor(zb)
            losses += [
                -F.cosine_similarity(pa, zb.detach()).mean(),
                -F.cosine_similarity(pb, za.detach()).mean(),
            ]
        return torch.stack(losses).mean()


class DropoutAndBatchNorm(nn.Module):
    """Random numbers and running statistics."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.head = nn.Sequential(nn.BatchNorm1d(encoders.dim), nn.Dropout(0.3), nn.Linear(encoders.dim, 8))

    def forward(self, batch):
        z1, z2 = (self.head(e(x)) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T, torch.arange(len(z1), device=z1.device))


class FrozenProjection(nn.Module):
    """A random projection that must not be trained."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.projection = nn.Linear(encoders.dim, 8).requires_grad_(False)

    def forward(self, batch):
        z1, z2 = (self.projection(e(x)) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 - z2).square().mean() - z1.var(0).clamp(max=1.0).mean()


class Schedule(nn.Module):
    """A temperature that depends on a Python counter."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.iterations = 0

    def forward(self, batch):
        temperature = 1.0 / (1.0 + 0.1 * self.iterations)
        self.iterations += 1
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T / temperature, torch.arange(len(z1), device=z1.device))


class ScheduleWithDropout(Schedule):
    """A counter in an objective that is trained in a loop."""

    def forward(self, batch):
        return super().forward(batch) + F.dropout(self.encoders[0](batch.x1), 0.1).square().mean()


class MemoryBank(nn.Module):
    """A bank that is filled only if its input has a gradient, as lightly's."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("bank", torch.zeros(64, encoders.dim))

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        logits = torch.cat([(z1 * z2).sum(-1, keepdim=True), z1 @ self.bank.T], dim=1) / 0.2
        if z2.requires_grad:
            self.bank = torch.cat([z2.detach(), self.bank[: 64 - len(z2)]])
        return F.cross_entropy(logits, torch.zeros(len(z1), dtype=torch.long, device=z1.device))


class HiddenTeacher(nn.Module):
    """A teacher that is kept in a list, so that its parameters are not those of the objective."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.hidden = [copy.deepcopy(encoders)]

    def forward(self, batch):
        with torch.no_grad():
            for old, new in zip(self.hidden[0].parameters(), self.encoders.parameters(), strict=True):
                old.mul_(0.9).add_(0.1 * new)
            targets = [e(x) for e, x in zip(self.hidden[0], batch.x, strict=True)][::-1]
        z = [e(x) for e, x in zip(self.encoders, batch.x, strict=True)]
        return sum((zi - target).square().mean() for zi, target in zip(z, targets, strict=True))


class PlainTensor(nn.Module):
    """A random tensor that is neither a parameter nor a buffer, and a number drawn in the constructor."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.direction = torch.randn(encoders.dim)
        self.weight = float(torch.rand(()))

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        return self.weight * (z1 + z2 - self.direction).square().mean()


class BarlowTwins(nn.Module):
    """The reference code: batch normalization without parameters, and a strided view of the matrix."""

    needs = ("views",)

    def __init__(self, encoders, *, weight: float = 0.0051):
        super().__init__()
        self.encoders, self.weight = encoders, weight
        self.projector = nn.Sequential(nn.Linear(encoders.dim, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU())
        self.norm = nn.BatchNorm1d(32, affine=False)

    def forward(self, batch):
        loss = 0.0
        for encoder, a, b in zip(self.encoders, *batch.views, strict=True):
            c = self.norm(self.projector(encoder(a))).T @ self.norm(self.projector(encoder(b))) / len(a)
            on_diagonal = torch.diagonal(c).add_(-1).pow_(2).sum()
            n = len(c)
            off_diagonal = c.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten().pow_(2).sum()
            loss = loss + on_diagonal + self.weight * off_diagonal
        return loss


class DINO(nn.Module):
    """A teacher, a head with normalized prototypes, and a center that is a moving average."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        last = nn.Linear(32, 64, bias=False)
        self.head = nn.Sequential(
            nn.Linear(encoders.dim, 32), nn.GELU(), nn.utils.parametrizations.weight_norm(last)
        )
        self.teacher, self.teacher_head = copy.deepcopy(encoders), copy.deepcopy(self.head)
        for parameter in [*self.teacher.parameters(), *self.teacher_head.parameters()]:
            parameter.requires_grad = False
        self.register_buffer("center", torch.zeros(1, 64))

    @torch.no_grad()
    def update(self, outputs):
        pairs = [(self.teacher, self.encoders), (self.teacher_head, self.head)]
        for old, new in pairs:
            for p, q in zip(old.parameters(), new.parameters(), strict=True):
                p.data.mul_(0.99).add_(q.data, alpha=0.01)
        self.center = self.center * 0.9 + outputs.mean(0, keepdim=True) * 0.1

    def forward(self, batch):
        loss, outputs = 0.0, []
        for i, (a, b) in enumerate(zip(*batch.views, strict=True)):
            with torch.no_grad():
                outputs.append(self.teacher_head(self.teacher[i](a)))
            target = F.softmax((outputs[-1] - self.center) / 0.04, dim=-1)
            student = F.log_softmax(self.head(self.encoders[i](b)) / 0.1, dim=-1)
            loss = loss - (target * student).sum(-1).mean()
        self.update(torch.cat(outputs))
        return loss


class SwAV(nn.Module):
    """Prototypes that are normalized before every step, and codes by the Sinkhorn algorithm."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.prototypes = nn.Linear(encoders.dim, 32, bias=False)

    @torch.no_grad()
    def codes(self, scores):
        q = (scores / 0.05).exp().T
        q /= q.sum()
        for _ in range(3):
            q /= q.sum(1, keepdim=True) * len(q)
            q /= q.sum(0, keepdim=True) * q.shape[1]
        return (q * q.shape[1]).T

    def forward(self, batch):
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight.data, dim=1))
        loss = 0.0
        for encoder, a, b in zip(self.encoders, *batch.views, strict=True):
            scores = [self.prototypes(F.normalize(encoder(x), dim=-1)) for x in (a, b)]
            for s, t in (scores, scores[::-1]):
                loss = loss - (self.codes(s.detach()) * F.log_softmax(t / 0.1, dim=-1)).sum(-1).mean()
        return loss


class GMC(nn.Module):
    """Each modality against the joint representation."""

    def __init__(self, encoders, *, temperature: float = 0.1):
        super().__init__()
        self.encoders, self.temperature = encoders, temperature
        self.project = nn.Linear(2 * encoders.dim, encoders.dim)  # encoders.joint is twice as wide
        self.head = nn.Sequential(nn.Linear(encoders.dim, 32), nn.SiLU(), nn.Linear(32, 32))

    def forward(self, batch):
        joint = self.project(self.encoders.joint(batch.x1, batch.x2))
        joint = F.normalize(self.head(joint), dim=-1)
        loss = 0.0
        for encoder, x in zip(self.encoders, batch.x, strict=True):
            z = torch.cat([F.normalize(self.head(encoder(x)), dim=-1), joint])
            similarity = torch.exp(z @ z.T / self.temperature)
            mask = torch.ones_like(similarity) - torch.eye(len(z), device=z.device)
            negatives = similarity.masked_select(mask.bool()).view(len(z), -1).sum(-1)
            positive = torch.exp((z[: len(joint)] * joint).sum(-1) / self.temperature)
            loss = loss - torch.log(torch.cat([positive, positive]) / negatives).mean()
        return loss

    def represent(self, x1, x2):
        return {"z1": self.encoders[0](x1), "z2": self.encoders[1](x2), "z12": self.encoders.joint(x1, x2)}


class SupCon(nn.Module):
    """Supervised contrastive learning, from its reference."""

    needs = ("labels",)

    def __init__(self, encoders, *, temperature: float = 0.1):
        super().__init__()
        self.encoders, self.temperature = encoders, temperature

    def forward(self, batch):
        z = F.normalize(torch.cat([e(x) for e, x in zip(self.encoders, batch.x, strict=True)]), dim=-1)
        labels = torch.cat([batch.y, batch.y])
        logits = z @ z.T / self.temperature
        logits = logits - logits.max(dim=1, keepdim=True).values.detach()
        others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        positives = (labels[:, None] == labels) & others
        log_prob = logits - torch.log((logits.exp() * others).sum(1, keepdim=True))
        return -((positives * log_prob).sum(1) / positives.sum(1)).mean()


class Prototypical(nn.Module):
    """Class means of one half of the batch classify the other half."""

    needs = ("labels",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z = torch.cat([e(x) for e, x in zip(self.encoders, batch.x, strict=True)], dim=-1)
        half = len(z) // 2
        classes = torch.unique(batch.y[:half])
        means = torch.stack([z[:half][batch.y[:half] == c].mean(0) for c in classes])
        known = torch.isin(batch.y[half:], classes)
        queries, labels = z[half:][known], batch.y[half:][known]
        return F.cross_entropy(-torch.cdist(queries, means).square(), torch.searchsorted(classes, labels))


class CenterLoss(nn.Module):
    """Learned class centers, selected by the label."""

    needs = ("labels",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.centers = nn.Parameter(torch.randn(64, 2 * encoders.dim))
        self.classifier = nn.Linear(2 * encoders.dim, 64)

    def forward(self, batch):
        z = torch.cat([e(x) for e, x in zip(self.encoders, batch.x, strict=True)], dim=-1)
        distance = (z - self.centers[batch.y]).square().sum(-1).mean()
        return F.cross_entropy(self.classifier(z), batch.y) + 0.01 * distance


class Mixup(nn.Module):
    """Mixed inputs; the proportion is drawn from numpy, as in the reference."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        proportion = np.random.beta(1.0, 1.0)  # noqa: NPY002 - as in the reference
        order = torch.randperm(len(batch.x1), device=batch.x1.device)
        mixed = [proportion * x + (1 - proportion) * x[order] for x in batch.x]
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, mixed, strict=True))
        return F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))


class TorchMixup(nn.Module):
    """Mixed inputs; the proportion is drawn from torch."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        proportion = torch.rand((), device=batch.x1.device)
        order = torch.randperm(len(batch.x1), device=batch.x1.device)
        mixed = [proportion * x + (1 - proportion) * x[order] for x in batch.x]
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, mixed, strict=True))
        return F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))


class LearnedTemperature(nn.Module):
    """InfoNCE with a learned scale that is clamped in place before every step, as in CLIP."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.log_scale = nn.Parameter(torch.ones([]) * math.log(1 / 0.07))

    def forward(self, batch):
        with torch.no_grad():
            self.log_scale.clamp_(0, math.log(100))
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        logits = self.log_scale.exp() * z1 @ z2.T
        labels = torch.arange(len(z1), device=z1.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class GatherStub(nn.Module):
    """Gathers embeddings of all GPUs if there are several."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    @staticmethod
    def gather(z):
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return z
        parts = [torch.zeros_like(z) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, z)
        return torch.cat(parts)

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        logits = z1 @ self.gather(z2).T / 0.1
        return F.cross_entropy(logits, torch.arange(len(z1), device=z1.device))


class HardNegatives(nn.Module):
    """Selects the hardest negatives with topk and a boolean mask."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        similarity = z1 @ z2.T
        positive = similarity.diagonal()
        masked = similarity.masked_fill(torch.eye(len(z1), dtype=torch.bool, device=z1.device), -torch.inf)
        violation = (0.2 + masked.topk(3, dim=1).values - positive[:, None]).clamp(min=0)
        return violation[violation > 0].sum() / violation.numel()


class Item(nn.Module):
    """Reads a number of the loss with `.item()` to log it and to scale."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.log = []

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        loss = F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))
        self.log.append(loss.item())
        return loss * (0.5 if loss.item() > 3.0 else 1.0)


class InPlace(nn.Module):
    """Writes into the similarity matrix and into normalized embeddings."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z = torch.cat([e(x) for e, x in zip(self.encoders, batch.x, strict=True)])
        z /= z.norm(dim=-1, keepdim=True).detach()
        similarity = z @ z.T / 0.5
        similarity.fill_diagonal_(-torch.inf)
        n = len(z) // 2
        return F.cross_entropy(similarity, torch.arange(len(z), device=z.device).roll(n))


class DeepCCA(nn.Module):
    """Total correlation by a singular value decomposition."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z = [e(x) for e, x in zip(self.encoders, batch.x, strict=True)]
        z = [zi - zi.mean(0) for zi in z]
        roots = []
        for zi in z:
            values, vectors = torch.linalg.eigh(
                zi.T @ zi / (len(zi) - 1) + 1e-2 * torch.eye(zi.shape[1], device=zi.device)
            )
            roots.append(vectors @ torch.diag(values.rsqrt()) @ vectors.T)
        return -torch.linalg.svdvals(roots[0] @ z[0].T @ z[1] @ roots[1] / (len(z[0]) - 1)).sum()


class Autoencoder(nn.Module):
    """Reconstructs each modality from both embeddings."""

    def __init__(self, encoders, *, width: int = 32):
        super().__init__()
        self.encoders = encoders
        self.decoders = nn.ModuleList(nn.LazyLinear(width) for _ in encoders)

    def forward(self, batch):
        z = torch.cat([e(x) for e, x in zip(self.encoders, batch.x, strict=True)], dim=-1)
        return sum(F.mse_loss(d(z), x) for d, x in zip(self.decoders, batch.x, strict=True))


class GradientPenalty(nn.Module):
    """Differentiates the loss inside the loss."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        scores = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T / 0.1
        loss = F.cross_entropy(scores, torch.arange(len(z1), device=z1.device))
        (grad,) = torch.autograd.grad(loss, z1, create_graph=True)
        return loss + grad.square().sum()


class LazyBank(nn.Module):
    """Makes its memory in the first step, as a plain attribute."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.bank = None

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        negatives = z2 if self.bank is None else torch.cat([z2, self.bank])
        self.bank = z2.detach()
        return F.cross_entropy(z1 @ negatives.T / 0.1, torch.arange(len(z1), device=z1.device))


class Momentum(nn.Module):
    """Updates its teacher in a forward hook."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.teacher = copy.deepcopy(encoders[0]).requires_grad_(False)
        self.register_forward_pre_hook(Momentum.update)

    @staticmethod
    def update(module, _):
        with torch.no_grad():
            for old, new in zip(module.teacher.parameters(), module.encoders[0].parameters(), strict=True):
                old.lerp_(new, 0.1)

    def forward(self, batch):
        z1, z2 = self.encoders[0](batch.x1), self.encoders[1](batch.x2)
        return (z2 - self.teacher(batch.x1)).square().mean() + (z1 - z2).square().mean()


class OwnGenerator(nn.Module):
    """Draws noise from a generator of its own."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, batch):
        z1, z2 = (
            F.normalize(e(x + 0.1 * torch.randn(x.shape, generator=self.generator)), dim=-1)
            for e, x in zip(self.encoders, batch.x, strict=True)
        )
        return F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))


class SpectralNorm(nn.Module):
    """A critic with spectral normalization, whose power iteration is a buffer."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.critic = nn.utils.parametrizations.spectral_norm(nn.Linear(encoders.dim, encoders.dim))

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(self.critic(z1) @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))


class LogsEveryTenSteps(Schedule):
    """Prints the loss now and then, which needs its number."""

    def forward(self, batch):
        loss = super().forward(batch)
        if self.iterations % 10 == 0:
            print(f"step {self.iterations}: {loss.item():.3f}")
        return loss


class DropoutAfterWarmUp(Schedule):
    """Draws random numbers only after ten steps."""

    def forward(self, batch):
        loss = super().forward(batch)
        if self.iterations > 10:
            loss = loss + F.dropout(self.encoders[0](batch.x1), 0.5).square().mean()
        return loss


class BankAfterWarmUp(MemoryBank):
    """Fills its bank only after ten steps."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.iterations = 0

    def forward(self, batch):
        self.iterations += 1
        if self.iterations > 10:
            return super().forward(batch)
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 - z2).square().mean()


class CpuOnly(nn.Module):
    """Makes its labels on the CPU, which fails on a GPU."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1)))


class Unseeded(nn.Module):
    """Draws from a generator that nobody seeds."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.rng = np.random.default_rng()

    def forward(self, batch):
        noise = float(self.rng.uniform(0.9, 1.1))
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return noise * F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1), device=z1.device))


# What follows cannot work as it is. pidlab must refuse it with a message that shows the cause.


class Numpy(nn.Module):
    """Computes the loss in numpy, through which no gradient flows."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (e(x).detach().cpu().numpy() for e, x in zip(self.encoders, batch.x, strict=True))
        return torch.tensor(np.square(z1 - z2).mean())


class ReturnsTuple(nn.Module):
    """Returns the loss and what it logs."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 - z2).square().mean(), {"norm": z1.norm()}


class ReturnsDict(nn.Module):
    """Returns a dictionary with the loss, as transformers do."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        return {"loss": (z1 - z2).square().mean(), "logs": {}}


class Unreduced(nn.Module):
    """Returns one loss per sample."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 - z2).square().mean(-1)


class LightningStyle(nn.Module):
    """A module of Lightning: `training_step` instead of `forward`."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def training_step(self, batch, batch_idx):
        x1, x2 = batch
        return (self.encoders[0](x1) - self.encoders[1](x2)).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class TwoInputs(nn.Module):
    """Takes the modalities instead of a batch."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, x1, x2):
        return (self.encoders[0](x1) - self.encoders[1](x2)).square().mean()


class UnpacksBatch(nn.Module):
    """Unpacks the batch as a tuple."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        x1, x2 = batch
        return (self.encoders[0](x1) - self.encoders[1](x2)).square().mean()


class KeepsGraph(nn.Module):
    """Uses the embeddings of the last step without detaching them."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.last = None

    def forward(self, batch):
        z1, z2 = (e(x) for e, x in zip(self.encoders, batch.x, strict=True))
        loss = (z1 - z2).square().mean()
        if self.last is not None:
            loss = loss + (z1 - self.last).square().mean()
        self.last = z1
        return loss


class FixedBatch(nn.Module):
    """Depends on a batch size of 256."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.mask = ~torch.eye(256, dtype=torch.bool)

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 @ z2.T)[self.mask].mean() - (z1 * z2).sum(-1).mean()


class Cuda(nn.Module):
    """Moves its tensors to the GPU itself."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x.cuda()), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T / 0.1, torch.arange(len(z1)).cuda())
