"""BROJA of representations: what z1 and z2 hold about each target, split in four terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pidlab.analysis.reading import Reading
from pidlab.analysis.rows import Row
from pidlab.decomposition import TERMS, Decomposition, Planted
from pidlab.generators import Generator
from pidlab.info import decompose, source_informations

# Posterior cells of a modality; half as many must tell the same.
CELLS = 16
DOUBLED = 0.02

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
    """

    terms: Decomposition
    first: Float[np.ndarray, " members"]
    second: Float[np.ndarray, " members"]
    joint: Float[np.ndarray, " members"]
    agrees: np.ndarray


def decomposed(one: Reading, two: Reading, both: Reading) -> Held:
    """BROJA of (Z1, Z2; Y) from what probes read in z1, z2 and z12.

    Each modality is summarised by cells of its posterior, whose bounds are quantiles on validation rows
    and whose law with Y is counted on test rows. The union information depends on the two pairwise
    laws only and comes from the exact solver; I(Z12;Y) is the headline of z12, not a count. Unlike the
    three informations and the union, the terms are not monotone under processing: a z2 that drops a
    shared bit moves it from redundant to unique1.
    """
    union, first, second = _union([one, two], CELLS)
    halved, _, _ = _union([one, two], CELLS // 2)
    joint = both.headline_bits.mean(-1).cpu().numpy()
    terms = Decomposition(
        first + second - union, union - second, union - first, joint - union, how="cells and probes"
    )
    return Held(terms, first, second, joint, np.abs(union - halved) <= DOUBLED)


def decomposed_rows(
    rows: list[list[Row]], generators: Sequence[Generator], readings: Mapping[str, Mapping[str, Reading]]
) -> None:
    """Appends the terms summed over targets (`broja`), and FactorCL's view of the same informations.

    The co-information view puts I1 + I2 - I12 for what is shared and I(Zi;Y|Zj) for what is unique;
    it is BROJA's R - S and Ui + S.
    """
    if not {"z1", "z2", "z12"} <= set(readings):
        return
    held = [decomposed(*(readings[z][name] for z in ("z1", "z2", "z12"))) for name in generators[0].targets]
    for k, generator in enumerate(generators):
        truth = generator.truth
        if isinstance(truth, Planted):  # more sources than two, of which there is no such decomposition
            return
        sums = {term: sum(float(h.terms.terms[term][k]) for h in held) for term in TERMS}  # type: ignore[index]
        agrees = all(bool(h.agrees[k]) for h in held)
        for term, bits in sums.items():
            rows[k].append(_row(term, float(truth.terms[term]), bits, "cells", agrees))
        one, two, both = (sum(float(getattr(h, i)[k]) for h in held) for i in ("first", "second", "joint"))
        view = {
            "shared:co-information": (truth.co_information, one + two - both),
            "unique1:co-information": (truth.conditional_mi1, both - two),
            "unique2:co-information": (truth.conditional_mi2, both - one),
        }
        for term, (true, bits) in view.items():
            rows[k].append(_row(term, float(true), bits, "cells", agrees))


def _row(term: str, truth: float, bits: float, probe: str, agrees: bool) -> Row:
    return {
        "readout": SOURCES,
        "term": term,
        "quantity": "broja",
        "truth": truth,
        "captured": round(bits, SOLVED),
        "low": None,
        "high": None,
        "probe": probe,
        "headline": True,
        "converged": agrees,
    }


def _union(readings: Sequence[Reading], cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Union information and I(Zm;Y) of the cells of both modalities, over members."""
    y, classes = readings[0].y_test, readings[0].log_prior.shape[1]
    laws = [_counted(reading.believed(), y, classes, cells) for reading in readings]
    p_y = laws[0].sum(1, keepdims=True)
    given = np.divide(laws[1], p_y, out=np.zeros_like(laws[1]), where=p_y > 0)
    joint = laws[0][:, :, None] * given[:, None]  # any joint law of these pairs will do
    found = decompose(joint, normalize=True)
    first, second = source_informations(joint)
    return np.asarray(found.redundant + found.unique1 + found.unique2), first, second


def _counted(
    log_q: tuple[Tensor, Tensor], y: Int[Tensor, "members n"], classes: int, cells: int
) -> Float[np.ndarray, "members cells classes"]:
    """The law of (posterior cell, label) on test rows."""
    validation, test = log_q
    cell = torch.zeros_like(y)
    likeliest = test.argmax(1)
    if classes == 2:
        edges = _edges(validation[:, 1].exp(), cells)
        cell = torch.searchsorted(edges, test[:, 1].exp().contiguous(), right=True)
    else:
        inner = max(2, cells // classes)
        edges = _edges(validation.amax(1).exp(), inner)
        cell = likeliest * inner + torch.searchsorted(edges, test.amax(1).exp().contiguous(), right=True)
        cells = inner * classes
    members = y.shape[0]
    place = (torch.arange(members, device=y.device)[:, None] * cells + cell) * classes + y
    counts = torch.bincount(place.flatten(), minlength=members * cells * classes)
    return counts.view(members, cells, classes).double().cpu().numpy() / y.shape[1]


def _edges(p: Float[Tensor, "members m"], cells: int) -> Float[Tensor, "members edges"]:
    at = torch.linspace(0, 1, cells + 1, device=p.device)[1:-1]
    return torch.quantile(p, at, dim=1).mT.contiguous()
