"""BROJA of representations: what z1 and z2 hold about each target, split in four terms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from pidlab.decomposition import Decomposition, Planted
from pidlab.generators import Generator
from pidlab.info import decompose, source_informations
from pidlab.probes.data import Row
from pidlab.probes.ladder import Reading

# Posterior cells of a modality; half as many must tell the same.
CELLS = 16
DOUBLED = 0.02

# Groups of test rows that are left out in turn for an interval.
GROUPS = 20

# Decimals that the solver is sure of, whoever is solved beside.
SOLVED = 8

# The readout that the rows of a decomposition are filed under: z1 and z2 as two sources.
SOURCES = "z1+z2"


@dataclass(frozen=True)
class Held:
    """The decomposition of I(Z1,Z2;Y) for one target of every member.

    Args:
        terms: in bits, arrays over members; estimates, and no bound on anything.
        first: I(Z1;Y) from cells.
        second: I(Z2;Y) from cells.
        joint: I(Z12;Y) from cross-entropy.
        agrees: whether half as many cells give the same union information within .02 bit.
        without: every quantity without one group of test rows, groups first; none where not asked.
    """

    terms: Decomposition
    first: Float[np.ndarray, " members"]
    second: Float[np.ndarray, " members"]
    joint: Float[np.ndarray, " members"]
    agrees: np.ndarray
    without: dict[str, Float[np.ndarray, "groups members"]]

    @property
    def quantities(self) -> dict[str, Float[np.ndarray, " members"]]:
        """The four terms, and FactorCL's view of the same informations.

        The co-information view puts I1 + I2 - I12 for what is shared and I(Zi;Y|Zj) for what is unique;
        it is BROJA's R - S and Ui + S.
        """
        return _quantities(self.terms)


def decomposed(one: Reading, two: Reading, both: Reading, groups: int = 0) -> Held:
    """BROJA of (Z1, Z2; Y) from what probes read in z1, z2 and z12.

    Each modality is summarised by cells of its posterior, whose bounds are quantiles on validation rows
    and whose law with Y is counted on test rows. The union information depends on the two pairwise
    laws only and comes from the exact solver; I(Z12;Y) is the headline of z12, not a count. Unlike the
    three informations and the union, the terms are not monotone under processing: a z2 that drops a
    shared bit moves it from redundant to unique1.

    Args:
        one: of z1.
        two: of z2.
        both: of z12, on the same rows.
        groups: of test rows, each of which is left out once; 0 for no interval.
    """
    bits = both.headline_bits
    joint = np.stack([part.mean(-1).cpu().numpy() for part in _left_out(bits, groups)])
    every, first, second = _split([one, two], joint, CELLS, groups)
    halved, _, _ = _split([one, two], joint[:1], CELLS // 2, 0)
    whole = Decomposition(*(term[0] for term in every.terms.values()), how=every.how)  # type: ignore[index]
    change = (every.total - every.synergy)[0] - (halved.total - halved.synergy)[0]  # type: ignore[index]
    without = {name: values[1:] for name, values in _quantities(every).items()} if groups else {}
    return Held(whole, first[0], second[0], joint[0], np.abs(change) <= DOUBLED, without)


def decomposed_rows(
    rows: list[list[Row]],
    generators: Sequence[Generator],
    readings: Mapping[str, Mapping[str, Reading]],
    thorough: bool = False,
) -> None:
    """Appends the terms summed over targets (`broja`), and FactorCL's view of the same informations.

    Args:
        rows: of every member.
        generators: of every member.
        readings: by readout and target.
        thorough: with 95 % intervals, and where there are several targets with the terms of each, as
            `T:redundant`. Intervals are jackknife ones over `GROUPS` groups of test rows
            (Miller, The jackknife: a review, Biometrika 61, 1974): the standard error
            √((G - 1)/G Σ (θ_g - mean)²) of the estimates θ_g without group g, times t at G - 1 degrees.
            They know the noise of the test rows, not the bias of cells and probes.
    """
    if not {"z1", "z2", "z12"} <= set(readings):
        return
    if any(isinstance(generator.truth, Planted) for generator in generators):
        return  # more sources than two, of which there is no such decomposition
    names, groups = list(generators[0].target_specs), GROUPS if thorough else 0
    held = {}
    for name in names:
        one, two, both = (readings[z][name] for z in ("z1", "z2", "z12"))
        held[name] = decomposed(one, two, both, groups)
    _append(rows, list(held.values()), [_quantities(g.truth) for g in generators], "")  # type: ignore[arg-type]
    if thorough and len(names) > 1:
        for name, one in held.items():
            _append(rows, [one], _own_truths(generators, name), f"{name}:")


def _append(
    rows: list[list[Row]], held: Sequence[Held], truths: Sequence[Mapping[str, Any]], prefix: str
) -> None:
    """A row per member and quantity, summed over targets."""
    for name in held[0].quantities:
        bits = sum(h.quantities[name] for h in held)
        half = _half_width(sum(h.without[name] for h in held)) if held[0].without else None  # type: ignore[arg-type]
        for k, member in enumerate(rows):
            captured = round(float(bits[k]), SOLVED)  # type: ignore[index]
            true = truths[k].get(name)
            member.append(
                {
                    "readout": SOURCES,
                    "term": prefix + name,
                    "quantity": "broja",
                    "truth": None if true is None else float(true),
                    "captured": captured,
                    "low": None if half is None else captured - round(float(half[k]), SOLVED),
                    "high": None if half is None else captured + round(float(half[k]), SOLVED),
                    "probe": "cells",
                    "headline": True,
                    "converged": all(bool(h.agrees[k]) for h in held),
                }
            )


def _half_width(without: Float[np.ndarray, "groups members"]) -> Float[np.ndarray, " members"]:
    groups = len(without)
    spread = np.square(without - without.mean(0)).sum(0)
    return stats.t.ppf(0.975, groups - 1) * np.sqrt((groups - 1) / groups * spread)


def _quantities(terms: Decomposition) -> dict[str, Any]:
    return {
        **terms.terms,
        "shared:co-information": terms.co_information,
        "unique1:co-information": terms.conditional_mi1,
        "unique2:co-information": terms.conditional_mi2,
    }


def _own_truths(generators: Sequence[Generator], target: str) -> list[dict[str, Any]]:
    """What the data hold of one target, where the generator can write its law down."""
    if target not in generators[0].cell_laws:
        return [{} for _ in generators]
    found = _quantities(decompose(np.stack([g.cell_laws[target] for g in generators])))
    return [{name: bits[k] for name, bits in found.items()} for k in range(len(generators))]


def _split(
    readings: Sequence[Reading], joint: Float[np.ndarray, "parts members"], cells: int, groups: int
) -> tuple[Decomposition, Float[np.ndarray, "parts members"], Float[np.ndarray, "parts members"]]:
    """The decomposition and I(Zm;Y) of the cells of both modalities, with and without groups of rows."""
    laws = [_counted(reading, cells, groups) for reading in readings]
    p_y = laws[0].sum(2, keepdims=True)
    given = np.divide(laws[1], p_y, out=np.zeros_like(laws[1]), where=p_y > 0)
    law = laws[0][..., :, None, :] * given[..., None, :, :]  # any joint law of these pairs will do
    found = decompose(law, normalize=True)
    first, second = source_informations(law)
    union = found.redundant + found.unique1 + found.unique2
    terms = (first + second - union, union - second, union - first, joint - union)
    return Decomposition(*terms, how="cells and probes"), first, second


def _left_out(values: Tensor, groups: int) -> Iterator[Tensor]:
    """All columns, then all but each group of them."""
    yield values
    group = _groups(values.shape[-1], groups).to(values.device)
    for g in range(groups):
        yield values[..., group != g]


def _groups(n: int, groups: int) -> Int[Tensor, " n"]:
    return torch.arange(n) * max(1, groups) // n


def _counted(reading: Reading, cells: int, groups: int) -> Float[np.ndarray, "parts members cells classes"]:
    """The law of (posterior cell, label) on all test rows, then without each group of them."""
    y, classes = reading.y_test, reading.log_prior.shape[1]
    validation, test = reading.believed()
    if classes == 2:
        edges = _edges(validation[:, 1].exp(), cells)
        cell = torch.searchsorted(edges, test[:, 1].exp().contiguous(), right=True)
    else:
        inner = max(2, cells // classes)
        edges = _edges(validation.amax(1).exp(), inner)
        within = torch.searchsorted(edges, test.amax(1).exp().contiguous(), right=True)
        cell, cells = test.argmax(1) * inner + within, inner * classes
    members, n = y.shape
    parts = max(1, groups)
    group = _groups(n, groups).to(y.device)
    place = group * members + torch.arange(members, device=y.device)[:, None]
    place = (place * cells + cell) * classes + y
    counts = torch.bincount(place.flatten(), minlength=parts * members * cells * classes)
    counts = counts.view(parts, members, cells, classes).double().cpu().numpy()
    every = counts.sum(0, keepdims=True)
    laws = np.concatenate([every, every - counts]) if groups else every
    return laws / laws.sum((2, 3), keepdims=True)


def _edges(p: Float[Tensor, "members m"], cells: int) -> Float[Tensor, "members edges"]:
    at = torch.linspace(0, 1, cells + 1, device=p.device)[1:-1]
    return torch.quantile(p, at, dim=1).mT.contiguous()
