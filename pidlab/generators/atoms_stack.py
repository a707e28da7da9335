"""Stacked `Atoms`: their symbols, the laws of these, and one tensor program that draws many members."""

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
from pidlab.generators.generator import Sample, Stack, draw_corruption
from pidlab.generators.latent import (
    Rendering,
    draw_independent,
    independent_view,
    stack_maps,
    truncated_normal,
)
from pidlab.generators.parameters import check_sample
from pidlab.info import binary_entropy, inverse_binary_entropy
from pidlab.seeds import child, torch_generator

if TYPE_CHECKING:
    from pidlab.generators.atoms import Atoms

# Largest joint pmf that is assembled; the solver takes minutes for more cells.
MOST_CELLS = 2**14

# Terms whose symbols each modality shows.
TERMS_OF_MODALITY = (
    ("redundant", "unique1", "synergy", "shared"),
    ("redundant", "unique2", "synergy", "shared"),
)


@dataclass(frozen=True)
class Slot:
    """One binary symbol of a term.

    Args:
        term: Term of the symbol; ``"shared"`` is nuisance in both modalities.
        p: Probability that the symbol is 1.
        keep: Probability that the symbol is shown (as ±1) and not erased (0).
        flip: Probability that Y receives the flipped symbol.
        gap: Least distance between two of its rendered values, which bounds its noise.
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
        """Compute the information between the symbol and a copy that passed Y's channel.

        Args:
            channel_uses: Number of passes through Y's binary symmetric channel.
            redrawn: Probability that the copy is drawn from the symbol's own law instead.

        Returns:
            The information in bits.
        """
        # A cascade of binary symmetric channels is one with this flip probability.
        flip = (1.0 - (1.0 - 2.0 * self.flip) ** channel_uses) / 2.0
        # P(copy = 1) given symbol 0 and given symbol 1.
        given = [(1.0 - redrawn) * seen + redrawn * self.p for seen in (flip, 1.0 - flip)]
        law = (1.0 - self.p, self.p)
        after = sum(p * seen for p, seen in zip(law, given, strict=True))
        remaining = math.fsum(p * binary_entropy(seen) for p, seen in zip(law, given, strict=True))
        return self.keep * (binary_entropy(after) - remaining)


def slot_count(term: str, bits: float) -> int:
    """Return the number of symbols of a term.

    A term of 0 bits has one constant symbol, so that the shapes of tensors do not depend on it.
    """
    return max(math.ceil(bits), 0 if term.startswith("shared") else 1)


@lru_cache(maxsize=1024)  # a sweep varies few terms at a time
def slots_of(term: str, bits: float, tuning: str) -> tuple[Slot, ...]:
    """Return the symbols of a term.

    Args:
        term: Name of the term.
        bits: Bits of the term.
        tuning: ``"entropy"``, ``"erasure"`` or ``"channel"``: how the fraction of a bit is made.

    Returns:
        floor(bits) fair symbols and one for the fraction.
    """
    return tuple(_iterate_slots(term, bits, tuning))


def gap_of(tuning: str) -> float:
    """Return the least distance between rendered values: 1 for {-1, 0, 1}, 2 for {-1, 1}."""
    return 1.0 if tuning == "erasure" else 2.0


def _iterate_slots(term: str, bits: float, tuning: str) -> Iterator[Slot]:
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
    """Compute the joint pmf p(x1, x2, y) of independent symbols, the first most significant on every axis.

    Nuisance and symbols of 0 bits are omitted.

    Args:
        slots: The symbols.

    Returns:
        The joint pmf.

    Raises:
        InvalidRequest: If it has more than 2^14 cells.
    """
    informative = [slot for slot in slots if slot.term != "shared" and slot.information() > 0.0]
    laws = [np.ones((1, 1, 1)), *map(slot_law, informative)]
    shape = [math.prod(sizes) for sizes in zip(*(law.shape for law in laws), strict=True)]
    if math.prod(shape) > MOST_CELLS:
        raise InvalidRequest(
            f"the joint law has {' x '.join(map(str, shape))} = {math.prod(shape)} cells: "
            f"too many to assemble (at most {MOST_CELLS}); ask for fewer bits"
        )
    return reduce(np.kron, laws)


def slot_law(slot: Slot) -> Float[np.ndarray, "n1 n2 ny"]:
    """Compute p(x1, x2, y) of one symbol with values -1, 0, 1, without values of probability 0."""
    law = _full_law(slot)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        law = np.compress(law.sum(others) > 0, law, axis)
    return law


def shown_values(slot: Slot, modality: int) -> tuple[int, ...]:
    """Return the values that a modality can show of a symbol, including those of probability 0."""
    if slot.term in ("unique1", "unique2") and slot.term != f"unique{modality + 1}":
        return (0,)
    is_erasable = slot.gap == 1.0 and not (slot.term == "synergy" and modality == 0)
    return (-1, 0, 1) if is_erasable else (-1, 1)


def cell_law(slots: Sequence[Slot], term: str) -> Float[np.ndarray, "n1 n2 y"]:
    """Compute p(c1, c2, y) of everything that two modalities show and of one term's target.

    A cell is a number in mixed radix over `shown_values`, the first symbol least significant. Values of
    probability 0 are included, so that all generators of equal `shape_key` have pmfs of equal shape.

    Args:
        slots: The symbols.
        term: Term of the target.

    Returns:
        The joint pmf.
    """
    laws = [np.ones((1, 1, 1))]
    for slot in reversed(slots):
        shown = [[value + 1 for value in shown_values(slot, m)] for m in (0, 1)]
        law = _full_law(slot)[np.ix_(*shown, (0, 1))]
        laws.append(law if slot.term == term else law.sum(2, keepdims=True))
    return reduce(np.kron, laws)


def _full_law(slot: Slot) -> Float[np.ndarray, "3 3 2"]:
    law = np.zeros((3, 3, 2))
    for symbol, first, shown, flipped in product((0, 1), repeat=4):
        signed = 2 * symbol - 1
        if slot.term == "synergy":  # the XOR of two bits; the second can be erased
            x1, x2 = 2 * first - 1, (2 * (first ^ symbol) - 1) * shown
        else:
            x1 = signed * shown if slot.term != "unique2" else 0
            x2 = signed * shown if slot.term != "unique1" else 0
        law[x1 + 1, x2 + 1, symbol ^ flipped] += (
            (slot.p if symbol else 1.0 - slot.p)
            * (slot.keep if shown else 1.0 - slot.keep)
            * (slot.flip if flipped else 1.0 - slot.flip)
            / 2.0  # the first bit is fair
        )
    return law


class AtomsStack(Stack):
    """Several `Atoms` of equal `shape_key`, drawn as tensors of shape (members, symbols, samples).

    Every symbol has a separate random stream, seeded by the sample's seed, its term and its index in the
    term. So neither other terms nor other members change a symbol, and members of equal seed transform the
    same uniform draws (common random numbers).

    Args:
        generators: The members.

    Raises:
        ValueError: If the members have different shape keys.
    """

    def __init__(self, generators: Sequence[Atoms]) -> None:
        super().__init__(generators)
        first = generators[0]
        if any(g.shape_key != first.shape_key for g in generators):
            raise ValueError("only generators with equal shape keys can be stacked")
        slots = first.slots
        self._nuisance, self._noise, self._slots = first.nuisance, first.noise, slots
        self._has_pairs, self._has_cells = bool(first.pair_laws), bool(first.cell_laws)
        self._terms = [slot.term for slot in slots]
        self._places = [self._terms[:i].count(term) for i, term in enumerate(self._terms)]
        self._classes = {name: target.classes for name, target in first.target_specs.items()}
        self._indices = [[i for i, t in enumerate(self._terms) if t in terms] for terms in TERMS_OF_MODALITY]

        def column(value: Callable[[int, Atoms], float]) -> Tensor:
            return torch.tensor(
                [[value(i, g) for i in range(len(slots))] for g in generators], dtype=torch.float64
            ).float()[..., None]

        self._p = column(lambda i, g: g.slots[i].p)
        self._keep = column(lambda i, g: g.slots[i].keep)
        self._flip = column(lambda i, g: g.slots[i].flip)
        self._missing = column(lambda i, g: 0.0 if g.slots[i].term == "shared" else g.redraw_probability)
        self._half_gap = torch.tensor([[[slot.gap / 2.0]] for slot in slots])
        self._is_xor = torch.tensor([[term == "synergy"] for term in self._terms])
        self._is_nuisance = torch.tensor([[term == "shared"] for term in self._terms])
        worlds = [g.world for g in generators]
        self._rendering = [
            Rendering(
                stack_maps(worlds, m, first.depth, first.width),
                len(indices) + first.nuisance,
                first.slope,
            )
            for m, indices in enumerate(self._indices)
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
        noise = self._truncated_noise(draws[:, :, 4:])
        return self._render(latents, noise, member, seeds, self._labels(symbol ^ flipped))

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        device = sample.x[0].device
        self._to(device)
        if policy in ("generic", "independent"):
            augment = self._corrupt if policy == "generic" else self._view_independently
            return replace(sample, x=tuple(augment(x, m, seeds) for m, x in enumerate(sample.x)))
        n = sample.x[0].shape[-2]
        draws, member = self._uniforms(seeds, 6, n, device)
        u = draws[:, :, 3][member]
        # One uniform number decides whether the symbol is redrawn and, rescaled, what it becomes.
        symbol = torch.where(u < self._missing, u < self._missing * self._p, sample.latents["symbol"])
        latents = sample.latents | {"symbol": symbol}
        if policy in ("task", "unique"):
            # A label given the symbol, then a symbol given the label: two passes through the channel.
            once, again = (draws[:, :, row][member] < self._flip for row in (0, 1))
            redrawn = draws[:, :, 2][member]
            symbol = torch.where(self._is_nuisance, redrawn < self._p, latents["symbol"] ^ once ^ again)
            first = redrawn < 0.5
            if policy == "unique":  # keep the second bit of an XOR when its first bit is redrawn
                symbol = torch.where(self._is_xor, symbol ^ latents["first"] ^ first, symbol)
            latents |= {"symbol": symbol, "first": first}
        return self._render(latents, self._truncated_noise(draws[:, :, 4:]), member, seeds, sample.targets)

    def _render(
        self,
        latents: dict[str, Tensor],
        noise: Tensor,
        member: Tensor,
        seeds: Sequence[int],
        targets: dict[str, Tensor],
    ) -> Sample:
        symbol, first, shown = latents["symbol"], latents["first"], latents["shown"]
        # Both modalities show the symbol itself, except for an XOR: there each shows one of its two bits,
        # and only the second can be erased.
        values = (
            _signed(torch.where(self._is_xor, first, symbol), shown | self._is_xor),
            _signed(torch.where(self._is_xor, first ^ symbol, symbol), shown),
        )
        x, auxiliary_targets = [], {}
        for m, indices in enumerate(self._indices):
            coordinates = values[m][:, indices] + noise[:, indices, m][member]
            nuisance = self._normals(seeds, m, symbol.shape[-1], symbol.device)[member]
            if self._nuisance:
                auxiliary_targets[f"nuisance:{m + 1}"] = (nuisance[:, 0] > 0).long()
            x.append(self._rendering[m](torch.cat([coordinates, nuisance], dim=1)))
        symbols = {
            term: tuple(
                v[:, [i for i in indices if self._terms[i] == term]]
                for v, indices in zip(values, self._indices, strict=True)
            )
            for term in dict.fromkeys(self._terms)
        }
        cells = ()
        if self._has_pairs:
            pair = self._cells(values, [i for i, term in enumerate(self._terms) if term == "synergy"])
            auxiliary_targets |= dict(zip(("synergy:1", "synergy:2"), pair, strict=True))
        if self._has_cells:
            cells = self._cells(values, [i for i, term in enumerate(self._terms) if term != "shared"])
        if "shared" in self._terms:
            auxiliary_targets["nuisance:shared"] = self._digits(symbol, "shared")
        return Sample(tuple(x), targets, self._classes, latents, symbols, auxiliary_targets, cells)

    def _cells(self, values: tuple[Tensor, ...], slots: Sequence[int]) -> tuple[Tensor, ...]:
        """Return what each modality shows of some symbols as one number (see `cell_law`)."""
        cells = []
        for m, value in enumerate(values):
            radix, number = 1, torch.zeros_like(value[:, 0], dtype=torch.int64)
            for i in slots:
                shown = shown_values(self._slots[i], m)
                if len(shown) > 1:
                    digit = value[:, i].long() + 1  # -1, 0, 1 become 0, 1, 2
                    number = number + radix * (digit if len(shown) == 3 else digit // 2)
                radix *= len(shown)
            cells.append(number)
        return tuple(cells)

    def _labels(self, bits: Tensor) -> dict[str, Tensor]:
        return {term: self._digits(bits, term) for term in self._classes}

    def _digits(self, bits: Tensor, term: str) -> Tensor:
        """Return the bits of a term as one number."""
        indices = [i for i, t in enumerate(self._terms) if t == term]
        weights = torch.tensor([[1 << self._places[i]] for i in indices], device=bits.device)
        return (bits[:, indices] * weights).sum(1)

    def _truncated_noise(self, uniforms: Float[Tensor, "s slots 2 n"]) -> Float[Tensor, "s slots 2 n"]:
        return truncated_normal(uniforms, self._noise, self._half_gap)

    def _corrupt(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        drawn = [
            draw_corruption(x.shape[1:], torch_generator(child(seed, "generic", m), x.device))
            for seed in unique
        ]
        noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return (x + noise) * kept

    def _view_independently(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        _, n, width = x.shape
        drawn = [
            draw_independent(n, width, torch_generator(child(seed, "independent", m), x.device))
            for seed in unique
        ]
        choice, noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return independent_view(x, choice, noise, kept)

    def _uniforms(
        self, seeds: Sequence[int], rows: int, n: int, device: torch.device | str
    ) -> tuple[Float[Tensor, "distinct slots rows n"], Tensor]:
        """Draw uniform numbers for every distinct seed; return them and each member's index into them."""
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
        for name in ("_p", "_keep", "_flip", "_missing", "_half_gap", "_is_xor", "_is_nuisance"):
            setattr(self, name, getattr(self, name).to(device))


def _signed(bit: Tensor, shown: Tensor) -> Tensor:
    return (bit.float() * 2.0 - 1.0) * shown


def _distinct(seeds: Sequence[int], device: torch.device | str) -> tuple[list[int], Tensor]:
    """Return the distinct seeds and each member's index into them."""
    unique = list(dict.fromkeys(seeds))
    place = {seed: i for i, seed in enumerate(unique)}
    return unique, torch.tensor([place[seed] for seed in seeds], device=device)
