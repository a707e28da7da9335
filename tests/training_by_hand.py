"""Training as one writes it without pidlab, for cohorts to be compared with."""

import torch
from torch import nn

from pidlab import Atoms
from pidlab.generators.three import Three
from pidlab.objectives import objectives
from pidlab.objectives.objective import Batch, needs_of, phases_of
from pidlab.seeds import child
from pidlab.training import Member
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

MEMBER = Member(Atoms(), 0)


def modalities_of(name):
    """Return the number of modalities that an objective takes: 3 for some, otherwise 2."""
    return getattr(objectives().get(name), "modalities", 2)


def member_for(name):
    """Return a member that the objective of a name can be trained on."""
    return MEMBER if modalities_of(name) == 2 else Member(Three(), 0)


def members(count, modalities=2, **bits):
    """Return members like those of a sweep: points that share seeds."""
    kind = Atoms if modalities == 2 else Three
    return [
        Member(kind(unique1=(i % 4) / 4, world=child(i // 4, "world"), **bits), i // 4) for i in range(count)
    ]


def parameters(fitted, i):
    params, buffers = fitted.states[0] if fitted.program.vectorised else fitted.states[i]
    take = (lambda t: t[i]) if fitted.program.vectorised else (lambda t: t)
    return {name: take(t) for name, t in {**params, **buffers}.items()}


def plain(make, member, training):
    """Training as one writes it without pidlab."""
    model = build(make, member, training, "cpu")
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    phases = [
        (phase, [p for name, p in model.named_parameters() if phase.moves(name)])
        for phase in phases_of(model)
    ]
    adams = [torch.optim.Adam(moved, lr=training.rate, fused=True) for _, moved in phases]
    losses = []
    for _ in range(training.steps):
        batch = stream.next()
        for (phase, _), adam in zip(phases, adams, strict=True):
            batch = stream.next() if phase.fresh_batch else batch
            model.zero_grad()
            loss = getattr(model, phase.loss)(Batch(**tree_map(lambda t: t[0], batch)))
            loss.backward()
            adam.step()
            if phase is phases[0][0]:
                losses.append(loss.detach())
    return model, torch.stack(losses)


class Stubborn(nn.Module):
    """An objective that vmap does not support."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        return z.square().mean() * (2.0 if z.mean().item() > 0 else 1.0)
