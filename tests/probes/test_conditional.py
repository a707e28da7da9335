"""Conditional probes and the convergence of z12 headlines, on readouts that are hard to read."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from pidlab.probes.capture import capture_cohort
from pidlab.probes.controls import MIN_POWER, planted_power
from pidlab.probes.levels import LEVELS
from pidlab.probes.mlp import MLPProbe
from pidlab.validation.hard_readouts import HARD, Hard, examine_hard

# The checks of the standard level, on few rows.
SMALL = replace(LEVELS["standard"], train=8192, validation=4096, test=4096, mlp=MLPProbe(hidden=32, epochs=4))


def joint(x):
    return {"z12": torch.cat([*x], dim=-1)}


def read(case, seeds=(0, 1), level=SMALL):
    return capture_cohort(joint, [Hard(case)] * len(seeds), seeds, level)


def by_probe(rows):
    return {row["probe"]: row for row in rows if row["quantity"] == "mi"}


def test_heavy_tails_are_read_by_ranks():
    probes = by_probe(read("heavy tails")[0])
    assert {"rank-linear", "rank-mlp"} <= set(probes)
    assert max(row["captured"] for row in probes.values() if row["headline"]) > 0.7
    assert abs(probes["linear"]["captured"]) < 0.01


def test_an_oscillation_is_read_and_flagged():
    probes = by_probe(read("oscillation")[0])
    assert probes["fourier"]["captured"] > probes["mlp"]["captured"] + 0.2
    assert probes["product"]["headline"]
    assert probes["product"]["captured"] > 0.8
    assert probes["product"]["converged"] is False
    assert "rank-mlp" not in probes  # the tails are light


def test_a_parity_of_four_is_read_and_flagged():
    probes = by_probe(read("parity of 4")[0])
    assert abs(probes["mlp"]["captured"]) < 0.1
    assert probes["product"]["captured"] > 0.8
    assert probes["product"]["converged"] is False


def test_an_easy_readout_gets_no_further_probe_and_has_converged():
    rows = read("tiny")[0]
    probes = by_probe(rows)
    assert set(probes) == {"linear", "mlp"}
    best = next(row for row in probes.values() if row["headline"])
    assert best["captured"] > 0.99
    assert best["converged"] is True


def test_a_score_near_zero_has_converged_only_if_a_planted_xor_is_read():
    def noise(x):
        # The signs of the coordinates, and with them the parity, are lost.
        return {"z12": torch.cat([*x], dim=-1).abs()}

    weak = replace(SMALL, train=1024, validation=1024, test=1024)
    (rows, _) = capture_cohort(noise, [Hard("parity of 3")] * 2, (0, 1), weak)
    best = next(row for row in rows if row["headline"])
    assert abs(best["captured"]) < 0.02
    assert planted_power(16, 1024, 1024, weak.mlp, 1) < MIN_POWER
    assert best["converged"] is False
    # In two dimensions the same probe reads an XOR.
    assert planted_power(2, 8192, 4096, MLPProbe(epochs=6), 1) > MIN_POWER


def test_rows_do_not_depend_on_the_other_members():
    generators = [Hard("parity of 4"), Hard("parity of 4", world=1), Hard("parity of 4")]
    many = capture_cohort(joint, generators, [0, 1, 2], SMALL)
    few = capture_cohort(joint, generators[1:], [1, 2], SMALL)
    assert many[1:] == few


@pytest.mark.parametrize("case", list(HARD))
def test_frequencies_of_hard_targets_are_those_of_their_specification(case):
    generator = Hard(case)
    sample = generator.sample(20000, seed=3)
    y, target = sample.targets["y"], generator.target_specs["y"]
    shares = torch.bincount(y, minlength=target.classes) / len(y)
    expected = torch.tensor(target.prior)
    assert (shares - expected).abs().max() < 5.0 * (expected.max() * (1 - expected.min()) / len(y)) ** 0.5
    assert sample.x[0].shape[1] == sample.x[1].shape[1] == generator.modalities[0].dim
    assert max(target.information.values()) == target.entropy


@pytest.mark.slow
def test_every_short_headline_is_flagged_at_the_standard_level():
    table = examine_hard("standard")
    assert set(table["case"]) == set(HARD)
    assert table[table["short"] > 0.05]["flagged"].all()
    assert (table["captured"] <= table["truth"] + 0.02).all()
    assert isinstance(table, pd.DataFrame)
