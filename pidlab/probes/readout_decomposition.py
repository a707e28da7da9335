"""BROJA decomposition of the information that z1 and z2 hold about each target."""

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
from pidlab.probes.reading import Reading
from pidlab.probes.row import Row, make_row

# Posterior cells of a modality. The union information with half as many must agree within MAX_CHANGE bits.
CELLS = 16
MAX_CHANGE = 0.02

# Groups of test rows for jackknife intervals.
GROUPS = 20

# Decimals of the solver that do not depend on the number of problems solved together.
DECIMALS = 8

# The readout name of decomposition rows: z1 and z2 as two sources.
SOURCES = "z1+z2"


@dataclass(frozen=True)
class ReadoutDecomposition:
    """Decomposition of I(Z1,Z2;Y) for one target of every member.

    Args:
        terms: Estimated terms in bits, arrays of shape (members,); they bound nothing.
        mi1: I(Z1;Y) in bits, from cells.
        mi2: I(Z2;Y) in bits, from cells.
        joint: I(Z12;Y) in bits, from cross-entropy.
        agrees: Whether half as many cells give the same union information within 0.02 bit.
        jackknife: Each quantity without one group of test rows, shape (groups, members); empty without
            groups.
    """

    terms: Decomposition
    mi1: Float[np.ndarray, " members"]
    mi2: Float[np.ndarray, " members"]
    joint: Float[np.ndarray, " members"]
    agrees: np.ndarray
    jackknife: dict[str, Float[np.ndarray, "groups members"]]

    @property
    def quantities(self) -> dict[str, Float[np.ndarray, " members"]]:
        """Four terms and FactorCL's quantities, in bits.

        FactorCL defines shared information as the co-information I1 + I2 - I12 and unique information as
        I(Zi;Y|Zj). In terms of BROJA they are R - S and Ui + S.
        """
        return _quantities(self.terms)


def decomposition_rows(
    rows: list[list[Row]],
    generators: Sequence[Generator],
    readings: Mapping[str, Mapping[str, Reading]],
    thorough: bool = False,
) -> None:
    """Append rows of quantity `broja`: the terms summed over targets, and FactorCL's quantities.

    Args:
        rows: Lists to append to, one per member.
        generators: One generator per member.
        readings: Readings by readout and target.
        thorough: Whether to add 95 % intervals and, for several targets, the terms of each one as
            `T:redundant`. The intervals are jackknife intervals over `GROUPS` groups of test rows
            (Miller, The jackknife: a review, Biometrika 61, 1974): t at G - 1 degrees of freedom times
            √((G - 1)/G Σ (θ_g - mean)²), with the estimates θ_g without group g. They cover the noise of
            test rows, not the bias of cells and probes.
    """
    if not {"z1", "z2", "z12"} <= set(readings):
        return
    if any(isinstance(generator.truth, Planted) for generator in generators):
        return  # the decomposition is defined for two sources only
    names, groups = list(generators[0].target_specs), GROUPS if thorough else 0
    by_target = {
        name: decompose_readouts(readings["z1"][name], readings["z2"][name], readings["z12"][name], groups)
        for name in names
    }
    # Bounds of the terms are not given per row.
    truths = [_quantities(g.truth) if g.bounds is None else {} for g in generators]  # type: ignore[arg-type]
    _append(rows, list(by_target.values()), truths, "")
    if thorough and len(names) > 1:
        for name, one in by_target.items():
            _append(rows, [one], _target_truths(generators, name), f"{name}:")


def decompose_readouts(one: Reading, two: Reading, both: Reading, groups: int = 0) -> ReadoutDecomposition:
    """Estimate the BROJA decomposition of (Z1, Z2; Y) from the readings of z1, z2 and z12.

    Each modality is summarized by cells of its posterior. The bounds of the cells are quantiles on
    validation rows; their law with Y is counted on test rows. The union information depends only on the
    two pairwise laws and comes from the exact solver. I(Z12;Y) is the headline of z12, not a count.
    The informations and the union are monotone under processing but the terms are not: a z2 that drops
    a shared bit moves it from redundant to unique1.

    Args:
        one: Reading of z1.
        two: Reading of z2.
        both: Reading of z12, on the same rows.
        groups: Number of jackknife groups of test rows; 0 for none.

    Returns:
        The decomposition of every member.
    """
    joint = np.stack([part.mean(-1).cpu().numpy() for part in _jackknife(both.headline_bits, groups)])
    terms, first, second = _split([one, two], joint, CELLS, groups)
    halved, _, _ = _split([one, two], joint[:1], CELLS // 2, 0)
    full = Decomposition(*(term[0] for term in terms.terms.values()), how=terms.how)  # type: ignore[index]
    change = (terms.total - terms.synergy)[0] - (halved.total - halved.synergy)[0]  # type: ignore[index]
    jackknife = {name: values[1:] for name, values in _quantities(terms).items()} if groups else {}
    return ReadoutDecomposition(full, first[0], second[0], joint[0], np.abs(change) <= MAX_CHANGE, jackknife)


def _append(
    rows: list[list[Row]],
    decompositions: Sequence[ReadoutDecomposition],
    truths: Sequence[Mapping[str, Any]],
    prefix: str,
) -> None:
    """Append a row per member and quantity, summed over targets."""
    for name in decompositions[0].quantities:
        bits = sum(d.quantities[name] for d in decompositions)
        half = None
        if decompositions[0].jackknife:
            half = _half_width(sum(d.jackknife[name] for d in decompositions))  # type: ignore[arg-type]
        for k, member in enumerate(rows):
            captured = round(float(bits[k]), DECIMALS)  # type: ignore[index]
            truth = truths[k].get(name)
            truth = None if truth is None else float(truth)
            margin = None if half is None else round(float(half[k]), DECIMALS)
            bounds = (None, None) if margin is None else (captured - margin, captured + margin)
            agrees = all(bool(d.agrees[k]) for d in decompositions)
            score = (captured, *bounds)
            member.append(
                make_row(SOURCES, prefix + name, truth, score, "cells", True, agrees, quantity="broja")
            )


def _half_width(jackknife: Float[np.ndarray, "groups members"]) -> Float[np.ndarray, " members"]:
    """Return the half-width of the 95 % jackknife interval."""
    groups = len(jackknife)
    spread = np.square(jackknife - jackknife.mean(0)).sum(0)
    return stats.t.ppf(0.975, groups - 1) * np.sqrt((groups - 1) / groups * spread)


def _quantities(terms: Decomposition) -> dict[str, Any]:
    return {
        **terms.terms,
        "shared:co-information": terms.co_information,
        "unique1:co-information": terms.conditional_mi1,
        "unique2:co-information": terms.conditional_mi2,
    }


def _target_truths(generators: Sequence[Generator], target: str) -> list[dict[str, Any]]:
    """Return the exact quantities of one target, or nothing if the generator has no law for it."""
    if target not in generators[0].cell_laws or generators[0].target_specs[target].low is not None:
        return [{} for _ in generators]
    exact = _quantities(decompose(np.stack([g.cell_laws[target] for g in generators])))
    return [{name: bits[k] for name, bits in exact.items()} for k in range(len(generators))]


def _split(
    readings: Sequence[Reading], joint: Float[np.ndarray, "parts members"], cells: int, groups: int
) -> tuple[Decomposition, Float[np.ndarray, "parts members"], Float[np.ndarray, "parts members"]]:
    """Return the decomposition, I(Z1;Y) and I(Z2;Y) on all test rows, then without each group."""
    laws = [_cell_law(reading, cells, groups) for reading in readings]
    p_y = laws[0].sum(2, keepdims=True)
    given = np.divide(laws[1], p_y, out=np.zeros_like(laws[1]), where=p_y > 0)
    # The union information is the same for every joint law with these pairwise laws: take Z1 - Y - Z2.
    law = laws[0][..., :, None, :] * given[..., None, :, :]
    solved = decompose(law, normalize=True)
    first, second = source_informations(law)
    union = solved.redundant + solved.unique1 + solved.unique2
    terms = (first + second - union, union - second, union - first, joint - union)
    return Decomposition(*terms, how="cells and probes"), first, second


def _jackknife(values: Tensor, groups: int) -> Iterator[Tensor]:
    """Yield all columns, then all but each group of them."""
    yield values
    group = _group_indices(values.shape[-1], groups).to(values.device)
    for g in range(groups):
        yield values[..., group != g]


def _group_indices(n: int, groups: int) -> Int[Tensor, " n"]:
    return torch.arange(n) * max(1, groups) // n


def _cell_law(reading: Reading, cells: int, groups: int) -> Float[np.ndarray, "parts members cells classes"]:
    """Count the law of (posterior cell, label) on all test rows, then without each group."""
    y, classes = reading.y_test, reading.log_prior.shape[1]
    validation, test = reading.headline_posteriors()
    if classes == 2:
        edges = _edges(validation[:, 1].exp(), cells)
        cell = torch.searchsorted(edges, test[:, 1].exp().contiguous(), right=True)
    else:
        # Several classes: the most probable class, and quantiles of its probability.
        inner = max(2, cells // classes)
        edges = _edges(validation.amax(1).exp(), inner)
        within = torch.searchsorted(edges, test.amax(1).exp().contiguous(), right=True)
        cell, cells = test.max(1).indices * inner + within, inner * classes
    members, n = y.shape
    parts = max(1, groups)
    group = _group_indices(n, groups).to(y.device)
    # One number per (group, member, cell, label), so that a single bincount fills every table.
    place = group * members + torch.arange(members, device=y.device)[:, None]
    place = (place * cells + cell) * classes + y
    counts = torch.bincount(place.flatten(), minlength=parts * members * cells * classes)
    counts = counts.view(parts, members, cells, classes).double().cpu().numpy()
    total = counts.sum(0, keepdims=True)
    laws = np.concatenate([total, total - counts]) if groups else total
    return laws / laws.sum((2, 3), keepdims=True)


def _edges(p: Float[Tensor, "members m"], cells: int) -> Float[Tensor, "members edges"]:
    """Return the inner quantiles that split values into equally frequent cells."""
    at = torch.linspace(0, 1, cells + 1, device=p.device)[1:-1]
    return torch.quantile(p, at, dim=1).mT.contiguous()
