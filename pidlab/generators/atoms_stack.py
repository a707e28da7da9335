"""Many `Atoms` drawn as one tensor program: (members, symbols, samples)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators.base import Sample, Stack, check_sample
from pidlab.generators.latent import (
    Rendering,
    corruption,
    independent_draws,
    independent_view,
    stack_maps,
    truncated_normal,
)
from pidlab.info import binary_entropy, inverse_binary_entropy
from pidlab.seeds import child, torch_generator

if TYPE_CHECKING:
    from pidlab.generators.atoms import Atoms


# Cells of the largest law that is assembled; the solver's own limit in time is near.
MOST_CELLS = 2**14


@dataclass(frozen=True)
class Slot:
    """One binary symbol of a term.

    Args:
        term: the term it belongs to; `"shared"` is nuisance that both modalities hold.
        p: probability that the symbol is 1.
        keep: probability that it is expressed (as ±1, else 0).
        flip: probability that Y sees it flipped.
        gap: least distance between two of its rendered values, which bounds its noise.
    """

    term: str
    p: float
    keep: float
    flip: float
    gap: float

    @property
    def label_probability(self) -> float:
        """Probability that Y's bit is 1."""
        return self.p + self.flip - 2.0 * self.p * self.flip

    def information(self, channel_uses: int = 1, redrawn: float = 0.0) -> float:
        """Bits between the symbol and a copy behind `channel_uses` of Y's channel.

        The copy is drawn afresh from the symbol's own law with probability `redrawn`.
        """
        flip = (1.0 - (1.0 - 2.0 * self.flip) ** channel_uses) / 2.0
        # The copy is 1, given that the symbol is 0 and given that it is 1.
        given = [(1.0 - redrawn) * seen + redrawn * self.p for seen in (flip, 1.0 - flip)]
        law = (1.0 - self.p, self.p)
        after = sum(p * seen for p, seen in zip(law, given, strict=True))
        lost = math.fsum(p * binary_entropy(seen) for p, seen in zip(law, given, strict=True))
        return self.keep * (binary_entropy(after) - lost)


def slot_count(term: str, bits: float) -> int:
    """How many symbols a term has: one without bits keeps a constant one, so that shapes stay as they are."""
    return max(math.ceil(bits), 0 if term.startswith("shared") else 1)


@lru_cache(maxsize=1024)  # a sweep varies few terms at a time
def slots_of(term: str, bits: float, tuning: str) -> tuple[Slot, ...]:
    """The symbols of a term of so many bits."""
    return tuple(_made(term, bits, tuning))


def gap_of(tuning: str) -> float:
    """The least distance between rendered values of a symbol so tuned."""
    return 1.0 if tuning == "erasure" else 2.0


def _made(term: str, bits: float, tuning: str) -> Iterator[Slot]:
    gap = gap_of(tuning)
    for i in range(slot_count(term, bits)):
        f = min(bits - i, 1.0)
        if tuning == "entropy":
            yield Slot(term, p=inverse_binary_entropy(f), keep=1.0, flip=0.0, gap=gap)
        elif tuning == "erasure":
            yield Slot(term, p=0.5, keep=f, flip=0.0, gap=gap)
        else:
            yield Slot(term, p=0.5, keep=1.0, flip=inverse_binary_entropy(1.0 - f), gap=gap)


def symbol_law(slots: Sequence[Slot]) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(x1, x2, y) of independent symbols together; on every axis the first one is most significant.

    Left out are nuisance and symbols of no bits, of which Y's digit is noise of its own.

    Raises:
        InvalidRequest: more than 2^14 cells.
    """
    informed = [slot for slot in slots if slot.term != "shared" and slot.information() > 0.0]
    laws = [np.ones((1, 1, 1)), *map(slot_law, informed)]
    shape = [math.prod(sizes) for sizes in zip(*(law.shape for law in laws), strict=True)]
    if math.prod(shape) > MOST_CELLS:
        raise InvalidRequest(
            f"the joint law has {' x '.join(map(str, shape))} = {math.prod(shape)} cells: "
            f"too many to assemble (at most {MOST_CELLS}); ask for fewer bits"
        )
    return reduce(np.kron, laws)


def slot_law(slot: Slot) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(x1, x2, y) of one symbol as the modalities show it: -1, 0 or 1, each axis without empty ones."""
    law = _full_law(slot)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        law = np.compress(law.sum(others) > 0, law, axis)
    return law


def values_shown(slot: Slot, modality: int) -> tuple[int, ...]:
    """The values that a modality can show of a symbol, whatever their probability."""
    if slot.term in ("unique1", "unique2") and slot.term != f"unique{modality + 1}":
        return (0,)
    erasable = slot.gap == 1.0 and not (slot.term == "synergy" and modality == 0)
    return (-1, 0, 1) if erasable else (-1, 1)


def cell_law(slots: Sequence[Slot], term: str) -> Float[np.ndarray, "n1 n2 ny"]:
    """p(c1, c2, y) of all that two modalities show of `slots` together and of the target of `term`.

    A cell is a number in mixed radix over `values_shown`, the first symbol least significant; values of
    no probability keep their place, so that the shape is that of every generator of equal signature.
    """
    laws = [np.ones((1, 1, 1))]
    for slot in reversed(slots):
        shown = [[value + 1 for value in values_shown(slot, m)] for m in (0, 1)]
        law = _full_law(slot)[np.ix_(*shown, (0, 1))]
        laws.append(law if slot.term == term else law.sum(2, keepdims=True))
    return reduce(np.kron, laws)


def _full_law(slot: Slot) -> Float[np.ndarray, "3 3 2"]:
    law = np.zeros((3, 3, 2))
    for symbol, first, shown, flipped in product((0, 1), repeat=4):
        signed = 2 * symbol - 1
        if slot.term == "synergy":  # the XOR of two bits, of which the second can be erased
            x1, x2 = 2 * first - 1, (2 * (first ^ symbol) - 1) * shown
        else:
            x1 = signed * shown if slot.term != "unique2" else 0
            x2 = signed * shown if slot.term != "unique1" else 0
        law[x1 + 1, x2 + 1, symbol ^ flipped] += (
            (slot.p if symbol else 1.0 - slot.p)
            * (slot.keep if shown else 1.0 - slot.keep)
            * (slot.flip if flipped else 1.0 - slot.flip)
            / 2.0
        )
    return law


PRESENT = (("redundant", "unique1", "synergy", "shared"), ("redundant", "unique2", "synergy", "shared"))


class AtomsStack(Stack):
    """`Atoms` of one signature side by side.

    A symbol draws from a stream of its own, seeded by the sample's seed and the symbol's place in its
    term. So neither the other terms nor the other members change a symbol, and members of equal seed
    differ only in what their bits make of the same draws (common random numbers).
    """

    def __init__(self, generators: Sequence[Atoms]) -> None:
        super().__init__(generators)
        first = generators[0]
        if any(g.shape_key != first.shape_key for g in generators):
            raise ValueError("only generators of one signature can be stacked")
        slots = first.slots
        self._nuisance, self._noise, self._slots = first.nuisance, first.noise, slots
        self._paired, self._celled = bool(first.pair_laws), bool(first.cell_laws)
        self._terms = [slot.term for slot in slots]
        self._places = [self._terms[:i].count(term) for i, term in enumerate(self._terms)]
        self._classes = {name: target.classes for name, target in first.targets.items()}
        self._present = [[i for i, t in enumerate(self._terms) if t in held] for held in PRESENT]

        def column(value: Callable[[int, Atoms], float]) -> Tensor:
            return torch.tensor(
                [[value(i, g) for i in range(len(slots))] for g in generators], dtype=torch.float64
            ).float()[..., None]

        self._p = column(lambda i, g: g.slots[i].p)
        self._keep = column(lambda i, g: g.slots[i].keep)
        self._flip = column(lambda i, g: g.slots[i].flip)
        self._missing = column(lambda i, g: 0.0 if g.slots[i].term == "shared" else g.redraws)
        self._half_gap = torch.tensor([[[slot.gap / 2.0]] for slot in slots])
        self._split = torch.tensor([[term == "synergy"] for term in self._terms])
        self._shared = torch.tensor([[term == "shared"] for term in self._terms])
        worlds = [g.world for g in generators]
        self._rendering = [
            Rendering(
                stack_maps(worlds, m, first.depth, first.width),
                len(held) + first.nuisance,
                first.slope,
            )
            for m, held in enumerate(self._present)
        ]

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        check_sample(n, split)
        self._to(device)
        draws, member = self._uniforms(seeds, 6, n, device)
        symbol = draws[:, :, 0][member] < self._p
        first = draws[:, :, 1][member] < 0.5  # the first bit of an XOR; the second is first ^ symbol
        shown = draws[:, :, 2][member] < self._keep
        flipped = draws[:, :, 3][member] < self._flip
        latents = {"first": first, "symbol": symbol, "shown": shown}
        noise = self._noise_of(draws[:, :, 4:])
        return self._sample(latents, noise, member, seeds, self._labels(symbol ^ flipped))

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        device = sample.x[0].device
        self._to(device)
        if policy in ("generic", "independent"):
            on_observation = self._corrupt if policy == "generic" else self._rearrange
            return replace(sample, x=tuple(on_observation(x, m, seeds) for m, x in enumerate(sample.x)))
        n = sample.x[0].shape[-2]
        draws, member = self._uniforms(seeds, 6, n, device)
        anew = draws[:, :, 3][member]
        symbol = torch.where(anew < self._missing, anew < self._missing * self._p, sample.latents["symbol"])
        latents = sample.latents | {"symbol": symbol}
        if policy in ("task", "unique"):
            # A label given the symbol, then a symbol given the label: the channel, twice.
            once, again = (draws[:, :, row][member] < self._flip for row in (0, 1))
            redrawn = draws[:, :, 2][member]
            symbol = torch.where(self._shared, redrawn < self._p, latents["symbol"] ^ once ^ again)
            first = redrawn < 0.5
            if policy == "unique":  # the second bit of an XOR stays, whatever became of the first
                symbol = torch.where(self._split, symbol ^ latents["first"] ^ first, symbol)
            latents |= {"symbol": symbol, "first": first}
        return self._sample(latents, self._noise_of(draws[:, :, 4:]), member, seeds, sample.targets)

    def _sample(
        self,
        latents: dict[str, Tensor],
        noise: Tensor,
        member: Tensor,
        seeds: Sequence[int],
        targets: dict[str, Tensor],
    ) -> Sample:
        symbol, first, shown = latents["symbol"], latents["first"], latents["shown"]
        # Both modalities show the symbol itself, but for an XOR: there each shows one of its parts,
        # and only the second can be erased.
        values = (
            _signed(torch.where(self._split, first, symbol), shown | self._split),
            _signed(torch.where(self._split, first ^ symbol, symbol), shown),
        )
        x, auxiliary_targets = [], {}
        for m, held in enumerate(self._present):
            clean = values[m][:, held] + noise[:, held, m][member]
            nuisance = self._normals(seeds, m, symbol.shape[-1], symbol.device)[member]
            if self._nuisance:
                auxiliary_targets[f"nuisance:{m + 1}"] = (nuisance[:, 0] > 0).long()
            x.append(self._rendering[m](torch.cat([clean, nuisance], dim=1)))
        symbols = {
            term: tuple(
                v[:, [i for i in held if self._terms[i] == term]]
                for v, held in zip(values, self._present, strict=True)
            )
            for term in dict.fromkeys(self._terms)
        }
        cells = ()
        if self._paired:
            of_pair = self._cells(values, [i for i, term in enumerate(self._terms) if term == "synergy"])
            auxiliary_targets |= dict(zip(("synergy:1", "synergy:2"), of_pair, strict=True))
        if self._celled:
            cells = self._cells(values, [i for i, term in enumerate(self._terms) if term != "shared"])
        if "shared" in self._terms:
            auxiliary_targets["nuisance:shared"] = self._digits(symbol, "shared")
        return Sample(tuple(x), targets, self._classes, latents, symbols, auxiliary_targets, cells)

    def _cells(self, values: tuple[Tensor, ...], slots: Sequence[int]) -> tuple[Tensor, ...]:
        """What each modality shows of some symbols as one number (see `atoms_law.cell_law`)."""
        cells = []
        for m, value in enumerate(values):
            radix, number = 1, torch.zeros_like(value[:, 0], dtype=torch.int64)
            for i in slots:
                shown = values_shown(self._slots[i], m)
                if len(shown) > 1:
                    digit = value[:, i].long() + 1  # -1, 0, 1
                    number = number + radix * (digit if len(shown) == 3 else digit // 2)
                radix *= len(shown)
            cells.append(number)
        return tuple(cells)

    def _labels(self, bits: Tensor) -> dict[str, Tensor]:
        return {term: self._digits(bits, term) for term in self._classes}

    def _digits(self, bits: Tensor, term: str) -> Tensor:
        """The bits of a term as one number."""
        held = [i for i, t in enumerate(self._terms) if t == term]
        weights = torch.tensor([[1 << self._places[i]] for i in held], device=bits.device)
        return (bits[:, held] * weights).sum(1)

    def _noise_of(self, uniforms: Float[Tensor, "s slots 2 n"]) -> Float[Tensor, "s slots 2 n"]:
        return truncated_normal(uniforms, self._noise, self._half_gap)

    def _corrupt(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        drawn = [
            corruption(x.shape[1:], torch_generator(child(seed, "generic", m), x.device)) for seed in unique
        ]
        noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return (x + noise) * kept

    def _rearrange(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        _, n, width = x.shape
        drawn = [
            independent_draws(n, width, torch_generator(child(seed, "independent", m), x.device))
            for seed in unique
        ]
        choice, noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return independent_view(x, choice, noise, kept)

    def _uniforms(
        self, seeds: Sequence[int], rows: int, n: int, device: torch.device | str
    ) -> tuple[Float[Tensor, "distinct slots rows n"], Tensor]:
        """Uniform draws of every distinct seed, and each member's place among them."""
        unique, member = _distinct(seeds, device)
        draws = torch.empty(len(unique), len(self._terms), rows, n, device=device)
        for s, seed in enumerate(unique):
            for i, (term, place) in enumerate(zip(self._terms, self._places, strict=True)):
                torch.rand(
                    (rows, n), generator=torch_generator(child(seed, term, place), device), out=draws[s, i]
                )
        return draws, member

    def _normals(
        self, seeds: Sequence[int], m: int, n: int, device: torch.device
    ) -> Float[Tensor, "distinct nuisance n"]:
        unique, _ = _distinct(seeds, device)
        normals = torch.empty(len(unique), self._nuisance, n, device=device)
        for s, seed in enumerate(unique):
            generator = torch_generator(child(seed, "nuisance", m), device)
            torch.randn((self._nuisance, n), generator=generator, out=normals[s])
        return normals

    def _to(self, device: torch.device | str) -> None:
        for name in ("_p", "_keep", "_flip", "_missing", "_half_gap", "_split", "_shared"):
            setattr(self, name, getattr(self, name).to(device))


def _signed(bit: Tensor, shown: Tensor) -> Tensor:
    return (bit.float() * 2.0 - 1.0) * shown


def _distinct(seeds: Sequence[int], device: torch.device | str) -> tuple[list[int], Tensor]:
    unique = list(dict.fromkeys(seeds))
    place = {seed: i for i, seed in enumerate(unique)}
    return unique, torch.tensor([place[seed] for seed in seeds], device=device)
