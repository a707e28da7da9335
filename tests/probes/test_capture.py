"""Captured bits where the answer is known, and where it must be nothing."""

import math

import numpy as np
import pytest
import torch

from pidlab import Atoms, InvalidRequest, capture
from pidlab.decomposition import TERMS
from pidlab.generators.atoms_stack import AtomsStack
from pidlab.generators.base import Sample
from pidlab.info import binary_entropy
from pidlab.probes.capture import capture_cohort, modalities_of
from pidlab.probes.data import (
    Z95,
    Labels,
    interval,
    log_posterior,
    log_ratio_bits,
    whiten,
)
from pidlab.probes.linear import fit_linear, lbfgs


def symbols_generator(make):
    """`Atoms` whose first modality is replaced by features computed from the true symbols."""

    class Replaced(Atoms):
        """Not registered: its module is not scanned."""

        @classmethod
        def stack(cls, generators):
            return ReplacedStack(generators)

    class ReplacedStack(AtomsStack):
        def sample(self, n, seeds, split="eval", device="cpu"):
            s = super().sample(n, seeds, split, device)
            z = torch.stack([make(s.member(i), seeds[i]) for i in range(len(seeds))])
            return Sample((z, z), s.targets, s.classes, s.latents, s.symbols)

    return Replaced()


def readings(make, probes="quick"):
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


def test_a_representation_of_everything_reads_one_bit_each_and_xor_only_nonlinearly():
    table = readings(everything, probes="standard")
    best = headline(table)
    assert all(best[term] > 0.97 for term in TERMS), best
    linear = table[(table["probe"] == "linear") & (table["term"] == "synergy")]["captured"].item()
    assert abs(linear) < 0.01


def test_what_is_not_there_is_not_read():
    best = headline(readings(lambda s, seed: noisy([parts(s)["r"]] * 2, seed, 0.2)))
    assert best["redundant"] > 0.98
    for term in ("unique1", "unique2", "synergy"):
        assert -0.01 < best[term] < 0.005, best


def test_a_known_channel_is_read_within_its_interval():
    # one fair bit behind a binary symmetric channel: I = 1 - h(0.1)
    truth = 1 - binary_entropy(0.1)

    def flipped(sample, seed):
        r = parts(sample)["r"]
        flip = torch.rand(r.shape, generator=torch.Generator().manual_seed(seed % 2**62)) < 0.1
        return torch.stack([torch.where(flip, -r, r), torch.zeros_like(r)], dim=-1)

    table = readings(flipped)
    row = table[(table["term"] == "redundant") & table["headline"]].iloc[0]
    assert row["captured"] == pytest.approx(truth, abs=0.03)
    # four standard errors, where the reported interval has 1.96
    half = (row["high"] - row["low"]) / 2 * 4 / Z95
    assert row["captured"] - half < truth < row["captured"] + half + 0.005


def test_constant_representations_capture_exactly_nothing_or_less():
    table = readings(lambda s, seed: torch.ones(s.y.shape[-1], 3))
    assert table["captured"].abs().max() < 0.002


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InvalidRequest, match="not finite"):
        readings(lambda s, seed: torch.full((s.y.shape[-1], 3), float("nan")))


@pytest.mark.parametrize("change", ["scaled", "rotated", "doubled"])
def test_bijections_of_the_representation_change_nothing(change):
    def changed(sample, seed):
        z = everything(sample, seed)
        if change == "scaled":
            return z * torch.tensor([1e3, 1e-3, 1.0, 50.0, 1.0]) + 7.0
        if change == "rotated":
            q, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))
            return z @ q
        return torch.cat([z, z], dim=-1)

    before = readings(everything)
    after = readings(changed)
    linear = [t[t["probe"] == "linear"]["captured"].to_numpy() for t in (before, after)]
    np.testing.assert_allclose(*linear, atol=0.003)
    assert all(abs(headline(after)[t] - headline(before)[t]) < 0.03 for t in TERMS)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.int32, torch.bool])
def test_numbers_of_any_kind_are_read(kind):
    table = capture(lambda x1, x2: {"z12": (x1 * 100).to(kind)}, Atoms(), probes="quick")
    found = table[table["headline"]].set_index("term")["captured"]
    # Of a yes or no nothing is left but whether a number is 0.
    assert (found["redundant"] > 0.99) == (kind is not torch.bool)


@pytest.mark.parametrize(
    ("represent", "says"),
    [
        (lambda x1, x2: x1, "Tensor: expected readouts by name"),
        (lambda x1, x2: {}, "one or more"),
        (lambda x1, x2: {"z12": x1.numpy()}, "ndarray"),
        (lambda x1, x2: {"z12": x1[:, 0]}, "width"),
        (lambda x1, x2: {"z12": x1[:, None]}, "width"),
        (lambda x1, x2: {"z12": x1[:5]}, "width"),
        (lambda x1, x2: {"z12": x1[:, :0]}, "width"),
    ],
)
def test_what_is_no_readout_is_refused_in_a_line(represent, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        capture(represent, Atoms(), probes="quick")
    assert "\n" not in str(refused.value)


def test_a_fitted_readout_of_one_number_is_refused():
    with pytest.raises(InvalidRequest, match="width"):  # it was taken for thousands of columns
        capture_cohort(lambda x: {"z12": x[0][..., 0]}, [Atoms()] * 2, [0, 1], "quick")


def test_truth_is_that_of_the_modalities_a_readout_sees():
    generator = Atoms()
    table = capture(
        lambda x1, x2: {"z1": x1, "z2": x2, "z12": x1 + x2, "shared": x1}, generator, probes="quick"
    )
    truth = table.drop_duplicates(["readout", "term"]).set_index(["readout", "term"])["truth"]
    assert truth["z1", "unique1"] == 1.0
    assert truth["z1", "unique2"] == truth["z2", "unique1"] == truth["z1", "synergy"] == 0.0
    assert truth["z12"].tolist() == truth["shared"].tolist() == [1.0] * 4
    assert modalities_of("z2", 2) == (1,)
    assert modalities_of("encoder", 2) == (0, 1)


def test_one_headline_per_readout_and_term_and_linear_everywhere():
    table = capture(lambda x1, x2: {"z1": x1[:, :8], "z12": x1 + x2}, Atoms(), probes="quick")
    assert (table.groupby(["readout", "term"])["headline"].sum() == 1).all()
    assert set(table[table["readout"] == "z1"]["probe"]) == {"linear"}
    assert set(table[table["readout"] == "z12"]["probe"]) == {"linear", "mlp"}
    assert (table["low"] <= table["captured"]).all()
    assert (table["captured"] <= table["high"]).all()
    assert (table["quantity"] == "mi").all()


def test_a_batch_gives_what_a_loop_gives_and_nobody_matters_to_anybody():
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


def test_more_bits_than_one():
    generator = Atoms(redundant=2.0, unique1=0.0, unique2=0.0, synergy=0.0, depth=0, nuisance=0)
    best = headline(capture(lambda x1, x2: {"z12": x1}, generator, probes="quick"))
    assert best["redundant"] == pytest.approx(2.0, abs=0.03)


def test_unknown_levels_are_refused():
    with pytest.raises(InvalidRequest, match="quick, standard"):
        capture(lambda x1, x2: {"z12": x1}, Atoms(), probes="magic")


def labels_of(y, prior):
    y = torch.as_tensor(y)[None, None]
    return Labels(("y",), torch.tensor(prior).log()[None, None], y, y, y)


def test_the_score_of_the_prior_is_zero_and_of_certainty_the_surprise():
    labels = labels_of([0, 1, 1, 0], [0.25, 0.75])
    prior = log_posterior(torch.zeros(1, 1, 2, 4), labels)
    assert log_ratio_bits(prior, labels.test, labels.log_prior).abs().max() < 1e-6
    certain = torch.tensor([[[[0.0, -1e9, -1e9, 0.0], [-1e9, 0.0, 0.0, -1e9]]]])
    bits = log_ratio_bits(certain, labels.test, labels.log_prior)
    expected = [-math.log2(p) for p in (0.25, 0.75, 0.75, 0.25)]
    np.testing.assert_allclose(bits[0, 0].numpy(), expected, rtol=1e-6)


def test_the_interval_covers_as_often_as_it_says():
    # exact posterior of a bit behind a channel: 400 replicates of 2,000 rows
    eps, n, replicates = 0.2, 2000, 400
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(replicates, 1, n, generator=generator) < 0.5
    z = y ^ (torch.rand(replicates, 1, n, generator=generator) < eps)
    p_one = torch.where(z, 1 - eps, eps)
    log_q = torch.stack([1 - p_one, p_one], dim=2).log()
    log_prior = torch.full((replicates, 1, 2), 0.5).log()
    _, low, high = interval(log_ratio_bits(log_q, y.long(), log_prior)[:, 0].double()).T
    truth = 1 - binary_entropy(eps)
    assert 0.92 <= float(((low <= truth) & (truth <= high)).mean()) <= 0.98


def test_whitening_leaves_unit_covariance_and_drops_constants():
    z = torch.randn(2, 5000, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([1e3, 1.0, 1e-2, 0.0])
    )
    w = whiten(z + 3.0)(z + 3.0)
    covariance = w.mT @ w / 5000
    torch.testing.assert_close(
        covariance, torch.diag(torch.tensor([1.0, 1, 1, 0])).expand(2, -1, -1), atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("offset", [1e5, 1e6])
def test_whitening_keeps_what_varies_little_about_a_large_mean(offset):
    z = torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(0))
    moved = torch.cat([z + offset, torch.full_like(z[..., :1], offset / 3)], dim=-1)
    w = whiten(moved)(moved)[0]
    # Numbers about 1e6 lie 1/16 apart in float32, which is noise of variance 1/3072.
    apart = (w[:, :3] - z[0]).std(0)
    assert float(apart.max()) < 0.05
    assert not w[:, 3].any()


def test_lbfgs_minimises_many_badly_scaled_quadratics():
    generator = torch.Generator().manual_seed(0)
    scales = 10 ** (2 * torch.rand(3, 2, 6, generator=generator, dtype=torch.float64))
    goal = torch.randn(3, 2, 6, generator=generator, dtype=torch.float64)

    def objective(w):
        return (scales * (w - goal).square()).sum(-1) / 2, scales * (w - goal)

    found = lbfgs(objective, torch.zeros_like(goal), 60, 6)
    torch.testing.assert_close(found, goal, atol=1e-3, rtol=0)


def test_linear_probe_finds_the_optimum_of_its_loss():
    # logistic regression on one Gaussian feature: the optimum is where the gradient vanishes
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(1, 4000, 3, generator=generator)
    p = torch.sigmoid(2 * z[..., 0] - z[..., 1])
    y = (torch.rand(1, 4000, generator=generator) < p).long()
    labels = labels_of(y[0].tolist(), [0.5, 0.5])
    q = log_posterior(fit_linear(z, labels)(z), labels).exp()[0, 0, 1]
    gradient = ((q - y[0]) @ torch.cat([z[0], torch.ones(4000, 1)], dim=-1)) / 4000
    assert float(gradient.abs().max()) < 1e-3
