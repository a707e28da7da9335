"""What is trained and what is held still: heads on an oracle, networks towards it, heads alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.errors import InvalidRequest
from pidlab.modality import Modality
from pidlab.objectives.base import Batch, MakeObjective, Phase, phases_of
from pidlab.oracle.symbols import Oracle, OracleEncoders
from pidlab.training.program import State


def has_fusion(model: nn.Module) -> bool:
    """Whether an objective makes one code of its towers' codes by a network of its own, as CoMM does."""
    return hasattr(getattr(model, "fusion", None), "many")


def on_oracle(make: MakeObjective) -> MakeObjective:
    """An objective whose fusion, where it has one, is the oracle's, so that heads and critics are fitted."""

    def made(encoders: Encoders) -> nn.Module:
        model = make(encoders)
        if has_fusion(model) and isinstance(encoders, OracleEncoders):
            model.fusion = encoders.fused()
        return model

    return made


def heads_only(make: MakeObjective) -> MakeObjective:
    """An objective in whose phases encoders and fusion are held still."""

    def made(encoders: Encoders) -> nn.Module:
        model: Any = make(encoders)
        still = _networks(model)
        others = [n for n, _ in model.named_parameters() if not still.moves(n)]
        phases = [(phase, tuple(n for n in others if phase.moves(n))) for phase in phases_of(model)]
        if not any(moved for _, moved in phases):
            raise InvalidRequest(
                "the objective has nothing to fit beside its encoders: an oracle needs a head"
            )
        model.phases = tuple(replace(phase, train=moved) for phase, moved in phases if moved)
        return model

    return made


def _networks(model: nn.Module) -> Phase:
    """A phase that moves encoders and fusion."""
    names = [name for name, module in model.named_modules() if isinstance(module, Encoders)]
    return Phase("networks", train=(*names, *["fusion"] * has_fusion(model)))


class Taught(Encoders):
    """Encoders with an oracle beside them, which they can be regressed onto."""

    def __init__(
        self, modalities: Sequence[Modality], classes: Mapping[str, int], oracle: Oracle, **sizes: int
    ) -> None:
        super().__init__(modalities, classes, **sizes)
        self._make = oracle
        self.oracle = oracle(modalities, classes, **sizes)

    def fresh(self, dim: int) -> Encoders:
        """Other encoders of width `dim` beside an oracle of that width."""
        sizes = {"dim": dim, "hidden": self.hidden, "layers": self.layers}
        return Taught(self.modalities, self.classes, self._make, **sizes)


def taught_by(oracle: Oracle) -> Any:
    """Makes `Taught` encoders."""
    return partial(Taught, oracle=oracle)


class Regression(nn.Module):
    """Encoders and fusion of an objective towards the oracle's codes.

    loss = sum over towers, the joint network and every mask of the fusion of the mean squared distance per
    coordinate to the oracle's code.

    Args:
        encoders: with an oracle beside them.
        make: makes the objective.
    """

    def __init__(self, encoders: Encoders, *, make: MakeObjective) -> None:
        super().__init__()
        self.objective = make(encoders)
        names = _networks(self.objective).train
        self.phases = (Phase("regression", train=tuple(f"objective.{name}" for name in names)),)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch of observations."""
        losses = []
        for encoders in self.objective.modules():
            if not isinstance(encoders, Taught):
                continue
            wanted = [tower(x) for tower, x in zip(encoders.oracle, batch.x, strict=True)]
            codes = [tower(x) for tower, x in zip(encoders, batch.x, strict=True)]
            pairs = [*zip(codes, wanted, strict=True)]
            pairs.append((encoders.joint(*batch.x), encoders.oracle.joint(*batch.x)))
            if has_fusion(self.objective):
                masks = [(0,), (1,), (0, 1)]
                fusion: Any = self.objective.fusion
                pairs += zip(
                    fusion.many(codes, masks), encoders.oracle.fused().many(wanted, masks), strict=True
                )
            losses += [F.mse_loss(code, target) for code, target in pairs]
        return torch.stack(losses).sum()

    @staticmethod
    def of_objective(states: Sequence[tuple[State, State]]) -> list[tuple[State, State]]:
        """The states of the objective inside."""

        def inner(state: State) -> State:
            return {n.replace("objective.objective.", "objective.", 1): t for n, t in state.items()}

        return [(inner(params), inner(buffers)) for params, buffers in states]
