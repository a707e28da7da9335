"""What is trained and what is held still: heads on an oracle, networks towards it, heads alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders, Modality
from pidlab.errors import InvalidRequest, nearest
from pidlab.generators import Atoms, Generator
from pidlab.generators.atoms_stack import PRESENT
from pidlab.generators.latent import orthogonal_maps, recovered
from pidlab.objectives.base import (
    Batch,
    MakeObjective,
    Phase,
    phases_of,
)
from pidlab.training.program import State

# What a part of a representation's name stands for.
PARTS = {
    "R": ("redundant",),
    "U": ("unique1", "unique2"),
    "U1": ("unique1",),
    "U2": ("unique2",),
    "S": ("synergy",),
    "nuisance": ("shared", "private"),
}


def terms_of(representation: str) -> tuple[str, ...]:
    """The terms that a representation holds, such as `R+U+S+nuisance`.

    Raises:
        InvalidRequest: a part that has no meaning.
    """
    found: list[str] = []
    for part in representation.split("+"):
        if part not in PARTS:
            raise InvalidRequest(f"representation {representation!r}: {part!r}, {nearest(part, PARTS)}")
        found += PARTS[part]
    return tuple(found)


class Oracle:
    """Makes the encoders whose codes are the true symbols of some terms, in place of `Encoders`.

    Symbols of `Atoms` are a function of the observation: its rendering is a bijection and its noise is
    bounded. So the codes are exact: ±1 for a symbol, 0 for an erased one. A modality's code holds what
    the modality shows: its redundant and unique symbols, its own part of each XOR, and of nuisance the
    bits that are shared and the sign of the first private coordinate (`nuisance:1`, `nuisance:2`).

    Args:
        generator: whose symbols.
        representation: which, such as `R+U+S`.

    Raises:
        InvalidRequest: a generator other than `Atoms`; a representation that has no meaning.
    """

    def __init__(self, generator: Generator, representation: str) -> None:
        if not isinstance(generator, Atoms):
            raise InvalidRequest(
                f"an oracle of {generator.name!r}: expected atoms, whose symbols a modality tells exactly"
            )
        self.generator, self.terms = generator, terms_of(representation)
        # Made here, for encoders may be built on another device.
        self.towers = [self._tower(m) for m in (0, 1)]

    def __call__(
        self, modalities: Sequence[Modality], classes: Mapping[str, int], **sizes: int
    ) -> "OracleEncoders":
        """The encoders, of the sizes of those that they stand in for."""
        return OracleEncoders(modalities, classes, self, **sizes)

    def _tower(self, m: int) -> dict[str, Tensor]:
        """The maps of a modality, which symbols can be erased, which are told, which are parts of an XOR."""
        g = self.generator
        held = [slot for slot in g.slots if slot.term in PRESENT[m]]
        private = ["private"] if g.nuisance else []
        names = [slot.term for slot in held] + private
        return {
            "maps": orthogonal_maps(g.world, m, g.depth, g.width),
            "erasable": torch.tensor([slot.gap == 1.0 for slot in held] + [False] * len(private)),
            "told": torch.tensor([name in self.terms for name in names]),
            "pair": torch.tensor([name == "synergy" for name in names]),
        }


class OracleEncoders(Encoders):
    """`Encoders` whose towers tell symbols; nothing of them is trained. See `Oracle`.

    Args:
        modalities: what the encoders that it stands in for would read.
        classes: number of classes of every target.
        oracle: what is told.
        dim: width of a code.
        hidden: of the encoders that it stands in for.
        layers: likewise.

    Raises:
        InvalidRequest: more symbols than a code has coordinates.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        classes: Mapping[str, int],
        oracle: Oracle,
        *,
        dim: int,
        hidden: int,
        layers: int,
    ) -> None:
        nn.Module.__init__(self)
        self.modalities, self.classes = tuple(modalities), dict(classes)
        self.dim, self.hidden, self.layers = dim, hidden, layers
        self._oracle = oracle
        towers, copies = ([Symbols(oracle.generator, t, dim) for t in oracle.towers] for _ in range(2))
        self.towers, self.joint = nn.ModuleList(towers), JointSymbols(*copies)

    def fresh(self, dim: int) -> Encoders:
        """Codes of the same symbols, of width `dim`."""
        return self._oracle(self.modalities, self.classes, dim=dim, hidden=self.hidden, layers=self.layers)

    def fused(self) -> "Fused":
        """What makes one code of both modalities' codes."""
        return Fused(*self.towers)  # type: ignore[arg-type]


class Symbols(nn.Module):
    """(n, width) → (n, dim): the symbols of one modality that are told, then zeros."""

    maps: Tensor
    erasable: Tensor
    select: Tensor
    pair: Tensor

    def __init__(self, generator: Atoms, tower: dict[str, Tensor], dim: int) -> None:
        super().__init__()
        self.latents = generator.nuisance + len(tower["told"]) - bool(generator.nuisance)
        self.slope = generator.slope
        told = int(tower["told"].sum())
        if told > dim:
            raise InvalidRequest(f"dim = {dim}: an oracle that tells {told} symbols of a modality needs more")
        select = torch.zeros(len(tower["told"]), dim, device="cpu")
        select[tower["told"].nonzero()[:, 0], torch.arange(told, device="cpu")] = 1.0
        # Parts of an XOR that are not told keep their row, so that all oracles have one shape.
        tables = {"maps": tower["maps"], "erasable": tower["erasable"], "select": select}
        for name, table in {**tables, "pair": select[tower["pair"]]}.items():
            # A copy: a tensor that two modules share is stacked but once.
            self.register_buffer(name, table.to(torch.get_default_device(), copy=True))

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n dim"]:
        """The code of observations."""
        latents = recovered(x, self.maps, self.latents, self.slope)[:, : self.erasable.shape[0]]
        symbols = torch.where(self.erasable, latents.round().clamp(-1.0, 1.0), latents.sign())
        return symbols @ self.select


class Fused(nn.Module):
    """The symbols of both codes as one code: side by side, an XOR itself in place of its two parts.

    The XOR of ±1 is minus their product: 0 where one of them is erased or its modality is masked. Stands
    in for the fusion of an objective that has one (`many`).
    """

    pair1: Tensor
    pair2: Tensor

    def __init__(self, first: Symbols, second: Symbols) -> None:
        super().__init__()
        self.register_buffer("pair1", first.pair.clone())
        self.register_buffer("pair2", second.pair.clone())

    def forward(self, z1: Float[Tensor, "n dim"], z2: Float[Tensor, "n dim"]) -> Float[Tensor, "n both"]:
        """The fused code of two codes."""
        part1, part2 = z1 @ self.pair1.mT, z2 @ self.pair2.mT
        rest1, rest2 = z1 - part1 @ self.pair1, z2 - part2 @ self.pair2
        return torch.cat([rest1, rest2 - (part1 * part2) @ self.pair2], dim=-1)

    def fuse(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """The fused code under every mask; a masked modality's code is zeros."""
        return [
            self(*(z if i in mask else torch.zeros_like(z) for i, z in enumerate(codes))) for mask in masks
        ]


class JointSymbols(nn.Module):
    """Both observations → one code, in place of the network on everything."""

    def __init__(self, first: Symbols, second: Symbols) -> None:
        super().__init__()
        self.first, self.second, self.fused = first, second, Fused(first, second)

    def forward(self, x1: Float[Tensor, "n width"], x2: Float[Tensor, "n width"]) -> Float[Tensor, "n both"]:
        """The fused code of observations."""
        return self.fused(self.first(x1), self.second(x2))


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
                    fusion.fuse(codes, masks), encoders.oracle.fused().fuse(wanted, masks), strict=True
                )
            losses += [F.mse_loss(code, target) for code, target in pairs]
        return torch.stack(losses).sum()

    @staticmethod
    def of_objective(states: Sequence[tuple[State, State]]) -> list[tuple[State, State]]:
        """The states of the objective inside."""

        def inner(state: State) -> State:
            return {n.replace("objective.objective.", "objective.", 1): t for n, t in state.items()}

        return [(inner(params), inner(buffers)) for params, buffers in states]
