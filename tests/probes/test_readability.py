"""Captured bits through noise on a whitened readout, and from few training rows."""

import pandas as pd
import pytest
import torch

from pidlab import Atoms, InvalidRequest
from pidlab.generators.atoms_stack import AtomsStack
from pidlab.generators.generator import Sample
from pidlab.info import binary_entropy
from pidlab.probes.readability import PARTS, readability_cohort


class Symbols(Atoms):
    """Atoms that show r and u1 as amplitudes and two noise coordinates; not registered."""

    @classmethod
    def stack(cls, generators):
        return Stack(generators)


class Stack(AtomsStack):
    def sample(self, n, seeds, split="eval", device="cpu"):
        s = super().sample(n, seeds, split, device)
        shown = torch.stack([s.symbols["redundant"][0][..., 0, :], s.symbols["unique1"][0][..., 0, :]], -1)
        generator = torch.Generator().manual_seed(seeds[0] % 2**62)
        noise = torch.randn(*shown.shape[:2], 2, generator=generator)
        z = torch.cat([shown.float(), noise], dim=-1)
        return Sample((z, z), s.targets, s.classes, s.latents, s.symbols)


def read(sigmas, parts=(1.0,), represent=lambda x: {"z12": x[0]}, members=2, **more):
    rows = readability_cohort(
        represent,
        [Symbols()] * members,
        list(range(members)),
        "quick",
        sigmas=sigmas,
        parts=parts,
        **more,
    )
    return [pd.DataFrame(rows) for rows in rows]


@pytest.fixture(scope="module")
def table():
    return read((0.0, 1.0, 2.0), PARTS)[0]


def headlines(table, term):
    rows = table[table["headline"] & (table["term"] == term)]
    return rows.set_index(["sigma", "rows"])["captured"]


def test_each_condition_has_one_headline_per_term_and_records_its_rows(table):
    conditions = [(0.0, 8192), (1.0, 8192), (2.0, 8192), (0.0, 512), (0.0, 2048)]
    assert list(headlines(table, "redundant").index) == conditions
    assert set(table["readout"]) == {"z12"}
    assert (table["low"] <= table["captured"]).all()
    assert (table["captured"] <= table["high"]).all()


def test_a_noisy_bit_reads_the_channel_information(table):
    bits = headlines(table, "redundant")
    assert bits[0.0, 8192] > 0.99
    # A fair bit ±1 in normal noise of deviation 1 holds 0.4859 bits, of deviation 2 0.1607.
    assert bits[1.0, 8192] == pytest.approx(0.4859, abs=0.02)
    assert bits[2.0, 8192] == pytest.approx(0.1607, abs=0.02)
    # More than its sign holds.
    assert bits[1.0, 8192] > 1 - binary_entropy(0.1587)


def test_noise_and_fewer_rows_never_raise_the_bits(table):
    for term in ("redundant", "unique1", "synergy"):
        bits = headlines(table, term)
        assert bits[0.0, 8192] >= bits[1.0, 8192] - 0.005
        assert bits[1.0, 8192] >= bits[2.0, 8192] - 0.005
        assert bits[0.0, 8192] >= bits[0.0, 512] - 0.005


def test_the_scale_of_a_readout_has_no_effect(table):
    stretch = torch.tensor([1e3, 1e-2, 1.0, 30.0])
    scaled = read((1.0,), (), represent=lambda x: {"z12": x[0] * stretch + 5.0})[0]
    before = headlines(table, "redundant")[1.0, 8192]
    assert headlines(scaled, "redundant")[1.0, 8192] == pytest.approx(before, abs=0.02)


def test_a_member_does_not_depend_on_the_others():
    few, many = read((0.5,), ()), read((0.5,), (), members=3)
    pd.testing.assert_frame_equal(few[1], many[1], check_exact=True)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"sigmas": (-1.0,)}, "sigma -1"),
        ({"sigmas": (float("nan"),)}, "sigma nan"),
        ({"sigmas": (), "parts": (0.0,)}, "part 0: must be"),
        ({"sigmas": (0.0,), "readout": "z7"}, "no readout 'z7'; choose one of z12"),
    ],
)
def test_invalid_requests_are_refused(more, why):
    with pytest.raises(InvalidRequest, match=why):
        read(**more)
