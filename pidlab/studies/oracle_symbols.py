"""Encoders that compute the true symbols, and objectives with frozen or regressed encoders."""

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
from pidlab.generators.atoms_stack import TERMS_OF_MODALITY
from pidlab.generators.latent import orthogonal_maps, recover_latents
from pidlab.objectives.objective import (
    Batch,
    MakeObjective,
    Phase,
    phases_of,
)
from pidlab.training.program import State

# Terms of each part of a representation's name.
PARTS = {
    "R": ("redundant",),
    "U": ("unique1", "unique2"),
    "U1": ("unique1",),
    "U2": ("unique2",),
    "S": ("synergy",),
    "nuisance": ("shared", "private"),
}


def terms_of(representation: str) -> tuple[str, ...]:
    """Return the terms of a representation.

    Args:
        representation: Parts joined by `+`, such as `R+U+S+nuisance`.

    Raises:
        InvalidRequest: If a part is unknown.

    Example:
        >>> terms_of("R+U")
        ('redundant', 'unique1', 'unique2')
    """
    terms: list[str] = []
    for part in representation.split("+"):
        if part not in PARTS:
            raise InvalidRequest(
                f"representation {representation!r}: unknown part {part!r}: {nearest(part, PARTS)}"
            )
        terms += PARTS[part]
    return tuple(terms)


class Oracle:
    """Factory of encoders whose codes are the true symbols of some terms; replaces `Encoders`.

    Symbols of `Atoms` are a function of the observation, since its rendering is a bijection and its noise is
    bounded. The codes are therefore exact: ±1 for a symbol, 0 for an erased one. The code of a modality has
    its redundant and unique symbols, its ingredient of each XOR, the shared bits of the nuisance, and the
    sign of the first private coordinate (`nuisance:1`, `nuisance:2`).

    Args:
        generator: The generator of the symbols.
        representation: Parts joined by `+`, such as `R+U+S`.

    Raises:
        InvalidRequest: If the generator is not `Atoms`, or the representation is unknown.
    """

    # Only constructors read an oracle. With slots, training does not compare the oracles of members as Python
    # attributes, so that members with different symbols, which are buffers, are vmapped together.
    __slots__ = ("generator", "terms", "towers")

    def __init__(self, generator: Generator, representation: str) -> None:
        if not isinstance(generator, Atoms):
            raise InvalidRequest(
                f"generator {generator.name!r}: has no oracle; use atoms, whose symbols a modality determines"
            )
        self.generator, self.terms = generator, terms_of(representation)
        # Computed once on the CPU, since encoders may be built on another device.
        self.towers = [self._tower(m) for m in (0, 1)]

    def __call__(
        self, modalities: Sequence[Modality], classes: Mapping[str, int], **sizes: int
    ) -> "OracleEncoders":
        """Return encoders of the given sizes."""
        return OracleEncoders(modalities, classes, self, **sizes)

    def _tower(self, m: int) -> dict[str, Tensor]:
        """Return the inverse maps of a modality, and masks: erasable, selected, part of an XOR."""
        g = self.generator
        slots = [slot for slot in g.slots if slot.term in TERMS_OF_MODALITY[m]]
        private = ["private"] if g.nuisance else []
        names = [slot.term for slot in slots] + private
        return {
            "maps": orthogonal_maps(g.world, m, g.depth, g.width),
            "erasable": torch.tensor([slot.gap == 1.0 for slot in slots] + [False] * len(private)),
            "selected": torch.tensor([name in self.terms for name in names]),
            "pair": torch.tensor([name == "synergy" for name in names]),
        }


class OracleEncoders(Encoders):
    """Encoders whose towers compute symbols and have no parameters. See `Oracle`.

    Args:
        modalities: Modalities, as for `Encoders`.
        classes: Number of classes of every target.
        oracle: The symbols.
        dim: Width of a code.
        hidden: Hidden width of the encoders that it replaces.
        layers: Number of hidden layers of the encoders that it replaces.

    Raises:
        InvalidRequest: If a modality has more symbols than a code has coordinates.
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
        """Return encoders of the same symbols with another width.

        Args:
            dim: Width of a code.
        """
        return self._oracle(self.modalities, self.classes, dim=dim, hidden=self.hidden, layers=self.layers)

    def fused(self) -> "Fused":
        """Return the module that fuses the codes of both modalities."""
        return Fused(*self.towers)  # type: ignore[arg-type]


class Symbols(nn.Module):
    """A tower that maps observations (n, width) to the selected symbols, padded by zeros to (n, dim)."""

    maps: Tensor
    erasable: Tensor
    select: Tensor
    pair: Tensor

    def __init__(self, generator: Atoms, tower: dict[str, Tensor], dim: int) -> None:
        super().__init__()
        self.latents = generator.nuisance + len(tower["selected"]) - bool(generator.nuisance)
        self.slope = generator.slope
        count = int(tower["selected"].sum())
        if count > dim:
            raise InvalidRequest(
                f"dim = {dim}: too narrow for {count} symbols of a modality; use at least {count}"
            )
        select = torch.zeros(len(tower["selected"]), dim, device="cpu")
        select[tower["selected"].nonzero()[:, 0], torch.arange(count, device="cpu")] = 1.0
        # Ingredients of an XOR that are not selected keep a row of zeros, so that all oracles have one shape.
        tables = {"maps": tower["maps"], "erasable": tower["erasable"], "select": select}
        for name, table in {**tables, "pair": select[tower["pair"]]}.items():
            # Copied, since stacking the states of members keeps a shared tensor only once.
            self.register_buffer(name, table.to(torch.get_default_device(), copy=True))

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n dim"]:
        """Return the code of observations.

        Args:
            x: Observations of one modality, shape (n, width).
        """
        latents = recover_latents(x, self.maps, self.latents, self.slope)[:, : self.erasable.shape[0]]
        symbols = torch.where(self.erasable, latents.round().clamp(-1.0, 1.0), latents.sign())
        return symbols @ self.select


class Fused(nn.Module):
    """A fusion that concatenates two codes and replaces the two ingredients of an XOR by the XOR.

    The XOR of two signs is minus their product; it is 0 if one of them is erased or its modality is masked.
    The module replaces the fusion of an objective.

    Args:
        first: Tower of the first modality.
        second: Tower of the second modality.
    """

    pair1: Tensor
    pair2: Tensor

    def __init__(self, first: Symbols, second: Symbols) -> None:
        super().__init__()
        self.register_buffer("pair1", first.pair.clone())
        self.register_buffer("pair2", second.pair.clone())

    def forward(self, z1: Float[Tensor, "n dim"], z2: Float[Tensor, "n dim"]) -> Float[Tensor, "n both"]:
        """Return the fused code.

        Args:
            z1: Code of the first modality, shape (n, dim).
            z2: Code of the second modality, shape (n, dim).
        """
        part1, part2 = z1 @ self.pair1.mT, z2 @ self.pair2.mT
        rest1, rest2 = z1 - part1 @ self.pair1, z2 - part2 @ self.pair2
        return torch.cat([rest1, rest2 - (part1 * part2) @ self.pair2], dim=-1)

    def fuse(self, codes: list[Tensor], masks: list[tuple[int, ...]]) -> list[Tensor]:
        """Return the fused code for each mask.

        Args:
            codes: Code of each modality, shape (n, dim).
            masks: Indices of the modalities that are kept; the codes of the others are zeros.
        """
        return [
            self(*(z if i in mask else torch.zeros_like(z) for i, z in enumerate(codes))) for mask in masks
        ]


class JointSymbols(nn.Module):
    """A joint network that computes the fused code of both observations.

    Args:
        first: Tower of the first modality.
        second: Tower of the second modality.
    """

    def __init__(self, first: Symbols, second: Symbols) -> None:
        super().__init__()
        self.first, self.second, self.fused = first, second, Fused(first, second)

    def forward(self, x1: Float[Tensor, "n width"], x2: Float[Tensor, "n width"]) -> Float[Tensor, "n both"]:
        """Return the fused code of observations.

        Args:
            x1: Observations of the first modality, shape (n, width).
            x2: Observations of the second modality, shape (n, width).
        """
        return self.fused(self.first(x1), self.second(x2))


def has_fusion(model: nn.Module) -> bool:
    """Return whether an objective fuses the codes of its towers by a network, as CoMM does.

    Args:
        model: The objective.
    """
    return hasattr(getattr(model, "fusion", None), "fuse")


def with_oracle_fusion(make: MakeObjective) -> MakeObjective:
    """Return a factory whose objectives use the fusion of the oracle, if they have a fusion.

    Args:
        make: Makes the objective.
    """

    def made(encoders: Encoders) -> nn.Module:
        model = make(encoders)
        if has_fusion(model) and isinstance(encoders, OracleEncoders):
            model.fusion = encoders.fused()
        return model

    return made


def heads_only(make: MakeObjective) -> MakeObjective:
    """Return a factory whose objectives train neither encoders nor fusion.

    Args:
        make: Makes the objective.

    Raises:
        InvalidRequest: If the objective has no other parameters, when it is made.
    """

    def made(encoders: Encoders) -> nn.Module:
        model: Any = make(encoders)
        networks = _networks(model)
        others = [n for n, _ in model.named_parameters() if not networks.moves(n)]
        phases = [(phase, tuple(n for n in others if phase.moves(n))) for phase in phases_of(model)]
        if not any(moved for _, moved in phases):
            raise InvalidRequest("the objective has no parameters outside its encoders; use one with a head")
        model.phases = tuple(replace(phase, train=moved) for phase, moved in phases if moved)
        return model

    return made


def _networks(model: nn.Module) -> Phase:
    """Return a phase that trains encoders and fusion."""
    names = [name for name, module in model.named_modules() if isinstance(module, Encoders)]
    return Phase("networks", train=(*names, *["fusion"] * has_fusion(model)))


class PairedEncoders(Encoders):
    """Encoders together with an oracle that they can be regressed onto.

    Args:
        modalities: Modalities, as for `Encoders`.
        classes: Number of classes of every target.
        oracle: The symbols.
        **sizes: dim, hidden and layers.
    """

    def __init__(
        self, modalities: Sequence[Modality], classes: Mapping[str, int], oracle: Oracle, **sizes: int
    ) -> None:
        super().__init__(modalities, classes, **sizes)
        self._make = oracle
        self.oracle = oracle(modalities, classes, **sizes)

    def fresh(self, dim: int) -> Encoders:
        """Return encoders and an oracle with another width.

        Args:
            dim: Width of a code.
        """
        sizes = {"dim": dim, "hidden": self.hidden, "layers": self.layers}
        return PairedEncoders(self.modalities, self.classes, self._make, **sizes)


def paired_with(oracle: Oracle) -> Any:
    """Return a factory of `PairedEncoders`.

    Args:
        oracle: The symbols.
    """
    return partial(PairedEncoders, oracle=oracle)


class Regression(nn.Module):
    """Regression of the encoders and the fusion of an objective onto the codes of an oracle.

    The loss is the sum of mean squared errors per coordinate over the towers, the joint network and every
    mask of the fusion.

    Args:
        encoders: Encoders paired with an oracle.
        make: Makes the objective.
    """

    def __init__(self, encoders: Encoders, *, make: MakeObjective) -> None:
        super().__init__()
        self.objective = make(encoders)
        names = _networks(self.objective).train
        self.phases = (Phase("regression", train=tuple(f"objective.{name}" for name in names)),)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss.

        Args:
            batch: Observations of both modalities.
        """
        losses = []
        for encoders in self.objective.modules():
            if not isinstance(encoders, PairedEncoders):
                continue
            targets = [tower(x) for tower, x in zip(encoders.oracle, batch.x, strict=True)]
            codes = [tower(x) for tower, x in zip(encoders, batch.x, strict=True)]
            pairs = [*zip(codes, targets, strict=True)]
            pairs.append((encoders.joint(*batch.x), encoders.oracle.joint(*batch.x)))
            if has_fusion(self.objective):
                masks = [(0,), (1,), (0, 1)]
                fusion: Any = self.objective.fusion
                pairs += zip(
                    fusion.fuse(codes, masks), encoders.oracle.fused().fuse(targets, masks), strict=True
                )
            losses += [F.mse_loss(code, target) for code, target in pairs]
        return torch.stack(losses).sum()

    @staticmethod
    def objective_states(states: Sequence[tuple[State, State]]) -> list[tuple[State, State]]:
        """Return the states of the objective inside the regression.

        Args:
            states: Parameters and buffers of a fitted regression.
        """

        def inner(state: State) -> State:
            return {n.replace("objective.objective.", "objective.", 1): t for n, t in state.items()}

        return [(inner(params), inner(buffers)) for params, buffers in states]
