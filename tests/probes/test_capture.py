"""Captured bits of readouts with known information, and of readouts without any."""

import numpy as np
import pandas as pd
import pytest
import torch

from pidlab import Atoms, InvalidRequest, capture
from pidlab.decomposition import TERMS
from pidlab.generators.atoms_stack import AtomsStack
from pidlab.generators.generator import Sample
from pidlab.info import binary_entropy
from pidlab.probes.capture import capture_cohort
from pidlab.probes.row import Z95


def symbols_generator(make):
    """Return `Atoms` whose modalities are replaced by features computed from the true symbols."""

    class Modified(Atoms):
        """Atoms with replaced modalities; not registered."""

        @classmethod
        def stack(cls, generators):
            return ModifiedStack(generators)

    class ModifiedStack(AtomsStack):
        def sample(self, n, seeds, split="eval", device="cpu"):
            s = super().sample(n, seeds, split, device)
            z = torch.stack([make(s.member(i), seeds[i]) for i in range(len(seeds))])
            return Sample((z, z), s.targets, s.classes, s.latents, s.symbols)

    return Modified()


def captured_table(make, probes="quick"):
    generator = symbols_generator(make)
    return capture(lambda x1, x2: {"z12": x1}, generator, seed=1, probes=probes)


def headline(table):
    rows = table[table["headline"]]
    return dict(zip(rows["term"], rows["captured"], strict=True))


def parts(sample):
    return {
        "r": sample.symbols["redundant"][0][0],
        "u1": sample.symbols["unique1"][0][0],
        "u2": sample.symbols["unique2"][1][0],
        "s1": sample.symbols["synergy"][0][0],
        "s2": sample.symbols["synergy"][1][0],
    }


def noisy(columns, seed, sd=0.3):
    z = torch.stack(columns, dim=-1)
    return z + sd * torch.randn(z.shape, generator=torch.Generator().manual_seed(seed % 2**62))


def everything(sample, seed):
    p = parts(sample)
    return noisy(list(p.values()), seed, 0.2)


def test_a_readout_of_all_latents_reads_one_bit_each_and_the_xor_only_nonlinearly():
    table = captured_table(everything, probes="standard")
    best = headline(table)
    assert all(best[term] > 0.97 for term in TERMS), best
    linear = table[(table["probe"] == "linear") & (table["term"] == "synergy")]["captured"].item()
    assert abs(linear) < 0.01


def test_absent_information_reads_zero():
    best = headline(captured_table(lambda s, seed: noisy([parts(s)["r"]] * 2, seed, 0.2)))
    assert best["redundant"] > 0.98
    for term in ("unique1", "unique2", "synergy"):
        assert -0.01 < best[term] < 0.005, best


def test_a_known_channel_is_read_within_its_interval():
    # One fair bit behind a binary symmetric channel: I = 1 - h(0.1).
    truth = 1 - binary_entropy(0.1)

    def flipped(sample, seed):
        r = parts(sample)["r"]
        flip = torch.rand(r.shape, generator=torch.Generator().manual_seed(seed % 2**62)) < 0.1
        return torch.stack([torch.where(flip, -r, r), torch.zeros_like(r)], dim=-1)

    table = captured_table(flipped)
    row = table[(table["term"] == "redundant") & table["headline"]].iloc[0]
    assert row["captured"] == pytest.approx(truth, abs=0.03)
    # Four standard errors; the reported interval has 1.96.
    half = (row["high"] - row["low"]) / 2 * 4 / Z95
    assert row["captured"] - half < truth < row["captured"] + half + 0.005


def test_constant_readouts_capture_nothing():
    table = captured_table(lambda s, seed: torch.ones(s.y.shape[-1], 3))
    assert table["captured"].abs().max() < 0.002


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InvalidRequest, match="not finite"):
        captured_table(lambda s, seed: torch.full((s.y.shape[-1], 3), float("nan")))


@pytest.mark.parametrize("change", ["scaled", "rotated", "doubled"])
def test_invertible_maps_of_the_readout_change_nothing(change):
    def changed(sample, seed):
        z = everything(sample, seed)
        if change == "scaled":
            return z * torch.tensor([1e3, 1e-3, 1.0, 50.0, 1.0]) + 7.0
        if change == "rotated":
            q, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))
            return z @ q
        return torch.cat([z, z], dim=-1)

    before = captured_table(everything)
    after = captured_table(changed)
    linear = [t[t["probe"] == "linear"]["captured"].to_numpy() for t in (before, after)]
    np.testing.assert_allclose(*linear, atol=0.003)
    assert all(abs(headline(after)[t] - headline(before)[t]) < 0.03 for t in TERMS)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.int32, torch.bool])
def test_every_number_type_is_read(kind):
    table = capture(lambda x1, x2: {"z12": (x1 * 100).to(kind)}, Atoms(), probes="quick")
    found = table[table["headline"]].set_index("term")["captured"]
    # A boolean keeps only whether a number is 0.
    assert (found["redundant"] > 0.99) == (kind is not torch.bool)


@pytest.mark.parametrize(
    ("represent", "says"),
    [
        (lambda x1, x2: x1, "returned Tensor; return a dict"),
        (lambda x1, x2: {}, "one or more"),
        (lambda x1, x2: {"z12": x1.numpy()}, "ndarray"),
        (lambda x1, x2: {"z12": x1[:, 0]}, "width"),
        (lambda x1, x2: {"z12": x1[:, None]}, "width"),
        (lambda x1, x2: {"z12": x1[:5]}, "width"),
        (lambda x1, x2: {"z12": x1[:, :0]}, "width"),
    ],
)
def test_invalid_readouts_are_refused_in_one_line(represent, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        capture(represent, Atoms(), probes="quick")
    assert "\n" not in str(refused.value)


def test_a_readout_without_width_is_refused():
    with pytest.raises(InvalidRequest, match="width"):
        capture_cohort(lambda x: {"z12": x[0][..., 0]}, [Atoms()] * 2, [0, 1], "quick")


def test_truth_is_the_information_in_the_modalities_of_the_readout():
    generator = Atoms()
    table = capture(
        lambda x1, x2: {"z1": x1, "z2": x2, "z12": x1 + x2, "shared": x1}, generator, probes="quick"
    )
    truth = table.drop_duplicates(["readout", "term"]).set_index(["readout", "term"])["truth"]
    assert truth["z1", "unique1"] == 1.0
    assert truth["z1", "unique2"] == truth["z2", "unique1"] == truth["z1", "synergy"] == 0.0
    assert truth["z12"].tolist() == truth["shared"].tolist() == [1.0] * 4


def test_one_headline_per_readout_and_term_and_linear_everywhere():
    table = capture(lambda x1, x2: {"z1": x1[:, :8], "z12": x1 + x2}, Atoms(), probes="quick")
    assert (table.groupby(["readout", "term"])["headline"].sum() == 1).all()
    assert set(table[table["readout"] == "z1"]["probe"]) == {"linear"}
    assert set(table[table["readout"] == "z12"]["probe"]) == {"linear", "mlp"}
    assert (table["low"] <= table["captured"]).all()
    assert (table["captured"] <= table["high"]).all()
    assert (table["quantity"] == "mi").all()


def test_a_batch_gives_the_same_rows_as_a_loop():
    generators = [Atoms(unique1=u) for u in (0.3, 0.3, 1.0, 0.0)]
    seeds = [0, 1, 0, 1]

    def represent(x):
        return {"z12": torch.cat([x[0][..., :8], x[1][..., :8]], dim=-1)}

    many = capture_cohort(represent, generators, seeds, "quick")
    few = capture_cohort(represent, generators[1:3], seeds[1:3], "quick")
    one = capture(lambda *x: represent(x), generators[1], seed=1, probes="quick")
    assert many[1:3] == few
    assert one.to_dict("records") == many[1]


def test_a_term_without_entropy_reads_exactly_zero():
    table = capture(lambda x1, x2: {"z12": x1}, Atoms(unique1=0.0), probes="quick")
    rows = table[table["term"] == "unique1"]
    assert (rows[["captured", "low", "high"]] == 0.0).all(axis=None)


def test_a_term_of_two_bits_is_read():
    generator = Atoms(redundant=2.0, unique1=0.0, unique2=0.0, synergy=0.0, depth=0, nuisance=0)
    best = headline(capture(lambda x1, x2: {"z12": x1}, generator, probes="quick"))
    assert best["redundant"] == pytest.approx(2.0, abs=0.03)


def test_unknown_levels_are_refused():
    with pytest.raises(InvalidRequest, match="quick, standard"):
        capture(lambda x1, x2: {"z12": x1}, Atoms(), probes="magic")


def test_a_generator_may_be_given_by_its_reference():
    table = capture(lambda x1, x2: {"z12": x1}, "atoms(unique1=0)", probes="quick")
    pd.testing.assert_frame_equal(
        table, capture(lambda x1, x2: {"z12": x1}, Atoms(unique1=0), probes="quick")
    )
    with pytest.raises(InvalidRequest, match="atom"):
        capture(lambda x1, x2: {"z12": x1}, "atom", probes="quick")
